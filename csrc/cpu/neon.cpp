// AArch64, whose processors all have these: 32 registers hold a tile of 12 rows x 8 targets (24 sums, 2 targets, 1 noise).
#include "cpu/dispatch.hpp"

#if defined(__aarch64__)
#include <arm_neon.h>

#include "cpu/make_body.hpp"

namespace brenier::cpu {
namespace {

struct Neon {
    using Floats = float32x4_t;
    using Doubles = float64x2_t;
    static constexpr int lanes = 4, vectors = 2, rows = 12, double_lanes = 2;

    static Floats load(const float* p) { return vld1q_f32(p); }
    static void store(float* p, Floats a) { vst1q_f32(p, a); }
    static Floats broadcast(float a) { return vdupq_n_f32(a); }
    static Floats madd(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
    static Floats fused(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
    static uint32_t at_least(Floats a, Floats b) {
        const uint32x4_t bit = {1, 2, 4, 8};
        return vaddvq_u32(vandq_u32(vcgeq_f32(a, b), bit));
    }

    static Doubles zero() { return vdupq_n_f64(0); }
    static void store(double* p, Doubles a) { vst1q_f64(p, a); }
    static Doubles madd(Doubles a, Doubles b, Doubles c) { return vfmaq_f64(c, a, b); }
    static Doubles widen(const float* p) { return vcvt_f64_f32(vld1_f32(p)); }
    template <class T>
    static Doubles widen(const T* p) {
        return Doubles{double(to_float(p[0])), double(to_float(p[1]))};
    }
};

bool every_aarch64() { return true; }

}  // namespace

const Body neon_body = make_body<Neon>("neon", every_aarch64);

}  // namespace brenier::cpu
#endif
