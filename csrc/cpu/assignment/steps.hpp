// Thirty-two 16-bit integers side by side, whose sums stop at 65535: costs and prices in whole steps.
#pragma once
#include "cpu/assignment/lanes.hpp"

namespace brenier::assignment::BRENIER_ISA {

constexpr int64_t STEP_LANES = 32;

typedef uint16_t Steps __attribute__((vector_size(64)));

BRENIER_INLINE Steps load(const uint16_t* from) { return *reinterpret_cast<const Steps*>(from); }
BRENIER_INLINE Steps all(uint16_t value) { return Steps{} + value; }

#if defined(__AVX2__)
BRENIER_INLINE __m128i half(__m256i a, int which) {
    return which ? _mm256_extracti128_si256(a, 1) : _mm256_castsi256_si128(a);
}
#endif

#if defined(__AVX512BW__)
BRENIER_INLINE __m256i half(Steps a, int which) {
    return which ? _mm512_extracti64x4_epi64((__m512i)a, 1) : _mm512_castsi512_si256((__m512i)a);
}
BRENIER_INLINE Steps lower(Steps a, Steps b) { return (Steps)_mm512_min_epu16((__m512i)a, (__m512i)b); }
BRENIER_INLINE Steps upper(Steps a, Steps b) { return (Steps)_mm512_max_epu16((__m512i)a, (__m512i)b); }
BRENIER_INLINE Steps clamped_sum(Steps a, Steps b) { return (Steps)_mm512_adds_epu16((__m512i)a, (__m512i)b); }
BRENIER_INLINE uint32_t equal_bits(Steps a, Steps b) { return _mm512_cmpeq_epu16_mask((__m512i)a, (__m512i)b); }
BRENIER_INLINE uint32_t at_most_bits(Steps a, Steps b) { return _mm512_cmple_epu16_mask((__m512i)a, (__m512i)b); }
#else
// Of unsigned lanes of any width, here and in bytes.hpp.
template <class Vector>
BRENIER_INLINE Vector lower(const Vector& a, const Vector& b) { return a < b ? a : b; }
template <class Vector>
BRENIER_INLINE Vector upper(const Vector& a, const Vector& b) { return a > b ? a : b; }
template <class Vector>
BRENIER_INLINE Vector clamped_sum(const Vector& a, const Vector& b) {
    const Vector sum = a + b;
    return sum | Vector(sum < a);  // all ones where it wrapped
}
#if defined(__AVX2__)
BRENIER_INLINE __m256i half(Steps a, int which) {
    union {
        Steps whole;
        __m256i halves[2];
    } parts = {a};
    return parts.halves[which];
}
BRENIER_INLINE uint32_t equal_bits(Steps a, Steps b) {
    const Steps mask = Steps(a == b);
    const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(half(mask, 0), half(mask, 1)), 0xd8);
    return uint32_t(_mm256_movemask_epi8(bytes));
}
#else
template <class Vector>
BRENIER_INLINE uint64_t equal_bits(const Vector& a, const Vector& b) {
    uint64_t bits = 0;
    for (unsigned lane = 0; lane < sizeof a / sizeof a[0]; ++lane) bits |= uint64_t(a[lane] == b[lane]) << lane;
    return bits;
}
#endif
BRENIER_INLINE uint32_t at_most_bits(Steps a, Steps b) { return uint32_t(equal_bits(lower(a, b), a)); }
#endif

struct TwoSteps {
    uint16_t first, second;
};

// The smallest two of all lanes, lane by lane; no vector holds more than UINT16_MAX.
template <int64_t COUNT, class Vector>
inline TwoSteps lowest_two_of(const Vector& first, const Vector& second) {
    TwoSteps two = {UINT16_MAX, UINT16_MAX};
    for (int lane = 0; lane < COUNT; ++lane)
        for (int place = 0; place < 2; ++place) {
            const uint16_t value = place ? second[lane] : first[lane];
            two.second = value < two.first ? two.first : value < two.second ? value : two.second;
            two.first = value < two.first ? value : two.first;
        }
    return two;
}

// The smallest of all lanes, and the smallest two where `first` and `second` hold those of each lane.
#if defined(__AVX2__)
BRENIER_INLINE uint16_t lowest(Steps a) {
    const __m256i sixteen = _mm256_min_epu16(half(a, 0), half(a, 1));
    return uint16_t(_mm_cvtsi128_si32(_mm_minpos_epu16(_mm_min_epu16(half(sixteen, 0), half(sixteen, 1)))));
}
BRENIER_INLINE TwoSteps lowest_two(Steps first, Steps second) {
    const __m256i least = _mm256_min_epu16(half(first, 0), half(first, 1));
    const __m256i next = _mm256_min_epu16(_mm256_max_epu16(half(first, 0), half(first, 1)),
                                          _mm256_min_epu16(half(second, 0), half(second, 1)));
    const __m128i best = _mm_min_epu16(half(least, 0), half(least, 1));
    const __m128i rest = _mm_min_epu16(_mm_max_epu16(half(least, 0), half(least, 1)),
                                       _mm_min_epu16(half(next, 0), half(next, 1)));
    const __m128i winner = _mm_minpos_epu16(best);
    const __m128i numbers = _mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7);
    const __m128i lane = _mm_cmpeq_epi16(numbers, _mm_shuffle_epi8(winner, _mm_set1_epi16(0x0302)));
    const __m128i others = _mm_min_epu16(rest, _mm_or_si128(best, lane));  // the winner's lane at its most
    return {uint16_t(_mm_cvtsi128_si32(winner)), uint16_t(_mm_cvtsi128_si32(_mm_minpos_epu16(others)))};
}
#else
BRENIER_INLINE uint16_t lowest(Steps a) {
    uint16_t best = a[0];
    for (int lane = 1; lane < STEP_LANES; ++lane) best = a[lane] < best ? a[lane] : best;
    return best;
}
BRENIER_INLINE TwoSteps lowest_two(Steps first, Steps second) { return lowest_two_of<STEP_LANES>(first, second); }
#endif

}  // namespace brenier::assignment::BRENIER_ISA
