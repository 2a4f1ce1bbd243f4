// Repair (augmenting row reduction) and search (shortest augmenting paths): what makes the answer exact.
#pragma once
#include "cpu/assignment/stages.hpp"

namespace brenier::assignment::BRENIER_ISA {

constexpr int64_t REPAIR_PASSES = 2;

// ---- repair: bids without ε, each row a limited number of times

inline void Solver::start_repair() {
    pass_ = 0;
    kept_ = 0;
    bids_ = 0;
    bid_limit_ = 2 * waiting_ + 4;
    enter(Stage::repair);
}

// A row takes its best column if that gains something or the column is free; who is displaced goes next, or
// waits for the next pass when prices stand still.
inline void Solver::repair() {
    if (at_ == waiting_) {
        waiting_ = kept_;
        kept_ = at_ = 0;
        const bool moved = bids_ > 0;
        if (++pass_ >= REPAIR_PASSES || !moved) start_search();
        return;
    }
    const int64_t i = s_.waiting[at_];
    const BestTwo two = look(i);
    const int64_t previous = two.column < s_.n ? s_.row_of[two.column] : NONE;
    const bool gains = two.second > two.best, clear = two.second < INFINITE;
    if (!clear || (!gains && previous != NONE)) {
        s_.waiting[kept_++] = i;
        ++at_;
        return;
    }
    if (gains) {
        s_.price[two.column] += two.second - two.best;
        ++bids_;
    }
    s_.match(i, two.column);
    if (previous == NONE) {
        ++at_;
        return;
    }
    s_.displace(previous);
    if (gains && bids_ < bid_limit_) {
        s_.waiting[at_] = previous;
    } else {
        s_.waiting[kept_++] = previous;
        ++at_;
    }
}

// ---- search: a tree of shortest alternating paths from each row that still waits

inline void Solver::start_search() {
    if (overflows_ > s_.n / 8) {
        std::free(lists_);
        lists_ = nullptr;
    }
    root_ = NONE;
    effort_ = 0;
    enter(Stage::search);
}

inline void Solver::start_tree() {
    root_ = s_.waiting[at_++];
    scanned_ = tree_ = 0;
    reach_ = INFINITE;
    for (int64_t j = 0; j < s_.width; ++j) {
        s_.open[j] = s_.price[j];
        s_.distance[j] = INFINITE;
    }
    grow(root_, 0);
}

inline void Solver::search() {
    if (root_ == NONE) {
        if (at_ == waiting_) return enter(Stage::certify);
        if (may_bid_ && effort_ > PATHS_PATIENCE * s_.n * s_.n && start_bidding()) return;
        return start_tree();
    }
    if (nearest_.distance > reach_) return extend_tree();
    if (nearest_.distance == INFINITE) return fail(Status::infeasible);
    if (nearest_.unmatched <= nearest_.distance)
        return augment(unmatched_at(s_.distance, s_.matched, nearest_.distance));
    const int64_t j = nearest_.column, i = s_.row_of[j];
    const double base = s_.distance[j] - (s_.row(i)[j] + s_.price[j]);
    s_.scanned_column[scanned_] = j;
    s_.scanned_distance[scanned_++] = s_.distance[j];
    s_.distance[j] = s_.open[j] = INFINITE;
    grow(i, base);
}

// The row joins the tree. With lists, columns left out are at least base + bound away: reach_ remembers.
inline void Solver::grow(int64_t row, double base) {
    read(2 * s_.width);
    if (!lists_) {
        nearest_ = relax_row(s_.row(row), s_.open, base, row, s_.distance, s_.via, s_.matched, s_.width);
        return;
    }
    if (!lists_[row].count) make(row);
    relax_list(row, base);
    s_.tree_row[tree_] = row;
    s_.tree_base[tree_] = base;
    s_.tree_limit[tree_] = base + lists_[row].bound;
    reach_ = s_.tree_limit[tree_] < reach_ ? s_.tree_limit[tree_] : reach_;
    ++tree_;
}

inline void Solver::relax_list(int64_t row, double base) {
    const CandidateList& list = lists_[row];
    for (int64_t k = 0; k < list.count; ++k) {
        const int64_t j = list.column[k];
        const double offer = (list.cost[k] + s_.open[j]) + base;
        if (offer < s_.distance[j]) {
            s_.distance[j] = offer;
            s_.via[j] = row;
        }
    }
    nearest_ = nearest_column(s_.distance, s_.matched, s_.width);
}

// The nearest known column is beyond what the lists prove: read the whole row with the lowest limit.
inline void Solver::extend_tree() {
    int64_t lowest_at = 0;
    for (int64_t k = 1; k < tree_; ++k)
        if (s_.tree_limit[k] < s_.tree_limit[lowest_at]) lowest_at = k;
    const int64_t row = s_.tree_row[lowest_at];
    nearest_ = relax_row(s_.row(row), s_.open, s_.tree_base[lowest_at], row, s_.distance, s_.via, s_.matched, s_.width);
    --tree_;
    s_.tree_row[lowest_at] = s_.tree_row[tree_];
    s_.tree_base[lowest_at] = s_.tree_base[tree_];
    s_.tree_limit[lowest_at] = s_.tree_limit[tree_];
    reach_ = INFINITE;
    for (int64_t k = 0; k < tree_; ++k) reach_ = s_.tree_limit[k] < reach_ ? s_.tree_limit[k] : reach_;
    read(2 * s_.width + tree_);
}

// Turn the path over, and raise the scanned columns so that the tree is tight.
inline void Solver::augment(int64_t column) {
    for (int64_t k = 0; k < scanned_; ++k)
        s_.price[s_.scanned_column[k]] += nearest_.distance - s_.scanned_distance[k];
    for (int64_t j = column;;) {
        const int64_t i = s_.via[j], before = s_.column_of[i];
        s_.match(i, j);
        if (i == root_) break;
        j = before;
    }
    root_ = NONE;
    read(s_.n);
}

}  // namespace brenier::assignment::BRENIER_ISA
