// The last rows, placed without bidding: directly, or by moving one other row to a free column.
//
//   row i takes the column of k, and k the free column that suits it best:  cost[i, x_k] - cost[k, x_k] + min_free cost[k, j]
//
// One row after the other, in ascending order, each the cheapest way; prices stay as they are. The free columns'
// minima are found by everybody; the insertions, each a pass over n numbers, are one block's work.
#pragma once

#include "cuda/auction_rules.cuh"

namespace brenier::cuda {

// Rows without a column in queue[1], ascending; free columns in displaced[0], in any order.
template <class Team>
BRENIER_BOTH void collect_rest(Team& team, const State& s) {
    Control& c = *s.control;
    if (team.leads()) {
        c.free = c.left = 0;
        c.pick[0] = c.pick[1] = ~0ull;
    }
    team.sync();
    team.each(s.n, [&](int k) {
        if (s.column[k] == kNone) s.queue[0][add_to(&c.left, 1)] = k;
        if (s.owner[k] == kNone) s.displaced[0][add_to(&c.free, 1)] = k;
    });
    team.sync();
    team.each(c.left, [&](int k) {
        int rank = 0;
        for (int other = 0; other < c.left; ++other) rank += s.queue[0][other] < s.queue[0][k];
        s.queue[1][rank] = s.queue[0][k];
    });
    if (team.leads()) c.inserted += c.left;
    team.sync();
}

// The cheapest free column of a row, the lowest among equals: its cost into touched, itself into displaced[1].
template <class Warp>
BRENIER_BOTH void choose_free(const Warp& warp, const State& s, int row) {
    typename Warp::template Of<std::int32_t> cost, where;
    warp.each([&](int lane) {
        cost[lane] = where[lane] = kInfinite;
        for (int f = lane; f < s.control->free; f += 32) {
            const int j = s.displaced[0][f];
            if (s.owner[j] != kNone) continue;
            const std::int32_t its = s.cost_at(row, j);
            if (its < cost[lane] || (its == cost[lane] && j < where[lane])) cost[lane] = its, where[lane] = j;
        }
    });
    const std::int32_t least = warp.least([&](int lane) { return cost[lane]; });
    const std::int32_t chosen = warp.least([&](int lane) { return cost[lane] == least ? where[lane] : kInfinite; });
    if (!warp.leads()) return;
    s.touched[row] = least;
    s.displaced[1][row] = chosen;
}

// What it costs that row k moves to a free column for row i (k = i: that i takes one), and k below it.
BRENIER_BOTH unsigned long long way(const State& s, int i, int k) {
    const int own = s.column[k];
    if (own == kNone && k != i) return ~0ull;
    const std::int32_t moved = k == i ? 0 : s.cost_at(i, own) - s.cost_at(k, own);
    return static_cast<unsigned long long>(static_cast<std::uint32_t>(moved + s.touched[k]) ^ 0x80000000u) << 32 | unsigned(k);
}

BRENIER_BOTH void take(const State& s, int i, int k) {
    const int freed = s.column[k], column = s.displaced[1][k];
    s.column[k] = column;
    s.owner[column] = k;
    if (k == i) return;
    s.column[i] = freed;
    s.owner[freed] = i;
}

template <class Block>
BRENIER_BOTH void insert_each(Block& block, const State& s) {
    Control& c = *s.control;
    for (int u = 0; u < c.left; ++u) {
        const int i = s.queue[1][u];
        block.least(s.n, &c.pick[u % 2], [&](int k) { return way(s, i, k); });
        block.sync();
        const int k = static_cast<int>(c.pick[u % 2] & 0xffffffffu), taken = s.displaced[1][k];
        if (block.leads()) {
            take(s, i, k);
            c.pick[1 - u % 2] = ~0ull;
        }
        block.sync();
        if (u + 1 == c.left) break;
        block.rows(s.n, [&](const auto& warp, int row) {
            if (s.displaced[1][row] == taken) choose_free(warp, s, row);
        });
        block.sync();
    }
}

template <class Team>
BRENIER_BOTH void insert(Team& team, const State& s) {
    collect_rest(team, s);
    if (s.control->left == 0) return;
    team.rows(s.n, [&](const auto& warp, int row) { choose_free(warp, s, row); });
    team.sync();
    if (team.has_first_block()) {
        auto block = team.block();
        insert_each(block, s);
    }
    team.sync();
}

// After a price war: any columns for the rows that are left; the certificate says what that is worth.
template <class Team>
BRENIER_BOTH void fill(Team& team, const State& s) {
    collect_rest(team, s);
    team.each(s.control->left, [&](int k) {
        int rank = 0;
        for (int f = 0; f < s.control->free; ++f) rank += s.displaced[0][f] < s.displaced[0][k];
        s.queue[0][rank] = s.displaced[0][k];
    });
    team.sync();
    team.each(s.control->left, [&](int k) {
        s.column[s.queue[1][k]] = s.queue[0][k];
        s.owner[s.queue[0][k]] = s.queue[1][k];
    });
    team.sync();
}

}  // namespace brenier::cuda
