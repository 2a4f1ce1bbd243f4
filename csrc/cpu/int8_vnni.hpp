// The integer tile in VNNI instructions (vpdpbusd for int8, vpdpwssd for int16), by hand: compilers spill the accumulators of a tile that fills the register
// file, which costs a third of the speed. Included by the thin files only.
//
//     512 bits: 12 rows x 32 targets, sums in zmm8..zmm31, targets in zmm0 and zmm1, rows in zmm2..zmm5
//     256 bits:  6 rows x 16 targets, sums in ymm4..ymm15, targets in ymm0 and ymm1, rows in ymm2 and ymm3
#pragma once

#include <cstdint>

#include "cpu/int8_tile.hpp"

namespace brenier::cpu {
namespace {

#if defined(__AVX512F__)
#define START(lo, hi) \
    "vmovdqu32 (%[start]), %%zmm" #lo "\nvmovdqu32 64(%[start]), %%zmm" #hi "\nadd %[start_step], %[start]\n"
#define MULTIPLY(dot, at, row, lo, hi)                                                                         \
    "vpbroadcastd " #at "(%[row_words]), %%zmm" #row "\n" dot " %%zmm" #row ", %%zmm0, %%zmm" #lo "\n" dot     \
    " %%zmm" #row ", %%zmm1, %%zmm" #hi "\n"
#define COMPARE(at, lo, hi)                                                                                    \
    "vpmaxsd %%zmm" #lo ", %%zmm" #hi ", %%zmm0\nvpcmpd $5, " #at "(%[bars])%{1to16%}, %%zmm0, %%k2\n"         \
    "korw %%k2, %%k1, %%k1\n"
#define STORE(at, lo, hi) \
    "vmovdqu32 %%zmm" #lo ", 128*" #at "(%[sums])\nvmovdqu32 %%zmm" #hi ", 128*" #at "+64(%[sums])\n"
#define BRENIER_VNNI512(name, dot, value_bytes)                                                                \
    struct name {                                                                                              \
        static constexpr int rows = 12, targets = 32, bytes = value_bytes;                                     \
        static bool score(const int32_t* row_words, const uint8_t* panel, int64_t steps, const int32_t* start, \
                          int64_t start_step, const int32_t* bars, int32_t* sums, Ahead ahead) {               \
            uint32_t reached;                                                                                  \
            asm volatile(START(8, 9) START(10, 11) START(12, 13) START(14, 15) START(16, 17) START(18, 19)     \
                START(20, 21) START(22, 23) START(24, 25) START(26, 27) START(28, 29) START(30, 31)            \
                ".p2align 5\n1:\nvmovdqu32 (%[panel]), %%zmm0\nvmovdqu32 64(%[panel]), %%zmm1\n"              \
                MULTIPLY(dot, 0, 2, 8, 9) MULTIPLY(dot, 4, 3, 10, 11) MULTIPLY(dot, 8, 4, 12, 13)              \
                MULTIPLY(dot, 12, 5, 14, 15) MULTIPLY(dot, 16, 2, 16, 17) MULTIPLY(dot, 20, 3, 18, 19)         \
                MULTIPLY(dot, 24, 4, 20, 21) MULTIPLY(dot, 28, 5, 22, 23) MULTIPLY(dot, 32, 2, 24, 25)         \
                MULTIPLY(dot, 36, 3, 26, 27) MULTIPLY(dot, 40, 4, 28, 29) MULTIPLY(dot, 44, 5, 30, 31)         \
                "prefetcht0 1024(%[panel])\nprefetcht0 1088(%[panel])\nprefetcht0 768(%[row_words])\n"        \
                "prefetcht1 (%[next])\nadd %[next_step], %[next]\n"                                            \
                "add $128, %[panel]\nadd $48, %[row_words]\ndec %[steps]\njnz 1b\n"                            \
                "kxorw %%k1, %%k1, %%k1\n"                                                                     \
                COMPARE(0, 8, 9) COMPARE(4, 10, 11) COMPARE(8, 12, 13) COMPARE(12, 14, 15)                     \
                COMPARE(16, 16, 17) COMPARE(20, 18, 19) COMPARE(24, 20, 21) COMPARE(28, 22, 23)                \
                COMPARE(32, 24, 25) COMPARE(36, 26, 27) COMPARE(40, 28, 29) COMPARE(44, 30, 31)                \
                "kmovw %%k1, %[reached]\ntest %[reached], %[reached]\njz 2f\n"                                 \
                STORE(0, 8, 9) STORE(1, 10, 11) STORE(2, 12, 13) STORE(3, 14, 15) STORE(4, 16, 17)             \
                STORE(5, 18, 19) STORE(6, 20, 21) STORE(7, 22, 23) STORE(8, 24, 25) STORE(9, 26, 27)           \
                STORE(10, 28, 29) STORE(11, 30, 31) "2:\n"                                                     \
                : [row_words] "+&r"(row_words), [panel] "+&r"(panel), [steps] "+&r"(steps),                    \
                  [start] "+&r"(start), [reached] "=&r"(reached), [next] "+&r"(ahead.next)                     \
                : [next_step] "r"(ahead.step), [start_step] "r"(start_step * int64_t(sizeof(int32_t))), [bars] "r"(bars), [sums] "r"(sums)  \
                : "memory", "cc", "k1", "k2", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm8", "xmm9",  \
                  "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19",    \
                  "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29",    \
                  "xmm30", "xmm31");                                                                           \
            return reached != 0;                                                                               \
        }                                                                                                      \
        static uint32_t reached(const int32_t* sums, int32_t bar) {                                            \
            const __m512i least = _mm512_set1_epi32(bar);                                                      \
            return uint32_t(_mm512_cmpge_epi32_mask(_mm512_loadu_si512(sums), least)) |                        \
                   uint32_t(_mm512_cmpge_epi32_mask(_mm512_loadu_si512(sums + 16), least)) << 16;              \
        }                                                                                                      \
    }
BRENIER_VNNI512(Vnni512Tile, "vpdpbusd", 1);
BRENIER_VNNI512(Vnni512Tile16, "vpdpwssd", 2);
#undef START
#undef MULTIPLY
#undef COMPARE
#undef STORE
#endif

// `dot` is the instruction with its encoding: AVX-VNNI machines know one, AVX-512 VL machines the other.
#define START(lo, hi) \
    "vmovdqu (%[start]), %%ymm" #lo "\nvmovdqu 32(%[start]), %%ymm" #hi "\nadd %[start_step], %[start]\n"
#define MULTIPLY(dot, at, row, lo, hi)                                                                        \
    "vpbroadcastd " #at "(%[row_words]), %%ymm" #row "\n" dot " %%ymm" #row ", %%ymm0, %%ymm" #lo "\n" dot    \
    " %%ymm" #row ", %%ymm1, %%ymm" #hi "\n"
// Not reached: the bar is greater than the larger of the two.
#define COMPARE(at, lo, hi)                                                                                   \
    "vpmaxsd %%ymm" #lo ", %%ymm" #hi ", %%ymm0\nvpbroadcastd " #at "(%[bars]), %%ymm1\n"                     \
    "vpcmpgtd %%ymm0, %%ymm1, %%ymm0\nvpand %%ymm0, %%ymm3, %%ymm3\n"
#define STORE(at, lo, hi) \
    "vmovdqu %%ymm" #lo ", 64*" #at "(%[sums])\nvmovdqu %%ymm" #hi ", 64*" #at "+32(%[sums])\n"
#define BRENIER_VNNI256(name, dot, value_bytes)                                                                          \
    struct name {                                                                                             \
        static constexpr int rows = 6, targets = 16, bytes = value_bytes;                                     \
        static bool score(const int32_t* row_words, const uint8_t* panel, int64_t steps, const int32_t* start, \
                          int64_t start_step, const int32_t* bars, int32_t* sums, Ahead ahead) {              \
            uint32_t below;                                                                                   \
            asm volatile(START(4, 5) START(6, 7) START(8, 9) START(10, 11) START(12, 13) START(14, 15)        \
                ".p2align 5\n1:\nvmovdqu (%[panel]), %%ymm0\nvmovdqu 32(%[panel]), %%ymm1\n"                  \
                MULTIPLY(dot, 0, 2, 4, 5) MULTIPLY(dot, 4, 3, 6, 7) MULTIPLY(dot, 8, 2, 8, 9)                 \
                MULTIPLY(dot, 12, 3, 10, 11) MULTIPLY(dot, 16, 2, 12, 13) MULTIPLY(dot, 20, 3, 14, 15)        \
                "prefetcht0 512(%[panel])\nprefetcht0 768(%[row_words])\nprefetcht1 (%[next])\n"              \
                "add %[next_step], %[next]\n"                                                                 \
                "add $64, %[panel]\nadd $24, %[row_words]\ndec %[steps]\njnz 1b\n"                            \
                "vpcmpeqd %%ymm3, %%ymm3, %%ymm3\n"                                                           \
                COMPARE(0, 4, 5) COMPARE(4, 6, 7) COMPARE(8, 8, 9)                                            \
                COMPARE(12, 10, 11) COMPARE(16, 12, 13) COMPARE(20, 14, 15)                                   \
                "vpmovmskb %%ymm3, %[below]\ncmp $-1, %[below]\nje 2f\n"                                      \
                STORE(0, 4, 5) STORE(1, 6, 7) STORE(2, 8, 9) STORE(3, 10, 11) STORE(4, 12, 13) STORE(5, 14, 15) \
                "2:\n"                                                                                        \
                : [row_words] "+&r"(row_words), [panel] "+&r"(panel), [steps] "+&r"(steps), [start] "+&r"(start), \
                  [below] "=&r"(below), [next] "+&r"(ahead.next)                                              \
                : [next_step] "r"(ahead.step), [start_step] "r"(start_step * int64_t(sizeof(int32_t))), [bars] "r"(bars), [sums] "r"(sums) \
                : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",     \
                  "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");                              \
            return below != ~uint32_t(0);                                                                     \
        }                                                                                                     \
        static uint32_t reached(const int32_t* sums, int32_t bar) { return reached_bits<targets>(sums, bar); } \
    }

}  // namespace
}  // namespace brenier::cpu
