// What a native verb is given: pointers, sizes and exponents. Python keeps the memory and has checked everything.
#pragma once

#include <cstdint>

namespace brenier {

enum class Element : int32_t { float32, bfloat16, float16 };

// Rows of a matrix whose elements within a row are adjacent.
struct Matrix {
    const void* data;
    int64_t stride;  // elements from one row to the next
    int64_t depth;   // d
    Element element;
};

// Noise in the layout of one body: panels of `Body::rows` rows, [panel][depth][row].
struct Noise {
    int64_t rows;
    const float* exact;        // (rows, depth) as given, for the float64 score
    const float* panels;       // row j times 2^exponents[j], at most 1 in magnitude
    const int32_t* exponents;  // (rows,)
    const double* norms;       // (rows,) upper bounds of the Euclidean norm of the packed row
};

// Targets in the layout of one body: panels of `Body::targets` targets, [panel][depth][target].
struct Targets {
    int64_t count;
    Matrix exact;         // as given, for the float64 score
    const float* panels;  // times 2^exponent, at most 1 in magnitude
    int32_t exponent;
    double largest_norm;  // upper bound over the packed targets
};

// Heights, and as the filter sees them: bias[i] = (exact[i] - pivot) 2^exponent in float32, in [-1, 0] or -inf.
struct Heights {
    const double* exact;
    const float* bias;  // whole panels; -inf beyond the last target
    double pivot;       // the largest height
    double largest;     // the largest finite magnitude
    int32_t exponent;
};

// Targets [lo, hi) of a piece of work; lo is the first of a panel.
struct Range {
    int64_t lo, hi;
};

// Candidates as compressed rows: row j owns [offsets[j], offsets[j + 1]).
struct SoftRows {
    const int64_t* offsets;
    const int64_t* indices;
    const double* scores;
    const double* change;  // (targets,) added to the scores, or null
    int64_t targets;
};

// Sums of one target, one cache line for two; 2^40 is one.
struct SoftSums {
    int64_t weight, sharp, square, wins;
};

}  // namespace brenier
