#include "cpu/dispatch.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace brenier::cpu {

#if defined(__x86_64__)
// The compiler's checks include the operating system's consent to save the wide registers.
bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && has_avx2();
}
bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
bool has_avx512_vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }
// Leaf 7, subleaf 1, EAX bit 4: compilers' checks know it under different names.
bool has_avx_vnni() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
static const Body* const table[] = {&avx512_body, &avx2_body, &portable_body};
static const Int8Body* const int8_table[] = {&avx512_vnni_body,     &avx512_vnni16_body, &avx_vnni_body,
                                             &avx_vnni16_body,      &avx512vl_vnni_body, &avx512vl_vnni16_body,
                                             &portable_int8_body,   &portable_int16_body};
#else
#if defined(__aarch64__)
static const Body* const table[] = {&neon_body, &portable_body};
#else
static const Body* const table[] = {&portable_body};
#endif
static const Int8Body* const int8_table[] = {&portable_int8_body, &portable_int16_body};
#endif

const Body* body(int32_t index) {
    constexpr int32_t count = sizeof table / sizeof *table;
    return index >= 0 && index < count ? table[index] : nullptr;
}

const Int8Body* int8_body(int32_t index) {
    constexpr int32_t count = sizeof int8_table / sizeof *int8_table;
    return index >= 0 && index < count ? int8_table[index] : nullptr;
}

}  // namespace brenier::cpu
