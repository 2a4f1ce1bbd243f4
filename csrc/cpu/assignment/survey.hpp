// What loading learns about the costs.
#pragma once
#include "cpu/assignment/lanes.hpp"

namespace brenier::assignment::BRENIER_ISA {

struct Contents {
    double largest = 0, sum = 0;  // of the finite costs
    int64_t allowed = 0;
    bool not_a_number = false, unbounded = false;
};

// The same, lane by lane while rows come in.
struct Survey {
    Doubles largest = {}, sum = {};
    Longs allowed = {}, not_numbers = {}, unbounded = {};

    void see(const double* cost, int64_t width) {
        for (int64_t j = 0; j < width; j += LANES) {
            const Doubles value = load(cost + j);
            const Longs finite = value < all(INFINITE);
            const Doubles counted = finite ? value : Doubles{};
            not_numbers |= value != value;
            unbounded |= value == all(-INFINITE);
            allowed -= finite;
            sum += counted;
            largest = upper(largest, upper(counted, -counted));
        }
    }
    Contents fold() const {
        Contents contents;
        for (int lane = 0; lane < LANES; ++lane) {
            contents.largest = largest[lane] > contents.largest ? largest[lane] : contents.largest;
            contents.sum += sum[lane];
            contents.allowed += allowed[lane];
            contents.not_a_number |= not_numbers[lane] != 0;
            contents.unbounded |= unbounded[lane] != 0;
        }
        return contents;
    }
};

}  // namespace brenier::assignment::BRENIER_ISA
