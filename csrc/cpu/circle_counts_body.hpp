// circle_counts, circle_wins: sums over the points of great circles, per target, as integers (soft_body.hpp).
//
// A circle's candidates are scored at its 16 points side by side; p over the candidates of the circle, at each point.
// The 16 terms of a target are added in halves (8 + 8, 4 + 4, ...) and rounded to 2^-40 once; entries more than 30
// temperatures below the best count 0, which is below half of 2^-40. So the bits are the same on every instruction
// set, however circles are cut and shared.
#pragma once

#include "cpu/body.hpp"
#include "cpu/circle.hpp"
#include "cpu/soft_body.hpp"

namespace brenier::cpu {
namespace {

constexpr double negligible = -30.0;

// The scores of one circle's candidates, and the best of each point with the entry that has it.
struct CircleScores {
    List<Doubles16> scores, weight, sharp;
    Doubles16 best;
    Longs16 winner;

    // False for a NaN, a +inf or an index out of bounds.
    bool load(const CircleRows& in, int64_t lo, int64_t hi) {
        scores.resize(hi - lo);
        HalfLongs bad = {};
        for (int v = 0; v < 2; ++v) best.half[v] = HalfDoubles{} - __builtin_inf(), winner.half[v] = HalfLongs{} - 1;
        for (int64_t i = lo; i < hi; ++i) {
            if (uint64_t(in.indices[i]) >= uint64_t(in.targets)) return false;
            Doubles16& here = scores[i - lo];
            score_circle(in.products[2 * i], in.products[2 * i + 1], in.heights[in.indices[i]], here);
            for (int v = 0; v < 2; ++v) {
                const HalfLongs higher = here.half[v] > best.half[v];
                bad |= ~(here.half[v] < __builtin_inf());
                winner.half[v] = higher ? HalfLongs{} + i : winner.half[v];
                best.half[v] = higher ? here.half[v] : best.half[v];
            }
        }
        return !any(bad);
    }

    bool all_won() const { return !any((winner.half[0] < 0) | (winner.half[1] < 0)); }
};

// exp((score - best) / epsilon), and at epsilon / sqrt 2, of half v; zeros where none of them counts.
inline void exponentiate_half(const Doubles16& score, const Doubles16& best, int v, double epsilon, Doubles16& weight,
                              Doubles16& sharp) {
    const HalfDoubles below = (score.half[v] - best.half[v]) / epsilon, zero = {};
    const HalfLongs counts = below > negligible;
    weight.half[v] = sharp.half[v] = zero;
    if (!any(counts)) return;
    const HalfDoubles clipped = counts ? below : zero;
    weight.half[v] = counts ? exponential<HalfLongs>(clipped) : zero;
    sharp.half[v] = counts ? exponential<HalfLongs>(clipped * root_two) : zero;
}

// The sum of a circle's 16 terms.
inline double sum_circle(const Doubles16& terms) {
    HalfDoubles part = terms.half[0] + terms.half[1];
    double sums[half_circle];
    __builtin_memcpy(sums, &part, sizeof sums);
    for (int half = half_circle / 2; half > 0; half /= 2)
        for (int k = 0; k < half; ++k) sums[k] += sums[k + half];
    return sums[0];
}

// Unnormalised weights of every entry; returns their reciprocal sums at each point.
inline void weigh_circle(CircleScores& circle, double epsilon, Doubles16& per_weight, Doubles16& per_sharp) {
    const int64_t count = circle.scores.size();
    circle.weight.resize(count), circle.sharp.resize(count);
    per_weight = per_sharp = Doubles16{};
    for (int64_t i = 0; i < count; ++i)
        for (int v = 0; v < 2; ++v) {
            exponentiate_half(circle.scores[i], circle.best, v, epsilon, circle.weight[i], circle.sharp[i]);
            per_weight.half[v] += circle.weight[i].half[v], per_sharp.half[v] += circle.sharp[i].half[v];
        }
    for (int v = 0; v < 2; ++v) {
        per_weight.half[v] = 1 / per_weight.half[v];
        per_sharp.half[v] = 1 / per_sharp.half[v];
    }
}

inline void add_circle(CircleScores& circle, const int64_t* indices, double epsilon, SoftSums* sums) {
    Doubles16 per_weight, per_sharp, p, sharp, square;
    weigh_circle(circle, epsilon, per_weight, per_sharp);
    for (int64_t i = 0; i < circle.scores.size(); ++i) {
        for (int v = 0; v < 2; ++v) {
            p.half[v] = circle.weight[i].half[v] * per_weight.half[v];
            sharp.half[v] = circle.sharp[i].half[v] * per_sharp.half[v];
            square.half[v] = p.half[v] * p.half[v];
        }
        SoftSums& sum = sums[indices[i]];
        sum.weight += fixed_point(sum_circle(p));
        sum.sharp += fixed_point(sum_circle(sharp));
        sum.square += fixed_point(sum_circle(square));
    }
}

// Circles [lo, hi) added to sums (targets,); wins are points won. A circle without a finite score adds nothing.
// Returns -1, or the first circle with a NaN, a +inf or an index out of bounds.
template <class V>
int64_t circle_counts(const CircleRows& in, int64_t lo, int64_t hi, double epsilon, SoftSums* sums) {
    CircleScores circle;
    for (int64_t c = lo; c < hi; ++c) {
        const int64_t first = in.offsets[c], count = in.offsets[c + 1] - first;
        if (!circle.load(in, first, first + count)) return c;
        if (!circle.all_won()) continue;
        add_circle(circle, in.indices + first, epsilon, sums);
        int64_t winner[circle_points];
        __builtin_memcpy(winner, &circle.winner, sizeof winner);
        for (const int64_t one : winner) ++sums[in.indices[one]].wins;
    }
    return -1;
}

// Points won, and the squares of each circle's share, which the pairs of points on one circle make.
template <class V>
int64_t circle_wins(const CircleRows& in, int64_t lo, int64_t hi, CircleWins* sums) {
    CircleScores circle;
    for (int64_t c = lo; c < hi; ++c) {
        if (!circle.load(in, in.offsets[c], in.offsets[c + 1])) return c;
        if (!circle.all_won()) continue;
        int64_t winner[circle_points];
        __builtin_memcpy(winner, &circle.winner, sizeof winner);
        for (const int64_t one : winner) {
            CircleWins& sum = sums[in.indices[one]];
            ++sum.wins;
            for (const int64_t other : winner) sum.squares += one == other;
        }
    }
    return -1;
}

}  // namespace
}  // namespace brenier::cpu
