// AVX-512 (F, BW, DQ, VL): 32 registers hold a tile of 8 rows x 48 targets (24 sums, 3 targets, 1 noise), which
// takes 11 loads for 24 products: 12 x 32 takes 14, and the two load ports are what both are short of.
#include "cpu/dispatch.hpp"

#if defined(__x86_64__)
#include <immintrin.h>

#include "cpu/int8_vnni.hpp"
#include "cpu/make_body.hpp"
#include "cpu/make_int8_body.hpp"

namespace brenier::cpu {
namespace {

struct Avx512 {
    using Floats = __m512;
    using Doubles = __m512d;
    static constexpr int lanes = 16, vectors = 3, rows = 8, double_lanes = 8;

    static Floats load(const float* p) { return _mm512_loadu_ps(p); }
    static void store(float* p, Floats a) { _mm512_storeu_ps(p, a); }
    static Floats broadcast(float a) { return _mm512_set1_ps(a); }
    static Floats madd(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
    static Floats fused(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
    static uint32_t at_least(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }

    static Doubles zero() { return _mm512_setzero_pd(); }
    static void store(double* p, Doubles a) { _mm512_storeu_pd(p, a); }
    static Doubles madd(Doubles a, Doubles b, Doubles c) { return _mm512_fmadd_pd(a, b, c); }
    static Doubles widen(const float* p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
    static Doubles widen(const BFloat16* p) {
        const __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
        return _mm512_cvtps_pd(_mm256_castsi256_ps(_mm256_slli_epi32(words, 16)));
    }
    static Doubles widen(const Float16* p) {
        return _mm512_cvtps_pd(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
    }
};

}  // namespace

const Body avx512_body = make_body<Avx512>("avx512", has_avx512);
const Int8Body avx512_vnni_body = make_int8_body<Avx512, Vnni512Tile>("avx512vnni", has_avx512_vnni, true);
const Int8Body avx512_vnni16_body = make_int8_body<Avx512, Vnni512Tile16>("avx512vnni", has_avx512_vnni, true);

}  // namespace brenier::cpu
#endif
