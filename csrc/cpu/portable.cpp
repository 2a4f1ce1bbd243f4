// Any processor: vectors of four floats in the compiler's own extension, a tile of 4 rows x 8 targets.
#include "cpu/dispatch.hpp"
#include "cpu/make_body.hpp"
#include "cpu/make_int8_body.hpp"

namespace brenier::cpu {
namespace {

struct Portable {
    typedef float Floats __attribute__((vector_size(16)));
    typedef double Doubles __attribute__((vector_size(16)));
    static constexpr int lanes = 4, vectors = 2, rows = 4, double_lanes = 2;

    static Floats load(const float* p) {
        Floats a;
        __builtin_memcpy(&a, p, sizeof a);
        return a;
    }
    static void store(float* p, Floats a) { __builtin_memcpy(p, &a, sizeof a); }
    static Floats broadcast(float a) { return Floats{a, a, a, a}; }
    static Floats madd(Floats a, Floats b, Floats c) { return a * b + c; }
    static Floats fused(Floats a, Floats b, Floats c) {
        Floats sum;
        for (int i = 0; i < lanes; ++i) sum[i] = __builtin_fmaf(a[i], b[i], c[i]);
        return sum;
    }
    static uint32_t at_least(Floats a, Floats b) {
        const auto reached = a >= b;
        uint32_t bits = 0;
        for (int i = 0; i < lanes; ++i) bits |= uint32_t(reached[i] & 1) << i;
        return bits;
    }

    static Doubles zero() { return Doubles{0, 0}; }
    static void store(double* p, Doubles a) { __builtin_memcpy(p, &a, sizeof a); }
    static Doubles madd(Doubles a, Doubles b, Doubles c) { return a * b + c; }
    template <class T>
    static Doubles widen(const T* p) {
        return Doubles{double(to_float(p[0])), double(to_float(p[1]))};
    }
};

bool anywhere() { return true; }

}  // namespace

const Body portable_body = make_body<Portable>("portable", anywhere);
const Int8Body portable_int8_body = make_int8_body<Portable, PortableTile<1>>("portable", anywhere, false);
const Int8Body portable_int16_body = make_int8_body<Portable, PortableTile<2>>("portable", anywhere, false);

}  // namespace brenier::cpu
