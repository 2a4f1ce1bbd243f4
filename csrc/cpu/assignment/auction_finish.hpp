// From prices that are optimal within ε to the exact optimum, in float64 on the caller's scores.
//
// Integers say which columns may matter: cost + price is at least L − 1 units above the row's least, where L is the
// integer sum (less 1 for the rounding of floats to steps). Only those few are looked up in the scores.
#pragma once
#include "cpu/assignment/auction.hpp"

namespace brenier::assignment::BRENIER_ISA {

inline void Auction::price() {
    if (costs_ == Costs::whole) leave_whole_rows();
    for (int64_t j = 0; j < n_; ++j) m_.price[j] = double(price_[j]) * unit_, lower_[j] = -INFINITE;
    read(n_);
    const bool stop = problem_.gap > 0 && good_enough();
    enter(stop ? Stage::certify : Stage::tighten);
}

// ---- looks at a row: few of its scores, proved by integers

// The largest integer sum that a column of at most this value can have.
inline int32_t Auction::units_up_to(int64_t i, double value) const {
    const double units = (value - least_[i]) / unit_ + 2;
    return units < double(HIGHEST_PRICE * 2) ? int32_t(units) : HIGHEST_PRICE * 2;
}

inline double Auction::exact_at(int64_t i, int64_t j) const { return cost_at(problem_, i, j) + m_.price[j]; }

// The columns, of the list where there is one, whose integer sums are at most `limit`; how many.
inline int32_t Auction::candidates(int64_t i, int32_t limit) {
    const bool listed = bound_[i] != UNMADE;
    read(listed ? 2 * INT_LANES + room_ : width_);
    return listed ? collect(lists_[i], price_, limit, columns_, room_) : collect(row(i), limit, columns_);
}

// The least of the row, given that some column has `known`.
inline double Auction::exact_lowest(int64_t i, double known) {
    const int32_t limit = units_up_to(i, known);
    double least = known;
    for (int32_t k = candidates(i, limit); k-- > 0;) least = lesser(least, exact_at(i, columns_[k]));
    if (bound_[i] == UNMADE || least <= exact_bound(i)) return least;
    read(width_);
    for (int32_t k = collect(row(i), limit, columns_); k-- > 0;) least = lesser(least, exact_at(i, columns_[k]));
    return least;
}

// Smallest and second smallest of those up to `limit`.
inline BestTwo Auction::exact_two(int64_t i, int32_t limit) {
    BestTwo two = {INFINITE, INFINITE, 0};
    for (int32_t k = candidates(i, limit); k-- > 0;) {
        const double value = exact_at(i, columns_[k]), worse = value < two.best ? two.best : value;
        two.second = worse < two.second ? worse : two.second;
        two.column = value < two.best ? columns_[k] : two.column;
        two.best = value < two.best ? value : two.best;
    }
    return two;
}

// From the scores themselves, where costs are beyond what steps can tell apart.
inline BestTwo Auction::whole_row_two(int64_t i) {
    double* const cost = static_cast<double*>(staged_);
    read(4 * width_);
    assignment::BRENIER_ISA::load_row(problem_, i, cost, width_);
    return best_two(cost, m_.price, width_);
}

// What the second best of a row has at most, in integers: on a list, a guess from the row's last wish.
inline int32_t Auction::second_limit(int64_t i) {
    if (bound_[i] != UNMADE) return own_[i] + price_[wish_[i]] + STEP + 4 * last_epsilon_;
    read(width_ / 2);
    return low_ + (best_two(steps_ + i * width_, whole_price_, width_).second + 2) * STEP + 2;
}

// Smallest and (no more than the) second smallest over a row: among the columns that can be so good.
inline BestTwo Auction::exact_look(int64_t i) {
    const bool made = bound_[i] != UNMADE;
    const int32_t limit = second_limit(i);
    BestTwo two = exact_two(i, limit);
    if (two.second > proved(i, made ? lesser(limit, bound_[i]) : limit)) two = longer_look(i);
    own_[i] = units_up_to(i, two.best - m_.price[two.column]);
    wish_[i] = int32_t(two.column);
    return two;
}

// The same among those of its list, of a new list, or of the whole row.
inline BestTwo Auction::longer_look(int64_t i) {
    const bool made = bound_[i] != UNMADE;
    const int32_t most = HIGHEST_PRICE * 2, second = made ? best_two(lists_[i], price_, room_).second : 0;
    const int32_t limit = made ? lesser(lesser(second, most) + 2 * STEP, bound_[i]) : 0;
    BestTwo two = {INFINITE, INFINITE, 0};
    if (made) two = exact_two(i, limit);
    if (made && two.second <= proved(i, limit)) return two;
    renew(i);
    if (declined_) return two;
    two = exact_two(i, most);
    if (two.best > exact_bound(i)) return whole_row_two(i);
    two.second = lesser(two.second, exact_bound(i));
    return two;
}

// ---- tighten and repair: rows off their best column bid again, without ε

inline void Auction::tighten() {
    if (at_ == 0) waiting_ = 0;
    if (at_ < n_) {
        const int64_t i = at_++;
        if (i + AHEAD < n_) prefetch_cost(problem_, i + AHEAD, m_.column_of[i + AHEAD]);
        const double known = own(i);
        wish_[i] = int32_t(m_.column_of[i]);
        lower_[i] = exact_lowest(i, known);
        if (known > lower_[i]) m_.waiting[waiting_++] = i;
        return;
    }
    for (int64_t k = 0; k < waiting_; ++k) m_.release(m_.waiting[k]);
    repair_.start(waiting_);
    enter(Stage::repair);
}

// The integers follow a price, rounded down; a lower one proves less and no wrong.
inline void Auction::raised(int64_t j) {
    const double units = lesser(m_.price[j] / unit_, double(HIGHEST_PRICE));
    price_[j] = int32_t(units);
    price_[j] -= double(price_[j]) > units;
    round_price(j);
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

// Exact costs of the listed columns, for the few rows that trees reach.
inline void Auction::fetch(int64_t i) {
    CandidateList& list = lists_[i];
    read(list.count);
    for (int32_t k = 0; k < list.count; ++k) exact_cost_[i * CAPACITY + k] = cost_at(problem_, i, list.column[k]);
    list.fetched = 1;
}

// The row joins the tree: a column left out of its list is at least base + bound away.
inline void Auction::grow(int64_t i, double base) {
    if (bound_[i] == UNMADE) renew(i);
    if (declined_) return;
    relax_list(i, base);
    tree_.add_row(i, base, base + exact_bound(i));
}

inline void Auction::relax_list(int64_t i, double base) {
    const CandidateList& list = lists_[i];
    if (!list.fetched) fetch(i);
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
    renew(i);
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
    given_[i] = cost_at(problem_, i, m_.column_of[i]);
    const double own = given_[i] + m_.price[m_.column_of[i]];
    if (own == lower_[i]) return;  // as in `tighten`: since then prices have only risen
    lower_[i] = exact_lowest(i, own);
    excess_ += own - lower_[i];
}

}  // namespace brenier::assignment::BRENIER_ISA
