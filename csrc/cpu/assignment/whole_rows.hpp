// Bidding on whole rows, in whole or in coarse steps.
#pragma once
#include "cpu/assignment/bytes.hpp"
#include "cpu/assignment/candidates.hpp"

namespace brenier::assignment::BRENIER_ISA {

// Smallest and second smallest of cost + price over a row, and where the smallest is; the largest number stands for
// anything above. Bytes count up to 256 vectors, so rows of them have at most LONGEST_COARSE costs.
template <class Cost>
inline BidTwo best_two(const Cost* costs, const Cost* price, int64_t width) {
    constexpr int64_t COUNT = 64 / sizeof(Cost);
    auto first = all(Cost(~Cost(0))), second = first, where = all(Cost(0)), here = where;
    for (int64_t j = 0; j < width; j += COUNT, here += Cost(1)) {
        const auto sum = clamped_sum(load(costs + j), load(price + j));
        second = lower(second, upper(first, sum));
        where = sum < first ? here : where;
        first = lower(first, sum);
    }
    const TwoSteps two = lowest_two(first, second);
    const int lane = __builtin_ctzll(equal_bits(first, all(Cost(two.first))));
    return {two.first, two.second, int32_t(where[lane]) * int32_t(COUNT) + lane};
}
constexpr int64_t LONGEST_COARSE = 256 * BYTE_LANES;

inline int32_t lowest_of(const uint16_t* steps, const uint16_t* price, int64_t width) {
    Steps least = all(uint16_t(UINT16_MAX));
    for (int64_t j = 0; j < width; j += STEP_LANES) least = lower(least, clamped_sum(load(steps + j), load(price + j)));
    return lowest(least);
}

}  // namespace brenier::assignment::BRENIER_ISA
