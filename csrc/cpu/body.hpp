// One table of verbs per instruction set. A verb's body is a template over a vector type V, instantiated in the
// thin file of each instruction set (avx512.cpp, avx2.cpp, portable.cpp).
//
// Everything a thin file includes lives in an unnamed namespace: an inline function compiled for AVX-512 must
// never be the copy that the linker keeps for a machine without it. For the same reason bodies use no std::
// templates.
#pragma once

#include <cstdint>

#include "core/views.hpp"

namespace brenier::cpu {

// What the candidates verb hands back, owned until Python has copied it.
struct CandidateRows {
    virtual ~CandidateRows() = default;
    virtual int64_t total() const = 0;
    // lengths (rows,), indices (total,), scores (total,) or, of circles, products (total, 2)
    virtual void copy(int64_t* lengths, int64_t* indices, double* scores) const = 0;
};

struct Body {
    const char* name;
    bool (*runs_here)();
    int32_t rows;     // noise rows per packed panel
    int32_t targets;  // targets per packed panel

    double (*largest)(const Matrix&, int64_t rows);
    double (*pack_targets)(const Matrix&, int64_t rows, int32_t exponent, float* panels);
    void (*pack_noise)(const Matrix&, int64_t rows, int32_t largest_exponent, float* panels, int32_t* exponents,
                       double* norms);
    void (*assign)(const Noise&, const Targets&, const Heights&, Range, int64_t* winners, double* scores);
    CandidateRows* (*candidates)(const Noise&, const Targets&, const Heights&, Range, double margin, double* best);
    void (*project)(const Matrix&, int64_t rows, const float* panels, int64_t directions, float* out);

    int64_t (*soft_counts)(const SoftRows&, int64_t lo, int64_t hi, double epsilon, SoftSums* sums);

    CandidateRows* (*circle_candidates)(const Noise&, const Targets&, const Heights&, Range, double margin,
                                        double* best);
    int64_t (*circle_counts)(const CircleRows&, int64_t lo, int64_t hi, double epsilon, SoftSums* sums);
    int64_t (*circle_wins)(const CircleRows&, int64_t lo, int64_t hi, CircleWins* sums);

    void (*normal)(uint64_t seed, uint64_t first, int64_t rows, int64_t depth, uint32_t stream, float* out);
    void (*unit_vectors)(uint64_t seed, uint64_t first, int64_t rows, int64_t depth, uint32_t stream, float* out);
    void (*integers)(uint64_t seed, uint64_t first, int64_t count, uint64_t high, uint32_t stream, int64_t* out);
    void (*philox)(const uint32_t* counter, uint64_t key, uint32_t* out);

    void (*mix)(const Clean&, const RowNoise&, int64_t rows, int64_t depth, const float* centre, float* out);
    void (*structured)(const float* y, int64_t rows, int64_t depth, const Frame&, float* out);

    float (*calibrate)(int64_t repeats);
};

}  // namespace brenier::cpu
