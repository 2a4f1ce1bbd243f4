// The auction's memory, its scale, and loading.
#pragma once
#include "cpu/assignment/auction.hpp"

namespace brenier::assignment::BRENIER_ISA {

inline int64_t Auction::bytes() const {
    const int64_t longer = width_ + INT_LANES;
    return Arena::bytes_of<uint16_t>(width_ * n_) + Arena::bytes_of<uint16_t>(width_) +
           Arena::bytes_of<uint8_t>(coarse_size()) + Arena::bytes_of<uint8_t>(width_) + Arena::bytes_of<CandidateList>(n_) +
           Arena::bytes_of<double>(n_ * CAPACITY) + 6 * Arena::bytes_of<double>(width_) + Arena::bytes_of<double>(SAMPLES * SAMPLES) +
           6 * Arena::bytes_of<int32_t>(longer) + Matching::bytes(width_) + Tree::bytes(width_) + CACHE_LINE;
}

inline void Auction::place() {
    steps_ = arena_.take<uint16_t>(width_ * n_);
    whole_price_ = arena_.take<uint16_t>(width_);
    coarse_steps_ = arena_.take<uint8_t>(coarse_size());
    coarse_price_ = arena_.take<uint8_t>(width_);
    lists_ = arena_.take<CandidateList>(n_);
    exact_cost_ = arena_.take<double>(n_ * CAPACITY);
    for (double** array : {&least_, &lower_, &column_sum_, &identity_, &given_}) *array = arena_.take<double>(width_);
    staged_ = arena_.take<double>(width_);
    sample_ = arena_.take<double>(SAMPLES * SAMPLES);
    sums_ = arena_.take<float>(width_);
    for (int32_t** array : {&price_, &columns_, &own_, &wish_, &bound_}) *array = arena_.take<int32_t>(width_ + INT_LANES);
    m_.place(arena_, n_, width_);
    tree_.place_in(arena_, width_);
    for (int64_t j = 0; j < width_; ++j) sums_[j] = 0, column_sum_[j] = 0, price_[j] = 0, whole_price_[j] = 0;
    for (int64_t j = n_; j < width_; ++j) {
        price_[j] = PADDING - 2 * LARGEST_COST;
        whole_price_[j] = UINT16_MAX;
        coarse_price_[j] = UINT8_MAX;
    }
    for (int64_t j = width_; j < width_ + INT_LANES; ++j) price_[j] = PADDING;  // where lists have no column
    for (int64_t i = 0; i < n_; ++i) bound_[i] = UNMADE;
}

inline void Auction::advance() {
    switch (stage_) {
        case Stage::sample: return sample();
        case Stage::load: return load();
        case Stage::centre: return centre();
        case Stage::sift: return sift();
        case Stage::bid: return bid();
        case Stage::price: return price();
        case Stage::tighten: return tighten();
        case Stage::repair: return repair();
        case Stage::search: return search();
        case Stage::certify: return certify();
    }
}

// ---- sample: the unit, from how far a row's costs are above its least

template <class Score>
inline bool Auction::sample_row(int64_t i) {
    const RowFacts facts = stage_row(problem_, i, static_cast<Score*>(staged_), width_);
    largest_ = __builtin_fmax(largest_, __builtin_fmax(__builtin_fabs(facts.least), __builtin_fabs(facts.greatest)));
    if (!facts.finite) give_up(false);
    return sample_of(static_cast<const Score*>(staged_), facts.least, n_, sample_ + at_ * SAMPLES, SAMPLES);
}

// Steps of a 2^13th of the median, which outliers do not move. Where most rows have several equally good columns,
// bidding would walk them in steps of ε; paths do not mind.
inline void Auction::sample() {
    const int64_t rows = n_ < SAMPLES ? n_ : SAMPLES, i = at_ * n_ / rows;
    tied_ += problem_.is_float32 ? sample_row<float>(i) : sample_row<double>(i);
    read(2 * width_);
    if (declined_ || ++at_ < rows) return;
    const double middle = median(sample_, rows * SAMPLES);
    const bool plain = middle > largest_ * 0x1p-28 && middle > 0x1p-80 && largest_ < 0x1p80;
    if (!plain || (2 * tied_ > rows && !insist_)) return give_up(false);
    unit_ = __builtin_ldexp(1.0, __builtin_ilogb(middle) - 13 - STEP_BITS);
    enter(Stage::load);
}

// ---- load: one pass over the scores

inline void Auction::load() {
    if (at_ == n_) {
        flush_sums();
        return enter(Stage::centre);
    }
    problem_.is_float32 ? load_row<float>(at_) : load_row<double>(at_);
    read(2 * width_);
    if (++at_ % 64 == 0) flush_sums();
}

template <class Score>
inline void Auction::load_row(int64_t i) {
    Score* const staged = static_cast<Score*>(staged_);
    const RowFacts facts = stage_row(problem_, i, staged, width_);
    if (!facts.finite) return give_up(false);
    least_[i] = facts.least;
    largest_ = __builtin_fmax(largest_, __builtin_fmax(__builtin_fabs(facts.least), __builtin_fabs(facts.greatest)));
    identity_[i] = double(staged[i]);
    const float scale = float(1 / (unit_ * STEP));
    quantise_row(staged, facts.least, scale, steps_ + i * width_, coarse_size() ? coarse_steps_ + i * width_ : nullptr, sums_,
                 width_);
    if (!(float(facts.greatest - facts.least) * scale < 65535.0f)) add_clamped(i, facts.least);
    lists_[i].spread = FIRST_SPREAD * float((facts.mean - facts.least) / unit_);
}

// What clamping took from the row's sum.
inline void Auction::add_clamped(int64_t i, double least) {
    const double top = 65535.0 * STEP * unit_;
    for (int64_t j = 0; j < n_; ++j) {
        const double value = cost_at(problem_, i, j) - least;
        if (value > top) clamped_away_ += value - top;
    }
}

// Float sums of a few rows go to float64.
inline void Auction::flush_sums() {
    for (int64_t j = 0; j < width_; ++j) {
        column_sum_[j] += double(sums_[j]);
        sums_[j] = 0;
    }
}

// ---- centre: prices that bring all columns to one mean, or the caller's; ε coarse, or the finest; lists unmade

// Prices of somebody else's bidding, about their mean; false where they are not finite, or not usable as integers.
inline bool Auction::start_from_prices() {
    if (!problem_.prices) return false;
    double mean = 0, most = 0;
    for (int64_t j = 0; j < n_; ++j) mean += problem_.prices[j] / double(n_);
    if (mean - mean != 0) return false;  // one price of NaN or infinity makes the mean that; fmax would pass NaN over
    for (int64_t j = 0; j < n_; ++j) most = __builtin_fmax(most, __builtin_fabs(problem_.prices[j] - mean) / unit_);
    if (!(most < double(HIGHEST_PRICE / 2))) return false;
    for (int64_t j = 0; j < n_; ++j) price_[j] = int32_t(__builtin_rint((problem_.prices[j] - mean) / unit_));
    return true;
}

// Whole and coarse prices, above the lowest, and on what bidding begins. From here on prices only rise.
inline void Auction::begin_bidding() {
    int32_t high = low_ = price_[0];
    for (int64_t j = 0; j < n_; ++j) {
        low_ = lesser(low_, price_[j]);
        high = high < price_[j] ? price_[j] : high;
    }
    for (int64_t j = 0; j < n_; ++j) round_price(j);
    if (int64_t(high) - low_ >= LARGEST_COST / 4) return;
    if (n_ <= WHOLE_ROWS_UP_TO) costs_ = Costs::whole;
    if (!coarse_size() || epsilon_ < 1 << (COARSE_BITS + STEP_BITS)) return;
    costs_ = Costs::coarse;
    for (int64_t j = 0; j < n_; ++j) coarse_price_[j] = uint8_t(whole_price_[j] >> COARSE_BITS);
}

inline void Auction::centre() {
    double steps = 0;
    for (int64_t j = 0; j < n_; ++j) steps += column_sum_[j];
    sum_ = steps * STEP * unit_ + clamped_away_;
    for (int64_t i = 0; i < n_; ++i) sum_ += least_[i] * double(n_);
    const double mean = steps / double(n_);
    for (int64_t j = 0; j < n_; ++j) price_[j] = int32_t(__builtin_rint((mean - column_sum_[j]) / double(n_) * STEP));
    const double deviation = __builtin_sqrt(sampled_variance());
    const int32_t coarse = int32_t(FIRST_STEP * deviation), fine = int32_t(LAST_STEP * deviation);
    last_epsilon_ = fine > 1 ? fine : 1;
    const bool warm = start_from_prices();
    epsilon_ = !warm && coarse > last_epsilon_ ? coarse : last_epsilon_;
    begin_bidding();
    enter(Stage::sift);
}

// Of cost + price, over a sample of rows.
inline double Auction::sampled_variance() const {
    const int64_t samples = n_ < SAMPLES ? n_ : SAMPLES, whole = n_ / INT_LANES * INT_LANES;
    double variance = 0;
    for (int64_t k = 0; k < samples; ++k) {
        const uint16_t* row = steps_ + k * n_ / samples * width_;
        Floats sums = {}, squares = {};
        const float typical = float((int32_t(row[0]) << STEP_BITS) + price_[0]);
        for (int64_t j = 0; j < whole; j += INT_LANES) {
            const Floats value = __builtin_convertvector(sums_at(row, price_, j), Floats) - typical;
            sums += value;
            squares += value * value;
        }
        double sum = 0, square = 0;
        for (int64_t lane = 0; lane < INT_LANES; ++lane) sum += double(sums[lane]), square += double(squares[lane]);
        for (int64_t j = whole; j < n_; ++j) {
            const double value = double((int32_t(row[j]) << STEP_BITS) + price_[j]) - double(typical);
            sum += value;
            square += value * value;
        }
        const double mean = sum / double(n_);
        variance += (square / double(n_) - mean * mean) / double(samples);
    }
    return variance > 0 ? variance : 0;
}

}  // namespace brenier::assignment::BRENIER_ISA
