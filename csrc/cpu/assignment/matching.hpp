// Rows matched to columns at prices, and the repair of rows without a column: shared by bidding and by paths.
#pragma once
#include "cpu/assignment/memory.hpp"
#include "cpu/assignment/rows.hpp"

namespace brenier::assignment::BRENIER_ISA {

constexpr int64_t NONE = -1;

template <class Number>
BRENIER_INLINE Number lesser(Number a, Number b) { return b < a ? b : a; }

struct Matching {
    int64_t n = 0;
    double* price = nullptr;    // of a column, in costs
    double* matched = nullptr;  // of a column: 0 while it is free, else +inf
    int64_t *column_of = nullptr, *row_of = nullptr, *waiting = nullptr;  // waiting: rows without a column

    static int64_t bytes(int64_t width) { return 2 * Arena::bytes_of<double>(width) + 3 * Arena::bytes_of<int64_t>(width); }
    void place(Arena& arena, int64_t size, int64_t width) {
        n = size;
        for (double** array : {&price, &matched}) *array = arena.take<double>(width);
        for (int64_t** array : {&column_of, &row_of, &waiting}) *array = arena.take<int64_t>(width);
        for (int64_t j = 0; j < width; ++j) price[j] = 0, matched[j] = 0, column_of[j] = row_of[j] = NONE;
    }
    void match(int64_t i, int64_t j) {
        column_of[i] = j;
        row_of[j] = i;
        matched[j] = INFINITE;
    }
    // The row loses its column to another row: the column stays matched.
    void displace(int64_t i) { column_of[i] = NONE; }
    void release(int64_t i) {
        matched[column_of[i]] = 0;
        row_of[column_of[i]] = NONE;
        column_of[i] = NONE;
    }
};

// Bids without ε (Jonker and Volgenant's augmenting row reduction), each row a limited number of times.
struct Repair {
    static constexpr int64_t PASSES = 2;
    int64_t at = 0, waiting = 0, kept = 0, pass = 0, bids = 0, limit = 0;

    void start(int64_t rows) { *this = {0, rows, 0, 0, 0, 2 * rows + 4}; }

    // One row: true once every pass is over. `look(i)` gives its best two, `raised(j)` hears of a new price.
    template <class Look, class Raised>
    bool step(Matching& m, Look look, Raised raised) {
        if (at == waiting) return end_of_pass();
        const int64_t i = m.waiting[at];
        const BestTwo two = look(i);
        const int64_t previous = two.column < m.n ? m.row_of[two.column] : NONE;
        const bool gains = two.second > two.best, clear = two.second < INFINITE;
        if (!clear || (!gains && previous != NONE)) {
            m.waiting[kept++] = i;
            ++at;
            return false;
        }
        if (gains) {
            m.price[two.column] += two.second - two.best;
            raised(two.column);
            ++bids;
        }
        m.match(i, two.column);
        next(m, previous, gains);
        return false;
    }

   private:
    bool end_of_pass() {
        waiting = kept;
        kept = at = 0;
        const bool moved = bids > 0;
        return ++pass >= PASSES || !moved;
    }
    // Who is displaced goes next, or waits for the next pass when prices stand still.
    void next(Matching& m, int64_t previous, bool gains) {
        if (previous == NONE) {
            ++at;
            return;
        }
        m.displace(previous);
        if (gains && bids < limit) {
            m.waiting[at] = previous;
        } else {
            m.waiting[kept++] = previous;
            ++at;
        }
    }
};

}  // namespace brenier::assignment::BRENIER_ISA
