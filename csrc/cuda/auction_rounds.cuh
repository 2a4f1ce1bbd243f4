// The rounds: what is shared out, what waits for what. Team is a block, a cluster, a grid, or the host check.
//
//   open ─► sift ─► (bid ─► resolve)* ─► ... ε falls ... ─► insert ─► certify ─► done, or finer
//
// Jacobi rounds of D. P. Bertsekas' ε-scaled auction (Annals of OR 14, 1988): all rows without a column bid at the prices
// of the round's start, so that nothing depends on who comes first. Almost all rounds would serve a last few rows: the
// coarse phases leave n/128 of them waiting, and the last n/256 are inserted (auction_insert.cuh). What that costs is
// in the certificate; where it costs too much, the next phase leaves fewer, then is finer.
#pragma once

#include "cuda/auction_insert.cuh"

namespace brenier::cuda {

constexpr double kFirstEpsilon = 0.2;  // in standard deviations of cost + price
constexpr double kLastEpsilon = 0.7;   // and times the gap: n of them fit into it, and insertions beside them
constexpr int kEpsilonRatio = 5;
constexpr int kSampledRows = 64;
constexpr int kLeftCoarse = 128, kLeftFine = 256;  // 1/128 and 1/256 of the rows

struct Steps {
    std::int32_t epsilon, last;  // of this phase, and the finest
    int left;                    // rows that the finest phase leaves to insertion
};

// Prices that bring all columns to one mean.
template <class Team>
BRENIER_BOTH void open(Team& team, const State& s) {
    team.each(s.n, [&](int j) {
        s.price[j] = static_cast<std::int32_t>((s.cost_sum / s.n - s.column_sum[j]) / s.n);
        s.bid[j] = 0;
        s.owner[j] = s.column[j] = kNone;
        s.bound[j] = kUnmade;
    });
    if (team.leads()) *s.control = {};
    team.sync();
}

// 5/4 of the mean distance of cost + price from its row's mean: the standard deviation where it is normal.
template <class Team>
BRENIER_BOTH std::int32_t spread_of(Team& team, const State& s) {
    const int rows = s.n < kSampledRows ? s.n : kSampledRows;
    team.rows(rows, [&](const auto& warp, int k) {
        const int row = static_cast<int>(static_cast<std::int64_t>(k) * s.n / rows);
        const auto sum = [&](std::int64_t from, bool distance) {
            return warp.total([&](int lane) {
                std::int64_t part = 0;
                for (int j = lane; j < s.n; j += 32) {
                    const std::int64_t value = s.cost_at(row, j) + s.price[j] - from;
                    part += distance && value < 0 ? -value : value;
                }
                return part;
            });
        };
        const std::int64_t distances = sum(sum(0, false) / s.n, true);
        if (warp.leads()) add_to(&s.control->spread, distances / s.n);
    });
    team.sync();
    return static_cast<std::int32_t>(s.control->spread / rows * 5 / 4);
}

BRENIER_BOTH void queue_up(const State& s, int row) {
    s.queue[0][add_to(&s.control->queued[0], 1)] = row;
    add_to(&s.control->waiting, 1);
}

// Rows off their best column by more than ε give theirs back.
template <class Team>
BRENIER_BOTH void sift(Team& team, const State& s, std::int32_t epsilon) {
    if (team.leads()) {
        Control& c = *s.control;
        c.waiting = c.queued[0] = c.queued[1] = c.displaced[0] = c.displaced[1] = c.touched[0] = c.touched[1] = 0;
    }
    team.sync();
    team.rows(s.n, [&](const auto& warp, int row) {
        const int own = s.column[row];
        if (own != kNone) {
            const std::int64_t least = lowest(warp, s, row);
            if (s.cost_at(row, own) + std::int64_t(s.price[own]) <= least + epsilon) return;
        }
        if (!warp.leads()) return;
        if (own != kNone) s.owner[own] = s.column[row] = kNone;
        queue_up(s, row);
    });
    team.sync();
}

// A row without a column bids what makes its second best as good, and ε.
template <class Warp>
BRENIER_BOTH void bid(const Warp& warp, const State& s, int row, std::int32_t epsilon, int turn) {
    const BestTwo two = look(warp, s, row);
    if (!warp.leads()) return;
    s.queue[1 - turn][add_to(&s.control->queued[1 - turn], 1)] = row;
    const std::int32_t raise = two.second == kInfinite ? 0 : two.second - two.best;
    const unsigned long long mine = packed_bid(s.price[two.column] + raise + epsilon, row);
    if (raise_to(&s.bid[two.column], mine) == 0) s.touched[add_to(&s.control->touched[turn], 1)] = two.column;
}

// The highest bid takes the column; whoever had it waits.
BRENIER_BOTH void resolve(const State& s, int j, int turn) {
    const unsigned long long highest = s.bid[j];
    const int row = row_of(highest), previous = s.owner[j];
    s.bid[j] = 0;
    s.price[j] = price_of(highest);
    s.owner[j] = row;
    s.column[row] = j;
    if (previous != kNone) {
        s.column[previous] = kNone;
        s.displaced[1 - turn][add_to(&s.control->displaced[1 - turn], 1)] = previous;
    } else {
        add_to(&s.control->waiting, -1);
    }
    if (s.price[j] >= kHighestPrice) s.control->flags = kStalled;
}

// Who bids: those who bid in the last round and won nothing, and those who were displaced in it. Counters of the other
// turn are cleared where nobody reads them: a barrier lies between either way.
template <class Team>
BRENIER_BOTH void round(Team& team, const State& s, std::int32_t epsilon, int turn) {
    Control& c = *s.control;
    const int again = c.queued[turn], displaced = c.displaced[turn];
    team.rows(again + displaced, [&](const auto& warp, int k) {
        const int row = k < again ? s.queue[turn][k] : s.displaced[turn][k - again];
        if (s.column[row] == kNone) bid(warp, s, row, epsilon, turn);
    });
    team.sync();
    team.each(c.touched[turn], [&](int k) { resolve(s, s.touched[k], turn); });
    if (team.leads()) c.queued[turn] = c.displaced[turn] = c.touched[1 - turn] = 0;
    team.sync();
}

// Is the pairing proved as good as asked for? A floor loses less than a unit a row.
template <class Team>
BRENIER_BOTH bool certified(Team& team, const State& s, double gap) {
    Control& c = *s.control;
    if (team.leads()) c.primal = c.dual = 0;
    team.sync();
    team.rows(s.n, [&](const auto& warp, int row) {
        const std::int32_t least = lowest(warp, s, row);
        if (!warp.leads()) return;
        add_to(&c.dual, std::int64_t(least) - s.price[row]);
        add_to(&c.primal, std::int64_t(s.cost_at(row, s.column[row])));
    });
    team.sync();
    const double random = static_cast<double>(s.cost_sum) / s.n, dual = static_cast<double>(c.dual);
    return static_cast<double>(c.primal) + s.n - dual <= gap * (random - dual);
}

BRENIER_BOTH std::int32_t at_least_one(double value) { return value < 1 ? 1 : static_cast<std::int32_t>(value); }

BRENIER_BOTH Steps first_steps(int n, std::int32_t spread, double gap) {
    const std::int32_t last = at_least_one(kLastEpsilon * gap * spread), first = at_least_one(kFirstEpsilon * spread);
    return {first > last ? first : last, last, n / kLeftFine};
}

// The next ε; false where the finest phase is over.
BRENIER_BOTH bool finer(Steps& steps) {
    if (steps.epsilon <= steps.last) return false;
    const std::int32_t next = steps.epsilon / kEpsilonRatio;
    steps.epsilon = next > steps.last ? next : steps.last;
    return true;
}

// What the certificate asks for when it was not reached, fewer insertions first: a finer ε makes the last rows' bids
// many. False where there is nothing finer.
BRENIER_BOTH bool refine(Steps& steps) {
    if (steps.last <= 1 && steps.left == 0) return false;
    if (steps.left == 0) steps.last = steps.last / kEpsilonRatio > 1 ? steps.last / kEpsilonRatio : 1;
    steps.left = steps.left * 3 / 4;
    steps.epsilon = steps.last;
    return true;
}

template <class Team>
BRENIER_BOTH int solve(Team& team, const State& s, double gap, int most_rounds, Steps& steps) {
    open(team, s);
    steps = first_steps(s.n, spread_of(team, s), gap);
    int rounds = 0;
    for (;;) {
        const bool finest = steps.epsilon <= steps.last;
        const int left = finest ? steps.left : s.n / kLeftCoarse;
        sift(team, s, steps.epsilon);
        int turn = 0;
        for (; s.control->waiting > left && s.control->flags == 0 && rounds < most_rounds; ++rounds, turn = 1 - turn) {
            round(team, s, steps.epsilon, turn);
        }
        const bool stalled = s.control->flags != 0 || rounds >= most_rounds;
        if (!stalled && finer(steps)) continue;
        stalled ? fill(team, s) : insert(team, s);
        if (certified(team, s, gap) || stalled || !refine(steps)) return stalled ? -rounds - 1 : rounds;
    }
}

}  // namespace brenier::cuda
