// Where each problem lies in the caller's memory, and how scores become costs. Shared by kernels and host check.
#pragma once

#include <cmath>

#include "cuda/auction_rounds.cuh"

namespace brenier::cuda {

static_assert(sizeof(Control) <= 4 * kControlWords);

struct Place {
    int size;
    std::int64_t row, score, cost;
};

BRENIER_BOTH Place place_of(const AuctionProblem& p, int problem) {
    const std::int64_t* t = p.table + 4 * problem;
    return {static_cast<int>(t[0]), t[1], t[2], t[3]};
}

// Arrays of the rounds in `words`, one after the other; bids first: they are of 8 bytes.
BRENIER_BOTH void lay_out(State& s, std::int32_t* words, std::int64_t rows, std::int64_t first) {
    s.bid = reinterpret_cast<unsigned long long*>(words) + first;
    std::int32_t** arrays[] = {&s.owner, &s.column, &s.queue[0], &s.queue[1], &s.displaced[0], &s.displaced[1], &s.touched};
    std::int32_t* at = words + 2 * rows + first;
    for (std::int32_t** array : arrays) *array = at, at += rows;
}

BRENIER_BOTH State state_of(const AuctionProblem& p, const AuctionMemory& m, int problem) {
    const Place place = place_of(p, problem);
    State s = {};
    s.n = place.size;
    s.stride = padded_columns(place.size);
    s.cost = m.cost + place.cost;
    s.column_sum = m.column_sum + place.row;
    s.cost_sum = m.facts[problem * kFacts + kCostSum];
    s.list_column = m.list_column + place.row * kListed;
    s.list_cost = m.list_cost + place.row * kListed;
    s.bound = m.bound + place.row;
    s.price = m.price + place.row;
    lay_out(s, m.scratch, p.rows, place.row);
    s.control = reinterpret_cast<Control*>(m.scratch + kScratchWords * p.rows + std::int64_t(kControlWords) * problem);
    return s;
}

// One problem from its costs to its facts; what is not finite is left as the identity.
template <class Team>
BRENIER_BOTH void run_auction(Team& team, const AuctionProblem& p, const AuctionMemory& m, int problem, const State& s) {
    const std::int64_t first = place_of(p, problem).row;
    std::int64_t* facts = m.facts + problem * kFacts;
    if (s.n == 0) return;
    if (facts[kFlags] != 0) {
        team.each(s.n, [&](int i) { m.permutation[first + i] = i; });
        return;
    }
    Steps steps = {};
    const int rounds = solve(team, s, p.gap, p.most_rounds, steps);
    team.each(s.n, [&](int i) {
        m.permutation[first + i] = s.column[i];
        m.price[first + i] = s.price[i];
    });
    if (!team.leads()) return;
    facts[kFlags] = rounds < 0 ? kStalled : 0;
    facts[kRounds] = rounds < 0 ? -rounds - 1 : rounds;
    facts[kPrimal] = s.control->primal;
    facts[kDual] = s.control->dual;
    facts[kRenewals] = s.control->renewals;
    facts[kEpsilon] = steps.epsilon;
    facts[kInserted] = s.control->inserted;
}

// ---- scores to costs

// 1 / unit: the largest cost takes 26 bits; 1 where all scores of a row are equal.
BRENIER_BOTH double units_in_one(std::int64_t range_bits) {
    if (range_bits == 0) return 1;
    const std::int64_t exponent = (range_bits >> 52) - 1023 - (kCostBits - 1);
    return same_bits<double>((1023 - (exponent > -1000 ? exponent : -1000)) << 52);
}

BRENIER_BOTH std::int32_t quantised(double top, double score, double units) {
    return static_cast<std::int32_t>(std::fabs(top - score) * units);  // a power of two: only the floor loses
}

// The best and the worst score of a row, of the values offered.
struct RowRange {
    double best, worst;
    bool finite = true;

    BRENIER_BOTH void offer(double score, bool maximize) {
        finite = finite && std::fabs(score) <= 1.7976931348623157e308;  // false for NaN
        const double low = score < best ? score : best, high = score > best ? score : best;
        best = maximize ? high : low;
        const double lowest = score < worst ? score : worst, highest = score > worst ? score : worst;
        worst = maximize ? lowest : highest;
    }
};

template <class Score>
BRENIER_BOTH const Score* scores_of(const AuctionProblem& p, const Place& place, std::int64_t row) {
    return static_cast<const Score*>(p.scores) + place.score + row * place.size;
}

BRENIER_BOTH void note_range(std::int64_t* facts, double* top, const RowRange& range) {
    const double width = std::fabs(range.best - range.worst);
    *top = range.best;
    if (!range.finite || !(width <= 1.7976931348623157e308)) {
        facts[kFlags] = kNotFinite;
    } else {
        raise_to(reinterpret_cast<unsigned long long*>(facts + kRange), same_bits<unsigned long long>(width));
    }
}

}  // namespace brenier::cuda
