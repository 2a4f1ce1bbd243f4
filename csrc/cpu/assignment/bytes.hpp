// Sixty-four 8-bit integers side by side, whose sums stop at 255: costs and prices in coarse steps.
#pragma once
#include "cpu/assignment/steps.hpp"

namespace brenier::assignment::BRENIER_ISA {

constexpr int64_t BYTE_LANES = 64;
constexpr int COARSE_BITS = 7;  // of whole steps in a coarse one: 20 to 47 to the standard deviation of normal costs

typedef uint8_t Bytes __attribute__((vector_size(64)));

BRENIER_INLINE Bytes load(const uint8_t* from) { return *reinterpret_cast<const Bytes*>(from); }
BRENIER_INLINE Bytes all(uint8_t value) { return Bytes{} + value; }

#if defined(__AVX512BW__)
BRENIER_INLINE Bytes lower(Bytes a, Bytes b) { return (Bytes)_mm512_min_epu8((__m512i)a, (__m512i)b); }
BRENIER_INLINE Bytes upper(Bytes a, Bytes b) { return (Bytes)_mm512_max_epu8((__m512i)a, (__m512i)b); }
BRENIER_INLINE Bytes clamped_sum(Bytes a, Bytes b) { return (Bytes)_mm512_adds_epu8((__m512i)a, (__m512i)b); }
BRENIER_INLINE uint64_t equal_bits(Bytes a, Bytes b) { return _mm512_cmpeq_epu8_mask((__m512i)a, (__m512i)b); }
BRENIER_INLINE void store_coarse(uint8_t* to, Ints steps) {
    *reinterpret_cast<__m128i*>(to) = _mm512_cvtusepi32_epi8((__m512i)(steps >> COARSE_BITS));
}
#else
BRENIER_INLINE void store_coarse(uint8_t* to, Ints steps) {
    typedef uint8_t Sixteen __attribute__((vector_size(16)));
    *reinterpret_cast<Sixteen*>(to) = __builtin_convertvector(lower(steps >> COARSE_BITS, all(int32_t(UINT8_MAX))), Sixteen);
}
#if defined(__AVX2__)
BRENIER_INLINE uint64_t equal_bits(Bytes a, Bytes b) {
    const Steps mask = Steps(a == b);
    return uint32_t(_mm256_movemask_epi8(half(mask, 0))) | uint64_t(uint32_t(_mm256_movemask_epi8(half(mask, 1)))) << 32;
}
#endif
#endif

// The smallest two of all lanes, where `first` and `second` hold those of each lane.
#if defined(__AVX2__)
BRENIER_INLINE uint8_t lowest_byte(__m128i a) {
    const __m128i pairs = _mm_and_si128(_mm_min_epu8(a, _mm_srli_epi16(a, 8)), _mm_set1_epi16(UINT8_MAX));
    return uint8_t(_mm_cvtsi128_si32(_mm_minpos_epu16(pairs)));
}
BRENIER_INLINE TwoSteps lowest_two(Bytes first, Bytes second) {
    const __m256i low = half(Steps(first), 0), high = half(Steps(first), 1);
    const __m256i least = _mm256_min_epu8(low, high);
    const __m256i next = _mm256_min_epu8(_mm256_max_epu8(low, high), _mm256_min_epu8(half(Steps(second), 0), half(Steps(second), 1)));
    const __m128i best = _mm_min_epu8(half(least, 0), half(least, 1));
    const __m128i rest = _mm_min_epu8(_mm_max_epu8(half(least, 0), half(least, 1)), _mm_min_epu8(half(next, 0), half(next, 1)));
    const uint8_t winner = lowest_byte(best);
    const __m128i same = _mm_cmpeq_epi8(best, _mm_set1_epi8(char(winner)));
    const unsigned places = unsigned(_mm_movemask_epi8(same));
    const uint8_t other = lowest_byte(_mm_min_epu8(rest, _mm_or_si128(best, same)));  // the winners at their most
    const uint8_t twice = uint8_t(-int((places & (places - 1)) != 0));  // no branch: ties are frequent
    return {winner, uint8_t((winner & twice) | (other & ~twice))};
}
#else
BRENIER_INLINE TwoSteps lowest_two(Bytes first, Bytes second) { return lowest_two_of<BYTE_LANES>(first, second); }
#endif

}  // namespace brenier::assignment::BRENIER_ISA
