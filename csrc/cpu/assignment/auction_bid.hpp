// Bidding with falling ε, on integer costs and prices: whole rows in 8-bit coarse steps, then lists in 64ths of a whole
// step; or, where these few stay near the processor, whole rows in 16-bit steps.
#pragma once
#include "cpu/assignment/auction.hpp"

namespace brenier::assignment::BRENIER_ISA {

// Which rows are off their best column by more than ε? They bid again.
inline void Auction::sift() {
    if (at_ == 0) waiting_ = 0, excess_ = 0;
    if (at_ == n_) return settle();
    const bool whole = costs_ == Costs::whole;
    const int64_t end = at_ + ROWS_PER_STEP < n_ ? at_ + ROWS_PER_STEP : n_;
    for (; at_ < end && !declined_; ++at_) {
        const int32_t over = over_best(at_);
        m_.waiting[waiting_] = at_;
        waiting_ += over > (whole ? epsilon_in(STEP_BITS) : epsilon_);
        const bool proves = m_.column_of[at_] != NONE && own_[at_] < (whole ? UINT16_MAX : LARGEST_COST);
        excess_ += proves ? double(over) * (whole ? STEP : 1) : INFINITE;  // a clamped cost proves nothing
    }
}

// How far a row is off its best column.
inline int32_t Auction::over_best(int64_t i) {
    const int64_t j = m_.column_of[i];
    if (j == NONE) return INT32_MAX;
    if (costs_ == Costs::whole) return own_[i] + whole_price_[j] - lowest_whole(i);
    const int32_t known = own_[i] + price_[j];
    return known - lowest(i, known);
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
    for (int k = 0; k < ROUNDS_PER_STEP && stage_ == Stage::bid && !declined_; ++k) {
        if (waiting_ == 0) return next_epsilon();
        if (impatient()) return give_up(true);
        if (costs_ == Costs::coarse) bid_together(coarse_price_);
        else if (costs_ == Costs::whole) bid_together(whole_price_);
        else bid_together(price_);
    }
}

// The last few rows in line look at the same prices, so that the processor overlaps their looks, and bid in turn; one
// whose column has been raised since looks again. A second best that has been raised leaves a bid valid, if lower.
template <class Price>
inline void Auction::bid_together(Price* price) {
    const int64_t most = costs_ == Costs::whole ? TOGETHER / 2 : TOGETHER, rows = waiting_ < most ? waiting_ : most;
    int64_t* const line = m_.waiting + (waiting_ - rows);
    BidTwo seen[TOGETHER];
    for (int64_t k = 0; k < rows; ++k) seen[k] = look(line[k], price);
    int64_t kept = 0, k = 0;
    for (; k < rows && !declined_; ++k) {
        const int64_t i = line[k];
        int32_t own = seen[k].own;
        if (own + int32_t(price[seen[k].column]) != seen[k].best) {
            seen[k] = look(i, price);
            own = seen[k].own;
        }
        const int64_t j = seen[k].column, previous = m_.row_of[j];
        if (!raise(price, j, seen[k])) break;
        own_[i] = own;
        m_.match(i, j);
        if (previous == NONE) continue;
        m_.displace(previous);
        line[kept++] = previous;
    }
    for (; k < rows; ++k) line[kept++] = line[k];
    waiting_ -= rows - kept;
}

// Raise the price of the best column to where the second best is ε better; false where it would be too high.
template <class Price>
inline bool Auction::raise_whole(Price* price, int64_t j, const BidTwo& two, int bits) {
    const int32_t most = Price(~Price(0)), raised = int32_t(price[j]) + (two.second - two.best) + epsilon_in(bits);
    const bool fits = two.best < most && raised < most;
    if (fits) price[j] = Price(raised);
    return fits;
}
inline bool Auction::raise(uint8_t* price, int64_t j, const BidTwo& two) {
    const bool fits = raise_whole(price, j, two, COARSE_BITS + STEP_BITS);
    if (!fits) leave_coarse();
    return fits;
}
inline bool Auction::raise(uint16_t* price, int64_t j, const BidTwo& two) {
    const bool fits = raise_whole(price, j, two, STEP_BITS);
    if (!fits) leave_whole_rows();
    return fits;
}
inline bool Auction::raise(int32_t* price, int64_t j, const BidTwo& two) {
    price[j] += (two.second - two.best) + epsilon_;
    round_price(j);
    if (price[j] > HIGHEST_PRICE) give_up(true);
    return !declined_;
}

// The price in whole steps, rounded down.
inline void Auction::round_price(int64_t j) {
    const int32_t steps = (price_[j] - low_) >> STEP_BITS;
    whole_price_[j] = uint16_t(steps < UINT16_MAX ? steps : UINT16_MAX);
}

inline void Auction::next_epsilon() {
    if (costs_ == Costs::coarse) leave_coarse();
    if (epsilon_ <= last_epsilon_ && !(problem_.gap > 0)) return enter(Stage::price);
    const int32_t next = int32_t(double(epsilon_) * STEP_RATIO);
    epsilon_ = next > last_epsilon_ ? next : last_epsilon_;
    enter(Stage::sift);
}

// ---- whole rows

// From coarse steps to lists, in the middle of bidding or after it. Prices keep what coarse ones had rounded away.
inline void Auction::leave_coarse() {
    costs_ = Costs::listed;
    for (int64_t j = 0; j < n_; ++j) {
        price_[j] += (int32_t(coarse_price_[j]) - (whole_price_[j] >> COARSE_BITS)) * (1 << (COARSE_BITS + STEP_BITS));
        round_price(j);
    }
    for (int64_t i = 0; i < n_; ++i) {
        const int64_t j = m_.column_of[i];
        own_[i] = j == NONE ? 0 : int32_t(steps_[i * width_ + j]) << STEP_BITS;
    }
}

// From whole steps to lists, in the middle of bidding or after it.
inline void Auction::leave_whole_rows() {
    costs_ = Costs::listed;
    low_ = 0;
    for (int64_t j = 0; j < n_; ++j) price_[j] = int32_t(whole_price_[j]) << STEP_BITS;
    for (int64_t i = 0; i < n_; ++i) own_[i] = m_.column_of[i] == NONE ? 0 : own_[i] << STEP_BITS;
}

inline BidTwo Auction::look(int64_t i, const uint8_t*) {
    read(width_ / 4);
    BidTwo two = best_two(coarse_steps_ + i * width_, coarse_price_, width_);
    two.own = two.best - coarse_price_[two.column];
    return two;
}

inline BidTwo Auction::look(int64_t i, const uint16_t*) {
    read(width_ / 2);
    BidTwo two = best_two(steps_ + i * width_, whole_price_, width_);
    two.own = two.best - whole_price_[two.column];
    return two;
}

inline int32_t Auction::lowest_whole(int64_t i) {
    read(width_ / 2);
    return lowest_of(steps_ + i * width_, whole_price_, width_);
}

// ---- lists

// A new list; `near` is the cost of some column. Its spread is guessed from that of the last and from
// how those of other rows have changed.
inline void Auction::renew(int64_t i, int32_t near) {
    read(width_);
    const float last = lists_[i].spread;
    int32_t spread = int32_t(lesser(last * growth_, float(LARGEST_COST)));
    if (!make_list(lists_[i], bound_[i], spread, row(i), near, columns_, room_)) return give_up(true);
    lists_[i].spread = float(spread);
    if (last > 1) growth_ += (lesser(float(spread) / last, 2.0f) - growth_) / 16;
}
inline void Auction::renew(int64_t i) {
    const bool made = bound_[i] != UNMADE;
    renew(i, made ? lowest_of(lists_[i], price_, room_) : lowest_of(row(i)));
}

inline BidTwo Auction::look(int64_t i, const int32_t*) {
    const CandidateList& list = lists_[i];
    const bool made = bound_[i] != UNMADE;
    read(4 * INT_LANES + room_);
    BidTwo two = {};
    if (made) two = best_two(list, price_, room_);
    if (!made || two.second > bound_[i]) {
        made ? renew(i, two.best) : renew(i);
        if (declined_) return {};
        two = best_two(list, price_, room_);
        two.second = two.second < bound_[i] ? two.second : bound_[i];
    }
    two.own = two.best - price_[two.column];
    return two;
}

// The least of the row, given that some column has `known`.
inline int32_t Auction::lowest(int64_t i, int32_t known) {
    const CandidateList& list = lists_[i];
    read(2 * INT_LANES + room_);
    const bool made = bound_[i] != UNMADE;
    const int32_t least = made ? lowest_of(list, price_, room_) : known;
    if (made && least <= bound_[i]) return least;
    renew(i, least);
    return declined_ ? least : lowest_of(list, price_, room_);
}

}  // namespace brenier::assignment::BRENIER_ISA
