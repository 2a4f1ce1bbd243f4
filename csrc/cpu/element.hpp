// float32, bfloat16 and float16 as stored, and their exact float32 values.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/views.hpp"

namespace brenier::cpu {
namespace {  // see body.hpp

struct BFloat16 {
    uint16_t bits;
};
struct Float16 {
    uint16_t bits;
};

inline float from_bits(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline uint32_t to_bits(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline float to_float(float value) { return value; }

inline float to_float(BFloat16 value) { return from_bits(uint32_t(value.bits) << 16); }

// Exponent and mantissa moved into place are the value times 2^-112, subnormal ones too; infinities do not occur.
inline float to_float(Float16 value) {
    const float magnitude = from_bits(uint32_t(value.bits & 0x7fff) << 13) * 0x1p112f;
    return value.bits & 0x8000 ? -magnitude : magnitude;
}

// Calls run(pointer to the typed row) for row `row`.
template <class Run>
inline auto with_row(const Matrix& matrix, int64_t row, Run run) {
    switch (matrix.element) {
        case Element::bfloat16: return run(static_cast<const BFloat16*>(matrix.data) + row * matrix.stride);
        case Element::float16: return run(static_cast<const Float16*>(matrix.data) + row * matrix.stride);
        default: return run(static_cast<const float*>(matrix.data) + row * matrix.stride);
    }
}

}  // namespace
}  // namespace brenier::cpu
