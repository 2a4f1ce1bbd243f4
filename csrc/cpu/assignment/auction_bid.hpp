// Bidding with falling ε, on integer costs and prices.
#pragma once
#include "cpu/assignment/auction.hpp"

namespace brenier::assignment::BRENIER_ISA {

// Which rows are off their best column by more than ε? They bid again.
inline void Auction::sift() {
    if (at_ == 0) waiting_ = 0, excess_ = 0;
    if (at_ == n_) return settle();
    const int64_t i = at_++, j = m_.column_of[i];
    if (j == NONE) {
        m_.waiting[waiting_++] = i;
        excess_ = INFINITE;
        return read(1);
    }
    const int32_t over = own_[i] + price_[j] - lowest(i);
    if (over > epsilon_) m_.waiting[waiting_++] = i;
    excess_ += own_[i] < LARGEST_COST ? double(over) : INFINITE;  // a clamped cost proves nothing
}

// Is the pairing proved as good as asked for? Costs are rounded down by less than a step a row.
inline bool Auction::good_enough() const {
    if (!(problem_.gap > 0 && excess_ < INFINITE)) return false;
    double cost = 0;
    for (int64_t i = 0; i < n_; ++i) cost += cost_at(problem_, i, m_.column_of[i]);
    const double excess = (excess_ + (STEP + 2) * double(n_)) * unit_;
    return excess <= problem_.gap * (random_total() - cost);
}

inline void Auction::settle() {
    if (good_enough()) return enter(Stage::price);
    if (epsilon_ <= last_epsilon_ && waiting_ == 0) return enter(Stage::price);
    for (int64_t k = 0; k < waiting_; ++k)
        if (m_.column_of[m_.waiting[k]] != NONE) m_.release(m_.waiting[k]);
    enter(Stage::bid);
}

inline void Auction::bid() {
    for (int k = 0; k < BIDS_PER_STEP && stage_ == Stage::bid && !declined_; ++k) bid_once();
}

// The last row in line raises the price of its best column to where the second best is ε better.
inline void Auction::bid_once() {
    if (waiting_ == 0) return next_epsilon();
    if (impatient()) return give_up(true);
    const int64_t i = m_.waiting[waiting_ - 1];
    const BidTwo two = look(i);
    if (declined_) return;
    const int64_t previous = m_.row_of[two.column];
    own_[i] = two.best - price_[two.column];
    price_[two.column] += (two.second - two.best) + epsilon_;
    if (price_[two.column] > HIGHEST_PRICE) return give_up(true);
    m_.match(i, two.column);
    if (previous == NONE) {
        --waiting_;
    } else {
        m_.displace(previous);
        m_.waiting[waiting_ - 1] = previous;
    }
}

inline void Auction::next_epsilon() {
    if (epsilon_ <= last_epsilon_ && !(problem_.gap > 0)) return enter(Stage::price);
    const int32_t next = int32_t(double(epsilon_) * STEP_RATIO);
    epsilon_ = next > last_epsilon_ ? next : last_epsilon_;
    enter(Stage::sift);
}

inline void Auction::renew(int64_t i) {
    read(3 * width_);
    if (!make_list(lists_[i], steps_ + i * width_, price_, values_, width_, wanted_)) give_up(true);
}

inline BidTwo Auction::look(int64_t i) {
    CandidateList& list = lists_[i];
    if (whole_rows_) {
        read(width_);
        return best_two(costs_ + i * width_, price_, width_);
    }
    read(4 * INT_LANES + list.count);
    if (list.count) {
        const BidTwo two = best_two(list, price_);
        if (two.second <= list.bound) return two;
    }
    renew(i);
    if (declined_) return {};
    BidTwo two = best_two(list, price_);
    two.second = two.second < list.bound ? two.second : list.bound;
    return two;
}

inline int32_t Auction::lowest(int64_t i) {
    CandidateList& list = lists_[i];
    if (whole_rows_) {
        read(width_);
        return lowest_of(costs_ + i * width_, price_, width_);
    }
    read(2 * INT_LANES + list.count);
    const int32_t least = lowest_of(list, price_);
    if (least <= list.bound) return least;
    renew(i);
    return declined_ ? least : lowest_of(list, price_);
}

}  // namespace brenier::assignment::BRENIER_ISA
