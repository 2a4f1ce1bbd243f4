// AVX2 with FMA and F16C: 16 registers hold a tile of 6 rows x 16 targets (12 sums, 2 targets, 1 noise).
#include "cpu/dispatch.hpp"

#if defined(__x86_64__)
#include <immintrin.h>

#include "cpu/int8_vnni.hpp"
#include "cpu/make_body.hpp"
#include "cpu/make_int8_body.hpp"

namespace brenier::cpu {
namespace {

struct Avx2 {
    using Floats = __m256;
    using Doubles = __m256d;
    static constexpr int lanes = 8, vectors = 2, rows = 6, double_lanes = 4;

    static Floats load(const float* p) { return _mm256_loadu_ps(p); }
    static void store(float* p, Floats a) { _mm256_storeu_ps(p, a); }
    static Floats broadcast(float a) { return _mm256_set1_ps(a); }
    static Floats madd(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
    static Floats fused(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
    static uint32_t at_least(Floats a, Floats b) {
        return uint32_t(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ)));
    }

    static Doubles zero() { return _mm256_setzero_pd(); }
    static void store(double* p, Doubles a) { _mm256_storeu_pd(p, a); }
    static Doubles madd(Doubles a, Doubles b, Doubles c) { return _mm256_fmadd_pd(a, b, c); }
    static Doubles widen(const float* p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
    static Doubles widen(const BFloat16* p) {
        const __m128i words = _mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
        return _mm256_cvtps_pd(_mm_castsi128_ps(_mm_slli_epi32(words, 16)));
    }
    static Doubles widen(const Float16* p) {
        return _mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
    }
};

BRENIER_VNNI256(VexTile, "%{vex%} vpdpbusd", 1);
BRENIER_VNNI256(VexTile16, "%{vex%} vpdpwssd", 2);
BRENIER_VNNI256(EvexTile, "%{evex%} vpdpbusd", 1);
BRENIER_VNNI256(EvexTile16, "%{evex%} vpdpwssd", 2);

}  // namespace

const Body avx2_body = make_body<Avx2>("avx2", has_avx2);
const Int8Body avx_vnni_body = make_int8_body<Avx2, VexTile>("avxvnni", has_avx_vnni, true);
const Int8Body avx_vnni16_body = make_int8_body<Avx2, VexTile16>("avxvnni", has_avx_vnni, true);
const Int8Body avx512vl_vnni16_body = make_int8_body<Avx2, EvexTile16>("avx512vlvnni", has_avx512_vnni, true);
const Int8Body avx512vl_vnni_body = make_int8_body<Avx2, EvexTile>("avx512vlvnni", has_avx512_vnni, true);

}  // namespace brenier::cpu
#endif
