// The integer filters in native tests: packed as python/brenier/engine/int8.py does, memory exactly as promised.
#pragma once

#include <numeric>

#include "check.hpp"
#include "problem.hpp"

namespace brenier::test {

struct PackedIntegers {
    const cpu::Int8Body& body;
    const Problem& problem;
    std::vector<uint16_t> u, v;
    std::vector<float> centre;
    std::vector<uint8_t> y_panels;
    std::vector<float> y_scales, y_norms, y_residuals, y_sums, bias;
    std::vector<int32_t> x_panels, totals;
    std::vector<float> largest, x_scales, x_norms, x_residuals;
    std::vector<double> offsets, shifts;
    std::vector<int64_t> order;
    Targets8 targets;
    Noise8 noise;
    Heights8 heights;

    PackedIntegers(const cpu::Int8Body& b, const Problem& p) : body(b), problem(p) {
        std::mt19937 random(5);
        for (int64_t k = 0; k < p.depth; ++k)
            u.push_back(uint16_t(random())), v.push_back(uint16_t(random())), centre.push_back(0.25f);
        pack_targets();
        pack_noise();
        scale_heights();
    }

  private:
    Matrix matrix(const std::vector<float>& values) const {
        return {values.data(), problem.depth, problem.depth, Element::float32};
    }
    size_t words(int64_t count, int64_t width) const {
        return size_t((count + width - 1) / width * width * ((problem.depth * body.bits + 31) / 32));
    }
    double value(uint16_t bits) const {
        const int fraction = body.bits == 8 ? 16 : 12;
        return (double(bits >> (16 - fraction)) + 0.5) / double(1 << fraction) - 0.5;
    }

    void pack_targets() {
        const size_t panels = size_t((problem.count + body.targets - 1) / body.targets);
        y_panels.resize(4 * words(problem.count, body.targets));
        y_scales.resize(panels), y_norms.resize(panels), y_residuals.resize(panels);
        y_sums.resize(panels * size_t(body.targets));
        const Source8 source{matrix(problem.y), centre.data(), v.data(), u.data()};
        const int32_t top = body.bits == 8 ? 127 : 255;
        CHECK(body.pack_targets(source, problem.count, top, 0.0,
                                {y_panels.data(), y_scales.data(), y_norms.data(), y_residuals.data(), y_sums.data()}),
              "%s", body.name);
        double reach = 0;
        for (size_t t = 0; t < panels; ++t) reach = std::max(reach, double(y_scales[t]) * y_norms[t]);
        reach += 2 * 0.25 * std::sqrt(double(problem.depth));
        targets = {problem.count,      matrix(problem.y), y_panels.data(), y_scales.data(), y_norms.data(),
                   y_residuals.data(), y_sums.data(),     reach * 1.000001, 0.0f};
    }

    void pack_noise() {
        const size_t rows = size_t(problem.rows), panels = (rows + size_t(body.rows) - 1) / size_t(body.rows);
        largest.resize(rows), x_norms.resize(rows), x_residuals.resize(rows), x_scales.resize(panels);
        offsets.resize(rows), shifts.resize(rows), totals.resize(rows), order.resize(rows);
        x_panels.resize(words(problem.rows, body.rows));
        body.largest_rows(matrix(problem.x), problem.rows, largest.data());
        std::iota(order.begin(), order.end(), 0);
        std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return largest[size_t(a)] < largest[size_t(b)]; });
        double product = 0;
        for (size_t k = 0; k < u.size(); ++k) product += value(u[k]) * value(v[k]);
        const Source8 source{matrix(problem.x), centre.data(), u.data(), v.data()};
        CHECK(body.pack_noise(source, matrix(problem.x), problem.rows, order.data(), largest.data(), product, body.bits == 8 ? 127 : 255, 0.0,
                              {x_panels.data(), x_scales.data(), x_norms.data(), x_residuals.data(), offsets.data(),
                               totals.data(), shifts.data()}),
              "%s", body.name);
        noise = {problem.rows,   problem.x.data(),   order.data(),   x_panels.data(), x_scales.data(),
                 x_norms.data(), x_residuals.data(), offsets.data(), totals.data(),   shifts.data()};
    }

    void scale_heights() {
        double pivot = -infinity, most = 0;
        for (double h : problem.h)
            if (h > -infinity) pivot = std::max(pivot, h), most = std::max(most, std::fabs(h));
        if (pivot == -infinity) pivot = 0;
        bias.assign(y_sums.size(), -1e30f);
        for (size_t i = 0; i < problem.h.size(); ++i)
            bias[i] = float(std::max((problem.h[i] - pivot) / y_scales[i / size_t(body.targets)] * (1 - 0x1p-20), -1e30));
        heights = {problem.h.data(), bias.data(), pivot, most};
    }
};

// Against the definition, for both bounds, from a guess of row j's winner that is its number, or from none. Where a
// call gives up, what it found must still be no lie.
inline void check_integer_assign(const cpu::Int8Body& body, const Problem& p, int64_t split) {
    const PackedIntegers packed(body, p);
    for (float kappa : {float(infinity), 3.0f}) {
        std::vector<int64_t> winners(size_t(p.rows), -1);
        std::vector<double> scores(size_t(p.rows), -infinity);
        for (int64_t j = 0; split % 2 && j < std::min(p.rows, p.count); ++j) winners[size_t(j)] = j;
        Int8Counts counts{0, 0};
        bool done = true;
        for (int64_t lo = 0; lo < p.count && done; lo += split)
            done = body.assign(packed.noise, packed.targets, packed.heights, {lo, std::min(lo + split, p.count)}, kappa,
                               winners.data(), scores.data(), &counts);
        for (int64_t j = 0; j < p.rows && done; ++j) {
            int64_t winner = -1;
            double best = -infinity;
            for (int64_t i = 0; i < p.count; ++i)
                if (p.score(j, i) > best) best = p.score(j, i), winner = i;
            CHECK(winners[size_t(j)] == winner && scores[size_t(j)] == best, "int%d %s row %ld of %ld x %ld x %ld",
                  int(body.bits), body.name, long(j), long(p.rows), long(p.count), long(p.depth));
        }
    }
}

// Rotated noise and rotated targets have the inner products of those that they were made of.
inline void check_rotation(const cpu::Int8Body& body, const Problem& p) {
    int64_t block = 1;
    while (2 * block <= p.depth) block *= 2;
    std::vector<float> ones(size_t(2 * block), 1.0f), weights(size_t(2 * block), 1 / float(block));
    std::vector<float> x(p.x.size()), y(p.y.size()), centre(size_t(p.depth), 0.0f);
    body.rotate({p.x.data(), p.depth, p.depth, Element::float32}, p.rows, nullptr, ones.data(), block, x.data());
    body.rotate({p.y.data(), p.depth, p.depth, Element::float32}, p.count, centre.data(), weights.data(), block, y.data());
    for (int64_t j = 0; j < p.rows; ++j)
        for (int64_t i = 0; i < p.count; ++i) {
            double before = 0, after = 0;
            for (int64_t k = 0; k < p.depth; ++k) {
                before += double(p.x[size_t(j * p.depth + k)]) * double(p.y[size_t(i * p.depth + k)]);
                after += double(x[size_t(j * p.depth + k)]) * double(y[size_t(i * p.depth + k)]);
            }
            CHECK(std::fabs(before - after) < 1e-4 * double(p.depth), "int%d %s rotated, depth %ld", int(body.bits),
                  body.name, long(p.depth));
        }
}

}  // namespace brenier::test
