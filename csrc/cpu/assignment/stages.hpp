// Loading, the first prices, bidding, and the certificate. Every function is one step of about one row of work.
#pragma once
#include "cpu/assignment/solver.hpp"

namespace brenier::assignment::BRENIER_ISA {

inline double power_of_two_below(double value) { return __builtin_ldexp(1.0, __builtin_ilogb(value)); }

inline void Solver::advance() {
    switch (stage_) {
        case Stage::load: return load();
        case Stage::rescale: return rescale();
        case Stage::transfer: return transfer();
        case Stage::sift: return sift();
        case Stage::bid: return bid();
        case Stage::repair: return repair();
        case Stage::search: return search();
        case Stage::certify: return certify();
    }
}

// ---- load: copy, look for bad values, sum the columns for the first prices

inline void Solver::load() {
    if (at_ == s_.n) return after_load();
    if (problem_.is_float32)
        load_row<float>(problem_, at_, s_.row(at_), s_.width);
    else
        load_row<double>(problem_, at_, s_.row(at_), s_.width);
    survey(at_++);
}

// What the first prices need from a row, while it is in cache.
inline void Solver::survey(int64_t i) {
    survey_.see(s_.row(i), s_.width);
    lower_columns(s_.row(i), i, s_.open, s_.best_row, s_.width);
    if (may_bid_) add_row(s_.row(i), s_.values, s_.width);
    read(3 * s_.width);
}

inline void Solver::after_load() {
    contents_ = survey_.fold();
    if (contents_.not_a_number) return fail(Status::not_a_number);
    if (contents_.unbounded) return fail(Status::unbounded);
    const double largest = contents_.largest;
    if (scale_ == 1 && largest > 0 && (largest > 0x1p800 || largest < 0x1p-800)) {
        const int exponent = __builtin_ilogb(largest);
        scale_ = __builtin_ldexp(1.0, exponent > 1000 ? -1000 : exponent < -1000 ? 1000 : -exponent);
        survey_ = Survey{};
        for (int64_t j = 0; j < s_.width; ++j) s_.open[j] = INFINITE;
        return enter(Stage::rescale);
    }
    if (scale_ != 1 || contents_.allowed != s_.n * s_.n) may_bid_ = false;
    const bool at_once = problem_.bid_from >= 0 || (s_.n >= BID_FIRST && !tied());
    if (may_bid_ && at_once && start_bidding()) return;
    match_reduced();
}

// Extreme magnitudes are brought near 1 by a power of two, so that no sum overflows.
inline void Solver::rescale() {
    if (at_ == s_.n) return after_load();
    double* row = s_.row(at_);
    for (int64_t j = 0; j < s_.n; ++j) row[j] *= scale_;
    survey(at_++);
}

// Do most rows have several equally good columns? Bidding would walk them in steps of ε; paths do not mind.
inline bool Solver::tied() const {
    const int64_t samples = s_.n < 32 ? s_.n : 32;
    int64_t rows_with_ties = 0;
    for (int64_t k = 0; k < samples; ++k) {
        const BestTwo two = best_two(s_.row(k * s_.n / samples), s_.price, s_.width);
        rows_with_ties += two.best == two.second;
    }
    return 2 * rows_with_ties > samples;
}

// ---- reduce and transfer (Jonker and Volgenant): column minima as first prices

inline void Solver::match_reduced() {
    int64_t* columns_won = s_.via;
    for (int64_t i = 0; i < s_.n; ++i) columns_won[i] = 0;
    for (int64_t j = s_.n - 1; j >= 0; --j) {
        if (s_.open[j] == INFINITE) return fail(Status::infeasible);
        s_.price[j] = -s_.open[j];
        if (columns_won[s_.best_row[j]]++ == 0) s_.match(s_.best_row[j], j);
    }
    enter(Stage::transfer);
}

// A row that won one column alone can pay more for it, up to its second choice.
inline void Solver::transfer() {
    if (at_ == s_.n) return start_repair();
    const int64_t i = at_++, j = s_.column_of[i];
    if (j == NONE) {
        s_.waiting[waiting_++] = i;
    } else if (s_.via[i] == 1) {
        const BestTwo two = best_two(s_.row(i), s_.price, s_.width);
        if (two.column == j && two.second < INFINITE) s_.price[j] += two.second - two.best;
        read(s_.width);
    }
    read(1);
}

// ---- bidding

// Mean squared deviation of a row of cost + price, averaged over a sample of rows.
inline double Solver::sampled_variance(const double* price) const {
    const int64_t samples = s_.n < 32 ? s_.n : 32;
    const double share = 1 / double(s_.n);
    double variance = 0;
    for (int64_t k = 0; k < samples; ++k) {
        const double* row = s_.row(k * s_.n / samples);
        double mean = 0, squares = 0;
        for (int64_t j = 0; j < s_.n; ++j) mean += (row[j] + price[j]) * share;
        for (int64_t j = 0; j < s_.n; ++j) squares += (row[j] + price[j] - mean) * (row[j] + price[j] - mean);
        variance += squares * share / double(samples);
    }
    return variance;
}

// Prices that bring all columns to one mean, lists yet unmade, ε coarse. False where bidding is of no use: equal
// scores up to row and column offsets, or no memory for lists.
inline bool Solver::start_bidding() {
    may_bid_ = false;
    const double mean = contents_.sum / double(s_.n * s_.n);
    for (int64_t j = 0; j < s_.n; ++j) s_.values[j] = mean - s_.values[j] / double(s_.n);
    const double deviation = __builtin_sqrt(sampled_variance(s_.values)), finest = contents_.largest * 0x1p-40;
    if (!(deviation > finest)) return false;
    lists_ = static_cast<CandidateList*>(allocate(s_.n * int64_t(sizeof(CandidateList))));
    if (!lists_) return false;
    wanted_ = WANTED < s_.n / 3 ? WANTED : s_.n / 3 + 1;
    usual_spread_ = deviation / 16;
    for (int64_t i = 0; i < s_.n; ++i) lists_[i].count = 0, lists_[i].spread = usual_spread_;
    const double coarse = FIRST_STEP * deviation, fine = LAST_STEP * deviation;
    last_epsilon_ = power_of_two_below(fine > finest ? fine : finest);
    epsilon_ = power_of_two_below(coarse > finest ? coarse : finest);
    // Prices and ε are multiples of one power of two: sums with integers stay exact.
    for (int64_t j = 0; j < s_.n; ++j) s_.price[j] = __builtin_rint(s_.values[j] / last_epsilon_) * last_epsilon_;
    s_.unmatch_all();
    effort_ = 0;
    enter(Stage::sift);
    return true;
}

// Which rows are off their best column by more than ε? They bid again.
inline void Solver::sift() {
    if (at_ == 0) waiting_ = 0, excess_ = 0;
    if (at_ == s_.n) return settle();
    const int64_t i = at_++;
    if (s_.column_of[i] == NONE) {
        s_.waiting[waiting_++] = i;
        excess_ = INFINITE;
        return read(1);
    }
    const double over = own(i) - lower_bound(i);
    if (over > epsilon_) s_.waiting[waiting_++] = i;
    excess_ += over;
}

inline bool Solver::good_enough() const {
    if (!(excess_ < INFINITE)) return false;
    double cost = 0;
    for (int64_t i = 0; i < s_.n; ++i) cost += s_.row(i)[s_.column_of[i]];
    return excess_ <= problem_.gap * (contents_.sum / double(s_.n) - (cost - excess_));
}

inline void Solver::settle() {
    if (good_enough()) return enter(Stage::certify);
    for (int64_t k = 0; k < waiting_; ++k)
        if (s_.column_of[s_.waiting[k]] != NONE) s_.release(s_.waiting[k]);
    epsilon_ > 0 ? enter(Stage::bid) : start_repair();
}

// The last row in line raises the price of its best column to where the second best is ε better.
inline void Solver::bid() {
    if (waiting_ == 0) return next_epsilon();
    if (effort_ > PATIENCE * s_.n * s_.n || overflows_ > s_.n / 8) {
        stalled_ = true;
        epsilon_ = 0;
        return enter(Stage::sift);
    }
    const int64_t i = s_.waiting[waiting_ - 1];
    const BestTwo two = look(i);
    const int64_t previous = s_.row_of[two.column];
    s_.price[two.column] += (two.second - two.best) + epsilon_;
    s_.match(i, two.column);
    if (previous == NONE) {
        --waiting_;
    } else {
        s_.displace(previous);
        s_.waiting[waiting_ - 1] = previous;
    }
}

inline void Solver::next_epsilon() {
    const double next = epsilon_ * STEP_RATIO;
    epsilon_ = epsilon_ <= last_epsilon_ ? 0 : next < last_epsilon_ ? last_epsilon_ : next;
    enter(Stage::sift);
}

// ---- looks at a row, through its list where it has one

inline void Solver::make(int64_t i) {
    if (lists_[i].spread <= 0) lists_[i].spread = usual_spread_;
    overflows_ += !make_list(lists_[i], s_.row(i), s_.price, s_.values, s_.width, wanted_);
    read(3 * s_.width);
}

inline BestTwo Solver::look(int64_t i) {
    if (!lists_) {
        read(s_.width);
        return best_two(s_.row(i), s_.price, s_.width);
    }
    CandidateList& list = lists_[i];
    read(4 * LANES + list.count);
    if (list.count) {
        const BestTwo two = best_two(list, s_.price);
        if (two.second <= list.bound) return two;
    }
    make(i);
    BestTwo two = best_two(list, s_.price);
    two.second = two.second < list.bound ? two.second : list.bound;
    return two;
}

inline double Solver::lower_bound(int64_t i) {
    CandidateList& list = lists_[i];
    read(4 * LANES + list.count);
    if (list.count) {
        const double best = best_two(list, s_.price).best;
        if (best <= list.bound) return best;
    }
    make(i);
    return best_two(list, s_.price).best;
}

// ---- certify: row minima at the final prices, from the whole matrix

inline void Solver::certify() {
    if (at_ == 0) excess_ = 0;
    if (at_ == s_.n) {
        status_ = Status::done;
        return;
    }
    s_.least[at_] = lowest_sum(s_.row(at_), s_.price, s_.width);
    excess_ += own(at_) - s_.least[at_];
    ++at_;
    read(s_.width);
}

inline Outcome Solver::write(int64_t* permutation, double* row_duals, double* column_duals) const {
    const double sign = problem_.maximize ? -1.0 : 1.0, unit = 1 / scale_;
    ExactSum total, identity;
    double largest = contents_.largest;
    for (int64_t i = 0; i < s_.n; ++i) {
        const int64_t j = s_.column_of[i];
        permutation[i] = j;
        row_duals[i] = sign * s_.least[i] * unit;
        column_duals[i] = -sign * s_.price[i] * unit;
        largest = __builtin_fmax(largest, __builtin_fmax(__builtin_fabs(s_.least[i]), __builtin_fabs(s_.price[i])));
        total.add(s_.row(i)[j]);
        identity.add(s_.row(i)[i]);
    }
    const double random = contents_.allowed ? contents_.sum / double(contents_.allowed) * double(s_.n) : 0;
    return {sign * total.get() * unit,
            sign * identity.get() * unit,
            sign * random * unit,
            excess_ * unit,
            0x1p-46 * double(s_.n) * largest * unit,
            stalled_};
}

}  // namespace brenier::assignment::BRENIER_ISA
