// The integer tile in VNNI instructions (vpdpbusd for int8, vpdpwssd for int16), by hand: compilers spill the accumulators of a tile that fills the register
// file, which costs a third of the speed. Included by the thin files only.
//
//     512 bits:  8 rows x 48 targets, sums in zmm8..zmm31, targets in zmm0..zmm2, rows in zmm3..zmm6
//     256 bits:  6 rows x 16 targets, sums in ymm4..ymm15, targets in ymm0 and ymm1, rows in ymm2 and ymm3
//
// Loads are what the 512-bit tile is short of: two ports take a load each while the multipliers take two products.
// 8 x 48 needs 11 loads for 24 products, where 12 x 32 needs 14 and is a sixth slower; steps go in pairs, so that what is
// fetched ahead takes a load's place once in two steps, and targets are fetched to L2 only.
#pragma once

#include <cstdint>

#include "cpu/int8_tile.hpp"

namespace brenier::cpu {
namespace {

#if defined(__AVX512F__)
#define START(a, b, c)                                                                                         \
    "vmovdqu32 (%[start]), %%zmm" #a "\nvmovdqu32 64(%[start]), %%zmm" #b "\nvmovdqu32 128(%[start]), %%zmm" #c \
    "\nadd %[start_step], %[start]\n"
#define MULTIPLY(dot, at, row, a, b, c)                                                                        \
    "vpbroadcastd " #at "(%[row_words]), %%zmm" #row "\n" dot " %%zmm" #row ", %%zmm0, %%zmm" #a "\n" dot      \
    " %%zmm" #row ", %%zmm1, %%zmm" #b "\n" dot " %%zmm" #row ", %%zmm2, %%zmm" #c "\n"
#define FETCH(at, from) "prefetcht0 " #at "(%[" #from "])\n"
// One step, with what is fetched ahead meanwhile spread over it.
#define STEP(dot, target, row, ahead0, ahead1, ahead2, ahead3)                                                 \
    "vmovdqu32 " #target "(%[panel]), %%zmm0\nvmovdqu32 " #target "+64(%[panel]), %%zmm1\n"                    \
    "vmovdqu32 " #target "+128(%[panel]), %%zmm2\n" MULTIPLY(dot, row, 3, 8, 9, 10) ahead0                     \
    MULTIPLY(dot, row + 4, 4, 11, 12, 13) ahead1 MULTIPLY(dot, row + 8, 5, 14, 15, 16) ahead2                  \
    MULTIPLY(dot, row + 12, 6, 17, 18, 19) ahead3 MULTIPLY(dot, row + 16, 3, 20, 21, 22)                       \
    MULTIPLY(dot, row + 20, 4, 23, 24, 25) MULTIPLY(dot, row + 24, 5, 26, 27, 28)                              \
    MULTIPLY(dot, row + 28, 6, 29, 30, 31)
#define COMPARE(at, a, b, c)                                                                                   \
    "vpmaxsd %%zmm" #a ", %%zmm" #b ", %%zmm0\nvpmaxsd %%zmm" #c ", %%zmm0, %%zmm0\n"                          \
    "vpcmpd $5, " #at "(%[bars])%{1to16%}, %%zmm0, %%k2\nkorw %%k2, %%k1, %%k1\n"
#define STORE(at, a, b, c)                                                                                     \
    "vmovdqu32 %%zmm" #a ", " #at "(%[sums])\nvmovdqu32 %%zmm" #b ", " #at "+64(%[sums])\n"                    \
    "vmovdqu32 %%zmm" #c ", " #at "+128(%[sums])\n"
#define BRENIER_VNNI512(name, dot, value_bytes)                                                                \
    struct name {                                                                                              \
        static constexpr int rows = 8, targets = 48, lanes = 16, bytes = value_bytes;                          \
        static bool score(const int32_t* row_words, const uint8_t* panel, int64_t steps, const int32_t* start, \
                          int64_t start_step, const int32_t* bars, int32_t* sums, Ahead ahead) {               \
            uint32_t reached;                                                                                  \
            int64_t pairs = steps / 2;                                                                         \
            asm volatile(START(8, 9, 10) START(11, 12, 13) START(14, 15, 16) START(17, 18, 19)                 \
                    START(20, 21, 22) START(23, 24, 25) START(26, 27, 28) START(29, 30, 31)                    \
                "test %[pairs], %[pairs]\njz 2f\n.p2align 6\n1:\n"                                             \
                STEP(dot, 0, 0, FETCH(768, row_words), "prefetcht1 (%[next])\nadd %[next_step], %[next]\n", "", "")\
                STEP(dot, 192, 32, "", "", "", "")                                                             \
                "add $384, %[panel]\nadd $64, %[row_words]\ndec %[pairs]\njnz 1b\n"                            \
                "2:\ntest $1, %[steps]\njz 3f\n" STEP(dot, 0, 0, "", "", "", "") "3:\nkxorw %%k1, %%k1, %%k1\n"\
                COMPARE(0, 8, 9, 10) COMPARE(4, 11, 12, 13) COMPARE(8, 14, 15, 16)                             \
                COMPARE(12, 17, 18, 19) COMPARE(16, 20, 21, 22) COMPARE(20, 23, 24, 25)                        \
                COMPARE(24, 26, 27, 28) COMPARE(28, 29, 30, 31)                                                \
                "kmovw %%k1, %[reached]\ntest %[reached], %[reached]\njz 4f\n"                                 \
                STORE(0, 8, 9, 10) STORE(192, 11, 12, 13) STORE(384, 14, 15, 16)                               \
                STORE(576, 17, 18, 19) STORE(768, 20, 21, 22) STORE(960, 23, 24, 25)                           \
                STORE(1152, 26, 27, 28) STORE(1344, 29, 30, 31) "4:\n"                                         \
                : [row_words] "+&r"(row_words), [panel] "+&r"(panel), [pairs] "+&r"(pairs), [start] "+&r"(start),\
                  [reached] "=&r"(reached), [next] "+&r"(ahead.next)                                           \
                : [next_step] "r"(2 * ahead.step), [start_step] "r"(start_step * int64_t(sizeof(int32_t))),    \
                  [steps] "r"(steps), [bars] "r"(bars), [sums] "r"(sums)                                       \
                : "memory", "cc", "k1", "k2", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm8", "xmm9",  \
                  "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19",    \
                  "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29",    \
                  "xmm30", "xmm31");                                                                           \
            return reached != 0;                                                                               \
        }                                                                                                      \
        static uint64_t reached(const int32_t* sums, int32_t bar) {                                            \
            const __m512i least = _mm512_set1_epi32(bar);                                                      \
            return uint64_t(_mm512_cmpge_epi32_mask(_mm512_loadu_si512(sums), least)) |                        \
                   uint64_t(_mm512_cmpge_epi32_mask(_mm512_loadu_si512(sums + 16), least)) << 16 |             \
                   uint64_t(_mm512_cmpge_epi32_mask(_mm512_loadu_si512(sums + 32), least)) << 32;              \
        }                                                                                                      \
    }
BRENIER_VNNI512(Vnni512Tile, "vpdpbusd", 1);
BRENIER_VNNI512(Vnni512Tile16, "vpdpwssd", 2);
#undef START
#undef MULTIPLY
#undef FETCH
#undef STEP
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
        static constexpr int rows = 6, targets = 16, lanes = 8, bytes = value_bytes;                                     \
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
        static uint64_t reached(const int32_t* sums, int32_t bar) { return reached_bits<targets>(sums, bar); } \
    }

}  // namespace
}  // namespace brenier::cpu
