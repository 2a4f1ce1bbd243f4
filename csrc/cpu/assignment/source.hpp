// The caller's scores as costs: cost = ∓score, +inf for a forbidden pair.
#pragma once
#include "cpu/assignment/assignment.hpp"
#include "cpu/assignment/matching.hpp"

namespace brenier::assignment::BRENIER_ISA {

inline double sign_of(const Problem& problem) { return problem.maximize ? -1.0 : 1.0; }

template <class Score>
inline const Score* score_row(const Problem& problem, int64_t i) {
    return static_cast<const Score*>(problem.scores) + i * problem.row_stride;
}

inline double cost_at(const Problem& problem, int64_t i, int64_t j) {
    const int64_t place = j * problem.column_stride;
    return sign_of(problem) * (problem.is_float32 ? double(score_row<float>(problem, i)[place]) : score_row<double>(problem, i)[place]);
}

inline void prefetch_cost(const Problem& problem, int64_t i, int64_t j) {
    const int64_t place = j * problem.column_stride;
    problem.is_float32 ? __builtin_prefetch(score_row<float>(problem, i) + place)
                       : __builtin_prefetch(score_row<double>(problem, i) + place);
}

// One row of costs as doubles, exactly; the padding costs +inf.
template <class Score>
inline void load_row(const Problem& problem, int64_t i, double* cost, int64_t width) {
    const Score* from = score_row<Score>(problem, i);
    const double sign = sign_of(problem);
    if (problem.column_stride == 1)
        for (int64_t j = 0; j < problem.size; ++j) cost[j] = sign * double(from[j]);
    else
        for (int64_t j = 0; j < problem.size; ++j) cost[j] = sign * double(from[j * problem.column_stride]);
    for (int64_t j = problem.size; j < width; ++j) cost[j] = INFINITE;
}

inline void load_row(const Problem& problem, int64_t i, double* cost, int64_t width) {
    problem.is_float32 ? load_row<float>(problem, i, cost, width) : load_row<double>(problem, i, cost, width);
}

// A sum whose error does not grow with its length (Neumaier's compensation).
struct ExactSum {
    double sum = 0, lost = 0;
    void add(double value) {
        double next = sum + value;
        lost += (sum < 0 ? -sum : sum) >= (value < 0 ? -value : value) ? (sum - next) + value : (value - next) + sum;
        sum = next;
    }
    double get() const { return sum + lost; }
};

// Where the costs are kept exactly, what the duals are, and how much float64 sums may lose.
template <class Cost>
inline Outcome outcome(const Matching& m, const Problem& problem, const double* least, double unit, double largest,
                       double random, double excess, bool stalled, Cost cost, int64_t* permutation, double* row_duals,
                       double* column_duals) {
    const double sign = sign_of(problem);
    ExactSum total, identity;
    for (int64_t i = 0; i < m.n; ++i) {
        permutation[i] = m.column_of[i];
        row_duals[i] = sign * least[i] * unit;
        column_duals[i] = -sign * m.price[i] * unit;
        largest = __builtin_fmax(largest, __builtin_fmax(__builtin_fabs(least[i]), __builtin_fabs(m.price[i])));
        total.add(cost(i, m.column_of[i]));
        identity.add(cost(i, i));
    }
    const double rounding = 0x1p-46 * double(m.n) * largest;
    return {sign * total.get() * unit, sign * identity.get() * unit, sign * random * unit, excess * unit, rounding * unit, stalled};
}

}  // namespace brenier::assignment::BRENIER_ISA
