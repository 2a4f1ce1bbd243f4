// The interface of the half-precision filter: plain C++, raw pointers and sizes, no framework and no CUDA headers.
//
//   f[j, i] = scale_j bias_i - bar_j + <x_j, y_i>     fp16 operands, fp32 sums; f >= 0: target i may win row j
//
// The meaning of every array, and the bound behind slack and rho: brenier/engine/halves.py. Arrays of rows are padded
// to 256 rows, whose lists are closed (count > room); y and bias to 256 targets, whose bias is -inf; width to 64.
#pragma once

#include <cstdint>

#include "cuda/scan.hpp"

namespace brenier::cuda {

struct Lists16 {
    void* packed;        // fp16 (rows padded, width)
    float* scale;
    float* slack;
    std::int64_t* best;  // ordered bits of the best estimate, then the inverted index
    int* count;          // more than `room`: the list has overflowed
    int* index;          // (rows, room)
    float* estimate;     // (rows, room)
    int room;
};

struct Filter {
    Lists16 lists;
    const void* y;  // fp16 (targets padded, width)
    const float* bias;
    float rho;
    std::int64_t rows;
    std::int64_t targets;
    int width;
};

enum class Kernel : int { kSm80 = 0, kSm90Resident = 1, kSm90Streamed = 2 };

// How one problem is cut into tiles, tiles into parts, and (row block, part) units into groups.
struct FilterConfig {
    Kernel kernel;
    int block_rows;
    int block_targets;
    int section;   // depth summed apart; 0 for all of it
    int splits;    // parts of the targets
    int group;     // row blocks whose units come together
    int programs;  // blocks launched
};

struct Packing {
    Matrix x;  // (rows, depth) as given
    const float* weights;
    Lists16 lists;
    std::int64_t rows;
    std::int64_t depth;
    int width;
};

struct Decision {
    Matrix x;
    Matrix y;
    const double* h;
    Lists16 lists;
    std::int64_t rows;
    std::int64_t targets;
    std::int64_t depth;
    std::int64_t* winners;
    double* scores;
    bool walk;  // score every target where a list overflowed, else leave -1 and -inf
};

struct Pairs {
    Matrix x;
    Matrix y;
    const double* h;
    std::int64_t depth;
    const std::int64_t* rows;
    const std::int64_t* targets;
    double* scores;
    std::int64_t count;
};

struct Normals {
    std::uint64_t seed;
    std::uint64_t first;
    std::uint32_t stream;
    float* out;  // (rows, depth)
    std::int64_t rows;
    std::int64_t depth;
};

// A pure function of the problem and the GPU, tested without one.
FilterConfig filter_configuration(std::int64_t rows, std::int64_t targets, int width, int major, int processors);

Status filter(const Filter& problem, const FilterConfig& config, const Launch& launch);
Status filter_sm80(const Filter& problem, const FilterConfig& config, const Launch& launch);
Status filter_sm90(const Filter& problem, const FilterConfig& config, const Launch& launch);
Status pack(const Packing& packing, const Launch& launch);
Status decide(const Decision& decision, const Launch& launch);
Status pair_scores(const Pairs& pairs, const Launch& launch);
Status normals(const Normals& request, const Launch& launch);

// The same rules by one host thread over host pointers, fragments and lanes in turn. Slow.
void filter_on_host(const Filter& problem, const FilterConfig& config);
void pack_on_host(const Packing& packing);
void decide_on_host(const Decision& decision);
void pair_scores_on_host(const Pairs& pairs);
void normals_on_host(const Normals& request);

}  // namespace brenier::cuda
