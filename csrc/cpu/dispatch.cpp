#include "cpu/dispatch.hpp"

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
static const Body* const table[] = {&avx512_body, &avx2_body, &portable_body};
#else
static const Body* const table[] = {&portable_body};
#endif

const Body* body(int32_t index) {
    constexpr int32_t count = sizeof table / sizeof *table;
    return index >= 0 && index < count ? table[index] : nullptr;
}

}  // namespace brenier::cpu
