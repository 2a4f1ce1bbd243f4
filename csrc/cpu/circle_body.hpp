// circle_candidates:  circle c keeps every i with score[c, k, i] >= max_i score[c, k, i] - margin at some point k
// (float64, fixed order), ascending, with its products A and B.
//
// Rows 2c and 2c + 1 lie in one register tile. No point of the circle gives a target more than hypot(A, B) + h, so
// the fold asks only A^2 + B^2 >= (bar - h)^2, where bar lies below the least of the 16 best scores so far; the few
// that pass are scored at all points.
//
// In units of the circle (2^e of the smaller exponent of its rows), every float32 quantity here is within `error` of
// its float64 value: bound.hpp for the products and the height, then at most four roundings of terms bounded by
// |a||y|, |b||y| and the height's scale, below 2^-20 of their sum with the constants' own rounding.
#pragma once

#include "cpu/candidates_body.hpp"
#include "cpu/circle.hpp"

namespace brenier::cpu {
namespace {

struct Circle {
    float scale_a, scale_b, bias_scale;  // to units of the circle
    float bar;                           // hypot + height below this: out at every point
    float window;                        // margin and errors, in float32
    double error, unit, pivot;
    Floats16 floor;  // a point's best score so far less the window: below it, out at that point
};

inline Circle circle_bound(const Noise& noise, int64_t row, const Targets& targets, const Heights& heights,
                           double margin) {
    const int32_t exponents[2] = {noise.exponents[row], noise.exponents[row + 1]};
    const int32_t least = exponents[0] < exponents[1] ? exponents[0] : exponents[1];
    const RowBound a = row_bound(noise, row, targets, heights, 0.0), b = row_bound(noise, row + 1, targets, heights, 0.0);
    Circle circle;
    circle.scale_a = __builtin_ldexpf(1.0f, least - exponents[0]);
    circle.scale_b = __builtin_ldexpf(1.0f, least - exponents[1]);
    circle.bias_scale = exponents[0] == least ? a.bias_scale : b.bias_scale;
    circle.unit = exponents[0] == least ? a.scale : b.scale;
    circle.pivot = heights.pivot;
    const double most = (noise.norms[row] * double(circle.scale_a) + noise.norms[row + 1] * double(circle.scale_b)) *
                            targets.largest_norm + double(circle.bias_scale);
    circle.error = a.error + b.error + 0x1p-20 * most + 0x1p-90;
    circle.window = float((margin * circle.unit + 2 * circle.error) * (1 + 0x1p-20));
    return circle;
}

inline void update_bar(Circle& circle) {
    const HalfFloats *floor = circle.floor.half, lower = floor[0] < floor[1] ? floor[0] : floor[1];
    float least = lower[0];
    for (int k = 1; k < half_circle; ++k) least = lower[k] < least ? lower[k] : least;
    const double bar = double(least) - 2 * circle.error;
    const double rounded_down = bar - __builtin_fabs(bar) * 0x1p-22;
    circle.bar = rounded_down > -double(FLT_MAX) ? float(rounded_down) : -FLT_MAX;  // also for NaN
}

template <class V>
class CircleSink {
  public:
    CircleSink(RowBlock<V>& rows, const Targets& targets, const Heights& heights, double margin, double* best)
        : rows_(rows), targets_(targets), heights_(heights), margin_(margin), exact_best_(best),
          count_(rows.count / 2), circles_(rows.panels * V::rows / 2), waiting_(new List<Waiting>[size_t(count_)]) {
        for (int64_t c = 0; c < rows.panels * V::rows / 2; ++c) circles_[c] = Circle{1, 1, 1, never, 0, 0, 0, 0, {}};
        for (int64_t c = 0; c < count_; ++c) start(c);
    }
    ~CircleSink() { delete[] waiting_; }
    CircleSink(const CircleSink&) = delete;

    using Floats = typename V::Floats;

    bool out_of_room() const { return entries_ > most_waiting && rows_.panels > 1; }

