// Eight doubles or sixteen integers side by side on every instruction set: the compiler splits them where registers
// are narrower, so that all builds compare and round alike and give the same permutation.
//
// Files below this one include no standard container or algorithm: a template instantiated under AVX-512 flags
// could be picked by the linker for the portable build.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define BRENIER_INLINE inline __attribute__((always_inline))

namespace brenier::assignment::BRENIER_ISA {

constexpr int64_t LANES = 8;
constexpr double INFINITE = __builtin_inf();

typedef double Doubles __attribute__((vector_size(64)));
typedef int64_t Longs __attribute__((vector_size(64)));

BRENIER_INLINE Doubles load(const double* from) { return *reinterpret_cast<const Doubles*>(from); }
BRENIER_INLINE void store(double* to, Doubles value) { *reinterpret_cast<Doubles*>(to) = value; }
BRENIER_INLINE Longs load(const int64_t* from) { return *reinterpret_cast<const Longs*>(from); }
BRENIER_INLINE void store(int64_t* to, Longs value) { *reinterpret_cast<Longs*>(to) = value; }
BRENIER_INLINE Doubles all(double value) { return Doubles{} + value; }
BRENIER_INLINE Longs all(int64_t value) { return Longs{} + value; }
BRENIER_INLINE Longs lane_numbers() { return Longs{0, 1, 2, 3, 4, 5, 6, 7}; }

#if defined(__AVX512F__)
BRENIER_INLINE Doubles lower(Doubles a, Doubles b) { return (Doubles)_mm512_min_pd((__m512d)a, (__m512d)b); }
BRENIER_INLINE Doubles upper(Doubles a, Doubles b) { return (Doubles)_mm512_max_pd((__m512d)a, (__m512d)b); }
BRENIER_INLINE unsigned below_bits(Doubles a, Doubles b) {
    return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_LE_OQ);
}
BRENIER_INLINE double lowest(Doubles a) { return _mm512_reduce_min_pd((__m512d)a); }
#else
BRENIER_INLINE Doubles lower(Doubles a, Doubles b) { return a < b ? a : b; }
BRENIER_INLINE Doubles upper(Doubles a, Doubles b) { return a > b ? a : b; }
BRENIER_INLINE double lowest(Doubles a) {
    double best = a[0];
    for (int lane = 1; lane < LANES; ++lane) best = a[lane] < best ? a[lane] : best;
    return best;
}
#if defined(__AVX2__)
BRENIER_INLINE unsigned below_bits(Doubles a, Doubles b) {
    union { Longs longs; __m256d halves[2]; } mask = {a <= b};
    return _mm256_movemask_pd(mask.halves[0]) | _mm256_movemask_pd(mask.halves[1]) << 4;
}
#else
BRENIER_INLINE unsigned below_bits(Doubles a, Doubles b) {
    Longs mask = a <= b;
    unsigned bits = 0;
    for (int lane = 0; lane < LANES; ++lane) bits |= unsigned(mask[lane] & 1) << lane;
    return bits;
}
#endif
#endif

// ---- sixteen 32-bit integers side by side, for bidding

constexpr int64_t INT_LANES = 16;

typedef int32_t Ints __attribute__((vector_size(64)));
typedef float Floats __attribute__((vector_size(64)));
typedef uint16_t Shorts __attribute__((vector_size(32)));

BRENIER_INLINE Ints load(const int32_t* from) { return *reinterpret_cast<const Ints*>(from); }
BRENIER_INLINE void store(int32_t* to, Ints value) { *reinterpret_cast<Ints*>(to) = value; }
BRENIER_INLINE Ints all(int32_t value) { return Ints{} + value; }
BRENIER_INLINE Ints int_lanes() { return Ints{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}; }

