// Small problems and their answers by definition, for the native tests. Memory is exactly as large as promised to
// the verbs, so that the address sanitizer sees every read and write beyond it.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "cpu/dispatch.hpp"

namespace brenier::test {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Problem {
    int64_t rows, count, depth;
    std::vector<float> x, y;
    std::vector<double> h;

    // Coordinates are multiples of 1/4 in [-2, 2]: many exact ties.
    Problem(int64_t n_rows, int64_t n_targets, int64_t d, unsigned seed = 0)
        : rows(n_rows), count(n_targets), depth(d), x(size_t(n_rows * d)), y(size_t(n_targets * d)),
          h(size_t(n_targets)) {
        std::mt19937 random(seed);
        std::uniform_int_distribution<int> quarter(-8, 8);
        for (float& value : x) value = float(quarter(random)) / 4;
        for (float& value : y) value = float(quarter(random)) / 4;
        for (double& value : h) value = quarter(random) == 0 ? -infinity : double(quarter(random)) / 4;
    }

    double score(int64_t row, int64_t target) const { return product(row, target) + h[size_t(target)]; }

    // At point k of circle c.
    double on_circle(int64_t c, int k, int64_t target) const {
        const double cos[8] = {1, 0.92387953251128674, 0.70710678118654752, 0.38268343236508977, 0, -0.38268343236508977,
                               -0.70710678118654752, -0.92387953251128674};
        const double sin[8] = {0, cos[3], cos[2], cos[1], 1, cos[1], cos[2], cos[3]};
        const double along = product(2 * c, target) * cos[k % 8] + product(2 * c + 1, target) * sin[k % 8];
        return k < 8 ? along + h[size_t(target)] : h[size_t(target)] - along;
    }

    double product(int64_t row, int64_t target) const {
        double lane[32] = {};
        for (int64_t k = 0; k < depth; ++k)
            lane[k % 32] += double(x[size_t(row * depth + k)]) * double(y[size_t(target * depth + k)]);
        for (int half = 16; half > 0; half /= 2)
            for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
        return lane[0];
    }
};

inline int32_t exponent_to_one(double value) {
    int exponent = 0;
    std::frexp(value, &exponent);
    return -exponent;
}

// Everything a verb is given, packed by the body as python/brenier/engine/cpu.py does.
struct Packed {
    const cpu::Body& body;
    const Problem& problem;
    std::vector<float> x_panels, y_panels, bias;
    std::vector<int32_t> exponents;
    std::vector<double> norms;
    Noise noise;
    Targets targets;
    Heights heights;

    static size_t whole(int64_t count, int64_t panel) { return size_t((count + panel - 1) / panel * panel); }

    Packed(const cpu::Body& b, const Problem& p)
        : body(b), problem(p), x_panels(whole(p.rows, b.rows) * size_t(p.depth)),
          y_panels(whole(p.count, b.targets) * size_t(p.depth)), bias(whole(p.count, b.targets), float(-infinity)),
          exponents(size_t(p.rows)), norms(size_t(p.rows)) {
        const Matrix y{p.y.data(), p.depth, p.depth, Element::float32};
        const Matrix x{p.x.data(), p.depth, p.depth, Element::float32};
        const int32_t exponent = exponent_to_one(b.largest(y, p.count));
        const double norm = b.pack_targets(y, p.count, exponent, y_panels.data());
        targets = {p.count, y, y_panels.data(), exponent, norm};
        scale_heights();
        b.pack_noise(x, p.rows, heights.exponent - exponent, x_panels.data(), exponents.data(), norms.data());
        noise = {p.rows, p.x.data(), x_panels.data(), exponents.data(), norms.data()};
    }

    void scale_heights() {
        double most = -infinity, least = infinity, largest = 0;
        for (double height : problem.h)
            if (height > -infinity) {
                most = std::max(most, height), least = std::min(least, height);
                largest = std::max(largest, std::fabs(height));
            }
        const bool any = most > -infinity;
        const int32_t exponent = any && most > least ? exponent_to_one((most - least) / 2) : 1000;
        for (size_t i = 0; any && i < problem.h.size(); ++i)
            bias[i] = float(std::ldexp((problem.h[i] - most) / 2, exponent));
        heights = {problem.h.data(), bias.data(), any ? most : 0.0, largest, exponent - 1};
    }
};

}  // namespace brenier::test
