// The interface of the CUDA engine: plain C++, raw pointers and sizes, no framework and no CUDA headers.
//
//   score[j, i] = <x_j, y_i> + h_i  in float64, summed in the fixed order of order.cuh
//
// Targets are cut into `splits` parts. Results of assign are per (row, part); the caller folds the parts,
// lowest index first. count and fill list the targets of each part that reach the row's threshold.
#pragma once

#include <cstdint>

namespace brenier::cuda {

enum class Element : int { kFloat32 = 0, kFloat16 = 1, kBfloat16 = 2 };

struct Matrix {  // strides in elements; rows may overlap or be scattered
    const void* data;
    Element element;
    std::int64_t row_stride;
    std::int64_t depth_stride;
};

struct Problem {
    Matrix x;         // (rows, depth)
    Matrix y;         // (targets, depth)
    const double* h;  // (targets,)
    std::int64_t rows;
    std::int64_t targets;
    std::int64_t depth;
    int splits;
};

struct Best {  // both (rows, splits)
    double* scores;
    std::int64_t* winners;  // -1 where no target of the part has a score above -inf
};

struct Lists {
    const double* thresholds;    // (rows,)
    const std::int64_t* starts;  // (rows * splits + 1,): where each part's list begins; fill only
    std::int64_t* counts;        // (rows, splits): written by count
    std::int64_t* indices;       // written by fill, ascending in each part
    double* scores;              // beside them
};

struct Launch {
    int device;
    void* stream;
};

struct Status {  // code 0 is success; otherwise the CUDA call that failed and CUDA's words about it
    int code;
    const char* call;
    const char* message;
};

struct Device {
    int major;
    int minor;
    int processors;
    std::int64_t bytes;
    char name[256];
};

// How many parts fill a GPU of that many processors: a pure function, tested without one.
int splits_for(std::int64_t rows, std::int64_t targets, int processors);

Status device_count(int* count);
Status device_info(int index, Device* device);

Status assign(const Problem& problem, const Best& best, const Launch& launch);
Status count(const Problem& problem, const Lists& lists, const Launch& launch);
Status fill(const Problem& problem, const Lists& lists, const Launch& launch);

// The same order, tie rule and parts run by one host thread over host pointers: how they are tested
// without a GPU. Slow.
void assign_on_host(const Problem& problem, const Best& best);
void count_on_host(const Problem& problem, const Lists& lists);
void fill_on_host(const Problem& problem, const Lists& lists);

}  // namespace brenier::cuda