    void fold(const float* sums, const float* bias, int64_t row, int64_t target) {
        for (int r = 0; r < V::rows; r += 2) fold_circle(sums + r * width<V>, bias, (row + r) / 2, target);
    }

    // Scores the survivors in float64 and appends those within the margin.
    void finish(OwnedRows& out) {
        List<double> products;
        for (int64_t c = 0; c < count_; ++c) {
            List<Waiting>& list = waiting_[c];
            drop_below(c);
            products.resize(2 * list.size());
            for (int64_t i = 0; i < list.size(); ++i) score_exactly(c, list[i].target, products.data() + 2 * i);
            append(c, products.data(), out);
        }
    }

  private:
    struct Waiting {
        int64_t target;
        float a, b;
    };

    void start(int64_t c) {
        Circle& circle = circles_[c] = circle_bound(rows_.noise, rows_.first + 2 * c, targets_, heights_, margin_);
        for (int k = 0; k < circle_points; ++k) {
            const double known = (exact_best_[c * circle_points + k] - circle.pivot) * circle.unit - circle.error;
            const double floor = known - double(circle.window);
            circle.floor.half[k / half_circle][k % half_circle] = floor > -double(FLT_MAX) ? float(floor) : -__builtin_inff();
        }
        update_bar(circle);
    }

    void fold_circle(const float* sums, const float* bias, int64_t c, int64_t target) {
        const Circle& circle = circles_[c];
        const auto scale_a = V::broadcast(circle.scale_a), scale_b = V::broadcast(circle.scale_b);
        const auto bias_scale = V::broadcast(circle.bias_scale), zero = V::broadcast(0.0f);
        for (int v = 0; v < V::vectors; ++v) {
            const auto a = V::madd(V::load(sums + v * V::lanes), scale_a, zero);
            const auto b = V::madd(V::load(sums + width<V> + v * V::lanes), scale_b, zero);
            const auto height = V::madd(V::load(bias + v * V::lanes), bias_scale, zero);
            const uint32_t reached = may_reach(circle, a, b, height);
            if (reached) offer_near(c, target + v * V::lanes, a, b, height, reached);
        }
    }

    // Lanes whose hypot + height reaches the bar.
    static uint32_t may_reach(const Circle& circle, Floats a, Floats b, Floats height) {
        const auto zero = V::broadcast(0.0f);
        const auto wanted = V::madd(height, V::broadcast(-1.0f), V::broadcast(circle.bar));
        const auto squared = V::madd(a, a, V::madd(b, b, zero));
        return V::at_least(squared, V::madd(wanted, wanted, zero)) | V::at_least(zero, wanted);
    }

    // Offers those of the lanes reached that lie in the window at some point (a height of -inf reaches nothing, but
    // lies in a window that is still infinite).
    void offer_near(int64_t c, int64_t target, Floats a, Floats b, Floats height, uint32_t reached) {
        const Circle& circle = circles_[c];
        const auto zero = V::broadcast(0.0f), minus = V::broadcast(-1.0f);
        uint32_t near = 0;
        for (int k = 0; k < half_circle; ++k) {
            const auto along = V::madd(a, V::broadcast(float_points.half[0][k]),
                                       V::madd(b, V::broadcast(float_points.half[1][k]), zero));
            near |= V::at_least(V::madd(along, minus, height), V::broadcast(circle.floor.half[1][k]));
            near |= V::at_least(V::madd(height, V::broadcast(1.0f), along), V::broadcast(circle.floor.half[0][k]));
        }
        near &= reached;
        if (!near) return;
        alignas(64) float all_a[V::lanes], all_b[V::lanes], heights[V::lanes];
        V::store(all_a, a), V::store(all_b, b), V::store(heights, height);
        while (near) {
            const int i = take_lowest(near);
            offer(c, Waiting{target + i, all_a[i], all_b[i]}, heights[i]);
        }
    }

