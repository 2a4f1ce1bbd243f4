// From prices that are optimal within ε to the exact optimum, in float64 on the caller's scores.
#pragma once
#include "cpu/assignment/auction.hpp"

namespace brenier::assignment::BRENIER_ISA {

// ---- price: integers become float64; lists get exact costs

inline void Auction::price() {
    if (at_ == 0)
        for (int64_t j = 0; j < n_; ++j) m_.price[j] = double(price_[j]) * unit_;
    if (at_ == n_) {
        const bool stop = problem_.gap > 0 && good_enough();
        return enter(stop ? Stage::certify : Stage::tighten);
    }
    if (!lists_[at_].count) renew(at_);
    if (!declined_) fetch(at_++);
}

inline void Auction::fetch(int64_t i) {
    const CandidateList& list = lists_[i];
    double* const cost = exact_cost_ + i * CAPACITY;
    read(list.count);
    for (int32_t k = 0; k < list.count; ++k) cost[k] = cost_at(problem_, i, list.column[k]);
    for (int32_t k = list.count; k < list.padded(); ++k) cost[k] = INFINITE;
}

inline void Auction::remake(int64_t i) {
    renew(i);
    if (!declined_) fetch(i);
}

inline BestTwo Auction::listed_two(int64_t i) {
    const CandidateList& list = lists_[i];
    read(2 * INT_LANES + list.count);
    return best_two(exact_cost_ + i * CAPACITY, list.column, list.count, m_.price);
}

// From the scores themselves, where costs are beyond what steps can tell apart.
inline BestTwo Auction::whole_row_two(int64_t i) {
    double* const cost = static_cast<double*>(staged_);
    read(4 * width_);
    assignment::BRENIER_ISA::load_row(problem_, i, cost, width_);
    return best_two(cost, m_.price, width_);
}

// Smallest and (no more than the) second smallest over a row, proved by the list's bound, a new list or the row.
inline BestTwo Auction::exact_look(int64_t i) {
    BestTwo two = listed_two(i);
    if (two.second <= exact_bound(i)) return two;
    remake(i);
    two = listed_two(i);
    if (two.best > exact_bound(i)) return whole_row_two(i);
    two.second = two.second < exact_bound(i) ? two.second : exact_bound(i);
    return two;
}

inline double Auction::exact_lowest(int64_t i) {
    const double least = listed_two(i).best;
    return least <= exact_bound(i) ? least : exact_look(i).best;
}

// ---- tighten and repair: rows off their best column bid again, without ε

inline void Auction::tighten() {
    if (at_ == 0) waiting_ = 0;
    if (at_ < n_) {
        const int64_t i = at_++;
        if (own(i) > exact_lowest(i)) m_.waiting[waiting_++] = i;
        return;
    }
    for (int64_t k = 0; k < waiting_; ++k) m_.release(m_.waiting[k]);
    repair_.start(waiting_);
    enter(Stage::repair);
}

inline void Auction::repair() {
    const bool over = repair_.step(m_, [this](int64_t i) { return exact_look(i); }, [this](int64_t j) { raised(j); });
    if (over) enter(Stage::search);
}

// ---- search: shortest alternating paths over the lists

inline void Auction::search() {
    if (tree_.root == NONE) return at_ == repair_.waiting ? enter(Stage::certify) : start_tree();
    if (impatient()) return give_up(true);
    const double nearest = tree_.nearest();
    if (nearest > tree_.reach) return extend_tree();
    if (nearest == INFINITE) {
        status_ = Status::infeasible;
        return;
    }
    const int32_t j = tree_.take_nearest();
    if (m_.row_of[j] == NONE) return augment(j);
    tree_.final_distance[tree_.columns] = nearest;
    tree_.scanned[tree_.columns++] = j;
    grow(m_.row_of[j], nearest - own(m_.row_of[j]));
}

inline void Auction::start_tree() {
    tree_.start(m_.waiting[at_++]);
    grow(tree_.root, 0);
}

// The row joins the tree: a column left out of its list is at least base + bound away.
inline void Auction::grow(int64_t i, double base) {
    relax_list(i, base);
    tree_.add_row(i, base, base + exact_bound(i));
}

inline void Auction::relax_list(int64_t i, double base) {
    const CandidateList& list = lists_[i];
    const double* const cost = exact_cost_ + i * CAPACITY;
    read(INT_LANES + list.count);
    for (int32_t k = 0; k < list.count; ++k) {
        const int32_t j = list.column[k];
        tree_.offer(i, j, (cost[k] + m_.price[j]) + base, m_.row_of[j] == NONE);
    }
}

inline void Auction::relax_all(int64_t i, double base) {
    read(4 * width_);
    for (int64_t j = 0; j < n_; ++j)
        tree_.offer(i, int32_t(j), (cost_at(problem_, i, j) + m_.price[j]) + base, m_.row_of[j] == NONE);
}

// The nearest known column is beyond what the lists prove: a new list for the row that proves least, or, where prices
// have hardly risen since the last, the whole row.
inline void Auction::extend_tree() {
    const int32_t k = tree_.least_reaching();
    const int64_t i = tree_.row[k];
    remake(i);
    if (declined_) return;
    const double limit = tree_.base[k] + exact_bound(i);
    if (limit > tree_.limit[k]) {
        relax_list(i, tree_.base[k]);
        return tree_.set_limit(k, limit);
    }
    relax_all(i, tree_.base[k]);
    tree_.set_limit(k, INFINITE);
}

// Turn the path over, and raise the scanned columns so that the tree is tight.
inline void Auction::augment(int64_t column) {
    const double nearest = tree_.distance[column];
    for (int32_t k = 0; k < tree_.columns; ++k) {
        m_.price[tree_.scanned[k]] += nearest - tree_.final_distance[k];
        raised(tree_.scanned[k]);
    }
    for (int64_t j = column;;) {
        const int64_t i = tree_.via[j], before = m_.column_of[i];
        m_.match(i, j);
        if (i == tree_.root) break;
        j = before;
    }
    tree_.root = NONE;
    read(tree_.columns + INT_LANES);
}

// ---- certify: a lower bound of every row at the final prices

inline void Auction::certify() {
    if (at_ == 0) excess_ = 0;
    if (at_ == n_) {
        status_ = Status::done;
        return;
    }
    const int64_t i = at_++;
    lower_[i] = exact_lowest(i);
    excess_ += own(i) - lower_[i];
}

}  // namespace brenier::assignment::BRENIER_ISA
