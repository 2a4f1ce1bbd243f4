// Noise by (seed, index): element j of noise number i comes from the Philox counter (j / 4, i lo, i hi, stream)
// under the seed as key, so any row can be made alone, in any order, by any number of workers.
//
//     words (a, b) -> (r cos t, r sin t),  r = sqrt(-2 ln u),  u = (floor(a / 2) + 1/2) 2^-31,  t = 2 pi b 2^-32
//
// (Box and Muller 1958).
//
// The logarithm and the sine are polynomials of our own (fitted at Chebyshev nodes), float32, never contracted, so
// that the bits are the same on every instruction set; square roots are correctly rounded everywhere. Largest
// magnitude sqrt(64 ln 2) = 6.66. Accuracy: docs/numerics.md.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/philox.hpp"
#include "cpu/filter.hpp"
#include "cpu/rescore.hpp"

namespace brenier::cpu {
namespace {

constexpr int counters = 64;  // per batch: 256 elements, 4 KB in all

inline int32_t bits_of(float value) {
    int32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits;
}

// ln u for u in (0, 1]: u = m 2^e with m in [sqrt(1/2), sqrt 2), ln m = f - f^2 / 2 + f^3 P(f), f = m - 1.
// Near 1 the difference is not taken of the rounded u but given: rest = 1 - u.
inline float natural_log(float u, float rest) {
    const int32_t e = (bits_of(u) - 0x3f3504f3) >> 23;
    const float m = from_bits(uint32_t(bits_of(u)) - (uint32_t(e) << 23));
    const float f = e == 0 ? -rest : m - 1.0f;
    float p = 6.971611471e-02f;
    p = p * f - 1.147973385e-01f;
    p = p * f + 1.168541992e-01f;
    p = p * f - 1.242568733e-01f;
    p = p * f + 1.424905765e-01f;
    p = p * f - 1.666780232e-01f;
    p = p * f + 2.000071575e-01f;
    p = p * f - 2.499999696e-01f;
    p = p * f + 3.333333118e-01f;
    const float square = f * f;
    const float of_m = f - (0.5f * square - square * f * p);
    return of_m + float(e) * 0.693147181f;
}

// Both normals of a pair of words.
inline void box_muller(uint32_t a, uint32_t b, float& first, float& second) {
    const int32_t half = int32_t(a >> 1);
    const float u = float(half) * 0x1p-31f + 0x1p-32f, rest = float(0x7fffffff - half) * 0x1p-31f + 0x1p-32f;
    const float r = __builtin_sqrtf(-2.0f * natural_log(u, rest));
    const uint32_t quadrant = (b + 0x20000000u) >> 30;
    const float t = float(int32_t(b - (quadrant << 30))) * 0x1p-29f;  // [-1, 1] for angles of +-pi/4
    const float z = t * t;
    const float s = t * (((-3.595429073e-05f * z + 2.490006801e-03f) * z - 8.074543471e-02f) * z + 7.853981610e-01f);
    const float c =
        (((3.529797134e-06f * z - 3.259385859e-04f) * z + 1.585432523e-02f) * z - 3.084251352e-01f) * z + 1.0f;
    const bool turned = quadrant & 1;
    const float cosine = turned ? s : c, sine = turned ? c : s;
    first = r * (((quadrant + 1) & 2) ? -cosine : cosine);
    second = r * ((quadrant & 2) ? -sine : sine);
}

// Walks the counters of consecutive rows.
struct Counter {
    uint32_t quarter, quarters;  // j / 4, and how many a row has
    uint64_t index;

    template <int count>
    void fill(Words<count>& w, uint32_t stream) {
        for (int l = 0; l < count; ++l) {
            w.word[0][l] = quarter, w.word[1][l] = uint32_t(index), w.word[2][l] = uint32_t(index >> 32);
            w.word[3][l] = stream;
            const bool next = ++quarter == quarters;
            quarter = next ? 0 : quarter;
            index += next;
        }
    }
};

// The four normals of each counter, side by side.
inline void normals_of(const Words<counters>& w, float* out) {
    alignas(64) float normal[4][counters];
    for (int l = 0; l < counters; ++l) box_muller(w.word[0][l], w.word[1][l], normal[0][l], normal[1][l]);
    for (int l = 0; l < counters; ++l) box_muller(w.word[2][l], w.word[3][l], normal[2][l], normal[3][l]);
    for (int l = 0; l < counters; ++l)
        for (int i = 0; i < 4; ++i) out[4 * l + i] = normal[i][l];
}

// out (rows, depth): noise number first + r in row r.
template <class V>
void normal(uint64_t seed, uint64_t first, int64_t rows, int64_t depth, uint32_t stream, float* out) {
    const int64_t quarters = ceil_div(depth, 4), all = rows * quarters;
    Counter counter{0, uint32_t(quarters), first};
    Words<counters> w;
    alignas(64) float batch[4 * counters];
    int64_t column = 0;
    for (int64_t done = 0; done < all; done += counters) {
        counter.fill(w, stream);
        philox4x32_10(w, seed);
        const int64_t here = smaller(counters, all - done);
        if (depth % 4 == 0 && here == counters) {
            normals_of(w, out);
            out += 4 * counters;
            continue;
        }
        normals_of(w, batch);
        for (int64_t l = 0; l < here; ++l) {
            const int64_t size = smaller(4, depth - column);
            __builtin_memcpy(out, batch + 4 * l, size_t(size) * sizeof(float));
            out += size;
            column = column + size == depth ? 0 : column + size;
        }
    }
}

// Normal rows divided by their float64 norm, which is summed in the fixed order of rescore.hpp.
template <class V>
void unit_vectors(uint64_t seed, uint64_t first, int64_t rows, int64_t depth, uint32_t stream, float* out) {
    normal<V>(seed, first, rows, depth, stream, out);
    for (int64_t j = 0; j < rows; ++j, out += depth) {
        const double norm = __builtin_sqrt(inner_product<V>(out, out, depth));
        for (int64_t k = 0; k < depth; ++k) out[k] = norm > 0 ? float(double(out[k]) / norm) : float(k == 0);
    }
}

// out[i] uniform in [0, high): the high half of a 64-bit word times high; no value is favoured by more than
// high 2^-64.
template <class V>
void integers(uint64_t seed, uint64_t first, int64_t count, uint64_t high, uint32_t stream, int64_t* out) {
    Counter counter{0, 1, first};
    Words<counters> w;
    for (int64_t done = 0; done < count; done += counters) {
        counter.fill(w, stream);
        philox4x32_10(w, seed);
        for (int64_t l = 0; l < smaller(counters, count - done); ++l) {
            const uint64_t word = uint64_t(w.word[1][l]) << 32 | w.word[0][l];
            out[done + l] = int64_t(uint64_t((static_cast<unsigned __int128>(word) * high) >> 64));
        }
    }
}

// The four random words of one counter, for tests against published vectors.
template <class V>
void philox(const uint32_t* counter, uint64_t key, uint32_t* out) {
    Words<counters> w;
    for (int i = 0; i < 4; ++i)
        for (int l = 0; l < counters; ++l) w.word[i][l] = counter[i];
    philox4x32_10(w, key);
    for (int i = 0; i < 4; ++i) out[i] = w.word[i][counters - 1];
}

}  // namespace
}  // namespace brenier::cpu