    // Scores at all points; true where one is in the window of its best, which rises.
    static bool in_window(Circle& circle, const Waiting& entry, float height, bool& risen) {
        Floats16 scores;
        score_circle(entry.a, entry.b, height, scores);
        HalfInts near = {}, higher = {};
        for (int v = 0; v < 2; ++v) {
            const HalfFloats score = scores.half[v], floor = score - circle.window;
            near |= score >= circle.floor.half[v];
            higher |= floor > circle.floor.half[v];
            circle.floor.half[v] = floor > circle.floor.half[v] ? floor : circle.floor.half[v];
        }
        risen = any(higher);
        return any(near);
    }

    void offer(int64_t c, const Waiting& entry, float height) {
        bool risen;
        if (!in_window(circles_[c], entry, height, risen)) return;
        if (risen) update_bar(circles_[c]);
        List<Waiting>& list = waiting_[c];
        if (list.full()) {
            const int64_t before = list.size();
            drop_below(c);
            entries_ -= before - list.size();
        }
        list.push(entry);
        ++entries_;
    }

    void drop_below(int64_t c) {
        List<Waiting>& list = waiting_[c];
        int64_t kept = 0;
        bool risen;
        for (int64_t i = 0; i < list.size(); ++i)
            if (in_window(circles_[c], list[i], heights_.bias[list[i].target] * circles_[c].bias_scale, risen))
                list[kept++] = list[i];
        list.truncate(kept);
    }

    void score_exactly(int64_t c, int64_t target, double* products) {
        const int64_t row = rows_.first + 2 * c;
        products[0] = exact_product<V>(rows_.noise, row, targets_, target);
        products[1] = exact_product<V>(rows_.noise, row + 1, targets_, target);
        Doubles16 scores;
        score_circle(products[0], products[1], heights_.exact[target], scores);
        for (int v = 0; v < 2; ++v) {
            const HalfDoubles best = exact_best(c, v);
            const HalfDoubles higher = scores.half[v] > best ? scores.half[v] : best;
            __builtin_memcpy(exact_best_ + c * circle_points + v * half_circle, &higher, sizeof higher);
        }
    }

    HalfDoubles exact_best(int64_t c, int v) const {
        HalfDoubles best;
        __builtin_memcpy(&best, exact_best_ + c * circle_points + v * half_circle, sizeof best);
        return best;
    }

    void append(int64_t c, const double* products, OwnedRows& out) {
        const int64_t before = out.indices.size();
        for (int64_t i = 0; i < waiting_[c].size(); ++i) {
            const int64_t target = waiting_[c][i].target;
            Doubles16 scores;
            score_circle(products[2 * i], products[2 * i + 1], heights_.exact[target], scores);
            const HalfLongs near = (scores.half[0] >= exact_best(c, 0) - margin_) | (scores.half[1] >= exact_best(c, 1) - margin_);
            if (!any(near)) continue;
            out.indices.push(target);
            out.scores.push(products[2 * i]);
            out.scores.push(products[2 * i + 1]);
        }
        out.lengths.push(out.indices.size() - before);
    }

    RowBlock<V>& rows_;
    const Targets& targets_;
    const Heights& heights_;
    const double margin_;
    double* exact_best_;  // (circles, 16)
    const int64_t count_;
    Scratch<Circle> circles_;
    List<Waiting>* waiting_;
    int64_t entries_ = 0;  // waiting, of all circles
};

// noise: an even number of rows. best (rows / 2, 16) holds the best scores of earlier ranges (-inf at first) and is
// updated; circles of the result are within the margin of the best up to and including this range.
template <class V>
CandidateRows* circle_candidates(const Noise& noise, const Targets& targets, const Heights& heights, Range range,
                                 double margin, double* best) {
    static_assert(V::rows % 2 == 0, "a circle's rows share a panel");
    return in_blocks<V>(noise.rows, [&](int64_t first, int64_t count, OwnedRows& out) {
        return list_block<V, CircleSink<V>>(noise, first, count, targets, heights, range, margin,
                                            best + first / 2 * circle_points, out);
    });
}

}  // namespace
}  // namespace brenier::cpu
