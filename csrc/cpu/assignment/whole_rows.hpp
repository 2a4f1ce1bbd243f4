// Bidding on whole rows, in whole steps.
#pragma once
#include "cpu/assignment/candidates.hpp"

namespace brenier::assignment::BRENIER_ISA {

// Smallest and second smallest of cost + price over a row, and where the smallest is; 65535 stands for anything above.
inline BidTwo best_two(const uint16_t* steps, const uint16_t* price, int64_t width) {
    Steps first = all(uint16_t(UINT16_MAX)), second = first, where = step_lanes(), here = where;
    for (int64_t j = 0; j < width; j += STEP_LANES, here += uint16_t(STEP_LANES)) {
        const Steps sum = clamped_sum(load(steps + j), load(price + j));
        second = lower(second, upper(first, sum));
        where = sum < first ? here : where;
        first = lower(first, sum);
    }
    const TwoSteps two = lowest_two(first, second);
    return {two.first, two.second, where[__builtin_ctz(equal_bits(first, all(two.first)))]};
}

inline int32_t lowest_of(const uint16_t* steps, const uint16_t* price, int64_t width) {
    Steps least = all(uint16_t(UINT16_MAX));
    for (int64_t j = 0; j < width; j += STEP_LANES) least = lower(least, clamped_sum(load(steps + j), load(price + j)));
    return lowest(least);
}

}  // namespace brenier::assignment::BRENIER_ISA
