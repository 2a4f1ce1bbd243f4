// Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"): ten rounds turn a
// counter of four words and a key of two into four random words. Plain loops over `count` counters at once, which
// compilers vectorise; integers only, so the words are the same everywhere.
#pragma once

#include <cstdint>

namespace brenier {
namespace {  // compiled once per instruction set: never shared by the linker

template <int count>
struct Words {
    alignas(64) uint32_t word[4][count];
};

template <int count>
inline void philox_round(Words<count>& w, uint32_t key_lo, uint32_t key_hi) {
    for (int l = 0; l < count; ++l) {
        const uint64_t even = uint64_t(0xD2511F53u) * w.word[0][l], odd = uint64_t(0xCD9E8D57u) * w.word[2][l];
        w.word[0][l] = uint32_t(odd >> 32) ^ w.word[1][l] ^ key_lo;
        w.word[1][l] = uint32_t(odd);
        w.word[2][l] = uint32_t(even >> 32) ^ w.word[3][l] ^ key_hi;
        w.word[3][l] = uint32_t(even);
    }
}

// Counters in, random words out.
template <int count>
inline void philox4x32_10(Words<count>& w, uint64_t key) {
    uint32_t lo = uint32_t(key), hi = uint32_t(key >> 32);
    for (int round = 0; round < 10; ++round, lo += 0x9E3779B9u, hi += 0xBB67AE85u) philox_round(w, lo, hi);
}

}  // namespace
}  // namespace brenier
