// Philox4x32-10 and Box-Muller as device and host functions. Contraction is spelt out, not left to a compiler's flag:
// `times` and `plus` round apart on the device; on the host -ffp-contract=off does it.
#pragma once

#include <cstdint>

#include "cuda/filter_rules.cuh"

namespace brenier::cuda {

BRENIER_BOTH float times(float a, float b) {
#ifdef __CUDA_ARCH__
    return __fmul_rn(a, b);
#else
    return a * b;
#endif
}

BRENIER_BOTH float plus(float a, float b) {
#ifdef __CUDA_ARCH__
    return __fadd_rn(a, b);
#else
    return a + b;
#endif
}

BRENIER_BOTH float square_root(float a) {
#ifdef __CUDA_ARCH__
    return __fsqrt_rn(a);
#else
    return std::sqrt(a);
#endif
}

struct Words4 {
    std::uint32_t word[4];
};

BRENIER_BOTH Words4 philox(Words4 w, std::uint64_t key) {
    auto lo = static_cast<std::uint32_t>(key), hi = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round, lo += 0x9E3779B9u, hi += 0xBB67AE85u) {
        const std::uint64_t even = std::uint64_t(0xD2511F53u) * w.word[0], odd = std::uint64_t(0xCD9E8D57u) * w.word[2];
        w = {{static_cast<std::uint32_t>(odd >> 32) ^ w.word[1] ^ lo, static_cast<std::uint32_t>(odd),
              static_cast<std::uint32_t>(even >> 32) ^ w.word[3] ^ hi, static_cast<std::uint32_t>(even)}};
    }
    return w;
}

// a z + b, rounded twice.
BRENIER_BOTH float then(float a, float z, float b) { return plus(times(a, z), b); }

// ln u for u in (0, 1]; rest = 1 - u, given exactly, replaces the difference near 1.
BRENIER_BOTH float natural_log(float u, float rest) {
    const std::int32_t e = (same_bits<std::int32_t>(u) - 0x3f3504f3) >> 23;
    const float m = same_bits<float>(same_bits<std::uint32_t>(u) - (static_cast<std::uint32_t>(e) << 23));
    const float f = e == 0 ? -rest : plus(m, -1.0f);
    float p = then(6.971611471e-02f, f, -1.147973385e-01f);
    p = then(p, f, 1.168541992e-01f);
    p = then(p, f, -1.242568733e-01f);
    p = then(p, f, 1.424905765e-01f);
    p = then(p, f, -1.666780232e-01f);
    p = then(p, f, 2.000071575e-01f);
    p = then(p, f, -2.499999696e-01f);
    p = then(p, f, 3.333333118e-01f);
    const float square = times(f, f);
    const float of_m = plus(f, -plus(times(0.5f, square), -times(times(square, f), p)));
    return plus(of_m, times(static_cast<float>(e), 0.693147181f));
}

BRENIER_BOTH void box_muller(std::uint32_t a, std::uint32_t b, float& first, float& second) {
    const auto half = static_cast<std::int32_t>(a >> 1);
    const float u = then(static_cast<float>(half), 0x1p-31f, 0x1p-32f);
    const float rest = then(static_cast<float>(0x7fffffff - half), 0x1p-31f, 0x1p-32f);
    const float r = square_root(times(-2.0f, natural_log(u, rest)));
    const std::uint32_t quadrant = (b + 0x20000000u) >> 30;
    const float t = times(static_cast<float>(static_cast<std::int32_t>(b - (quadrant << 30))), 0x1p-29f);
    const float z = times(t, t);
    float s = then(-3.595429073e-05f, z, 2.490006801e-03f);
    s = times(t, then(then(s, z, -8.074543471e-02f), z, 7.853981610e-01f));
    float c = then(3.529797134e-06f, z, -3.259385859e-04f);
    c = then(then(then(c, z, 1.585432523e-02f), z, -3.084251352e-01f), z, 1.0f);
    const bool turned = quadrant & 1;
    const float cosine = turned ? s : c, sine = turned ? c : s;
    first = times(r, ((quadrant + 1) & 2) ? -cosine : cosine);
    second = times(r, (quadrant & 2) ? -sine : sine);
}

// The four normals of counter number c: row first + c / quarters, elements 4 (c % quarters) and on.
BRENIER_BOTH void write_normals(const Normals& n, std::int64_t c) {
    const std::int64_t quarters = (n.depth + 3) / 4, row = c / quarters, quarter = c % quarters;
    const std::uint64_t index = n.first + static_cast<std::uint64_t>(row);
    const Words4 w = philox({{static_cast<std::uint32_t>(quarter), static_cast<std::uint32_t>(index),
                              static_cast<std::uint32_t>(index >> 32), n.stream}},
                            n.seed);
    float normal[4];
    box_muller(w.word[0], w.word[1], normal[0], normal[1]);
    box_muller(w.word[2], w.word[3], normal[2], normal[3]);
    float* out = n.out + row * n.depth + 4 * quarter;
    for (int k = 0; k < 4; ++k) {
        if (4 * quarter + k < n.depth) out[k] = normal[k];
    }
}

}  // namespace brenier::cuda