#if defined(__AVX512F__)
BRENIER_INLINE Ints lower(Ints a, Ints b) { return (Ints)_mm512_min_epi32((__m512i)a, (__m512i)b); }
BRENIER_INLINE Ints upper(Ints a, Ints b) { return (Ints)_mm512_max_epi32((__m512i)a, (__m512i)b); }
BRENIER_INLINE unsigned at_most_bits(Ints a, Ints b) { return _mm512_cmple_epi32_mask((__m512i)a, (__m512i)b); }
BRENIER_INLINE int32_t lowest(Ints a) { return _mm512_reduce_min_epi32((__m512i)a); }
BRENIER_INLINE Ints gather(const int32_t* from, Ints at) { return (Ints)_mm512_i32gather_epi32((__m512i)at, from, 4); }
BRENIER_INLINE Ints widen(const uint16_t* from) {  // by hand: gcc takes four shuffles
    return (Ints)_mm512_cvtepu16_epi32(*reinterpret_cast<const __m256i*>(from));
}
BRENIER_INLINE void store(uint16_t* to, Ints value) {
    *reinterpret_cast<__m256i*>(to) = _mm512_cvtepi32_epi16((__m512i)value);
}
// The lanes named by `bits` side by side, and their number; up to 16 places are written.
BRENIER_INLINE int32_t compress(int32_t* to, Ints value, unsigned bits) {
    _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(__mmask16(bits), (__m512i)value));
    return __builtin_popcount(bits);
}
#else
BRENIER_INLINE Ints widen(const uint16_t* from) {
    return __builtin_convertvector(*reinterpret_cast<const Shorts*>(from), Ints);
}
BRENIER_INLINE void store(uint16_t* to, Ints value) {
    *reinterpret_cast<Shorts*>(to) = __builtin_convertvector(value, Shorts);
}
BRENIER_INLINE int32_t compress(int32_t* to, Ints value, unsigned bits) {
    int32_t count = 0;
    for (; bits; bits &= bits - 1) to[count++] = value[__builtin_ctz(bits)];
    return count;
}
BRENIER_INLINE Ints lower(Ints a, Ints b) { return a < b ? a : b; }
BRENIER_INLINE Ints upper(Ints a, Ints b) { return a > b ? a : b; }
BRENIER_INLINE int32_t lowest(Ints a) {
    int32_t best = a[0];
    for (int lane = 1; lane < INT_LANES; ++lane) best = a[lane] < best ? a[lane] : best;
    return best;
}
#if defined(__AVX2__)
union IntHalves {
    Ints ints;
    __m256i halves[2];
};
BRENIER_INLINE unsigned at_most_bits(Ints a, Ints b) {
    const IntHalves mask = {a <= b};
    return unsigned(_mm256_movemask_ps((__m256)mask.halves[0])) | unsigned(_mm256_movemask_ps((__m256)mask.halves[1])) << 8;
}
BRENIER_INLINE Ints gather(const int32_t* from, Ints at) {
    IntHalves where = {at};
    for (__m256i& half : where.halves) half = _mm256_i32gather_epi32(from, half, 4);
    return where.ints;
}
#else
BRENIER_INLINE unsigned at_most_bits(Ints a, Ints b) {
    unsigned bits = 0;
    for (int lane = 0; lane < INT_LANES; ++lane) bits |= unsigned(a[lane] <= b[lane]) << lane;
    return bits;
}
BRENIER_INLINE Ints gather(const int32_t* from, Ints at) {
    Ints found = {};
    for (int lane = 0; lane < INT_LANES; ++lane) found[lane] = from[at[lane]];
    return found;
}
#endif
#endif

// The smallest two of all lanes, where `first` and `second` hold those of each: in every lane.
BRENIER_INLINE void fold_two(Ints& first, Ints& second) {
    for (int32_t half = INT_LANES / 2; half; half /= 2) {
        const Ints across = int_lanes() ^ all(half);
        const Ints other = __builtin_shuffle(first, across), runner_up = __builtin_shuffle(second, across);
        second = lower(upper(first, other), lower(second, runner_up));
        first = lower(first, other);
    }
}

// Smallest value and its position, per lane, over vectors visited in ascending order; first among equals.
struct LaneBest {
    Doubles value = all(INFINITE);
    Longs position = lane_numbers(), here = lane_numbers();

    BRENIER_INLINE void see(Doubles candidate) {
        Longs better = candidate < value;
        value = better ? candidate : value;
        position = better ? here : position;
        here += LANES;
    }
    BRENIER_INLINE int lane(double best) const { return __builtin_ctz(below_bits(value, all(best)) | 1u << LANES); }
};

}  // namespace brenier::assignment::BRENIER_ISA
