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

// Noise in int8 for one body: panels of `Int8Body::rows` rows, [panel][step][row][4 of depth], one scale per panel.
struct Noise8 {
    int64_t rows;
    const float* exact;       // (rows, depth) as given
    const int64_t* order;     // (rows,) which row of `exact` lies at this place of the panels
    const int32_t* panels;
    const float* scales;      // s_x per panel
    const float* norms;       // per place: upper bound of |x| / s_x
    const float* residuals;   // upper bound of |x_q - x| / s_x
    const double* offsets;    // sum u v - sum q v
    const int32_t* totals;    // sum q
    const double* shifts;     // <x, centre>
};

// Targets minus their centre in int8 + 128: panels of `Int8Body::targets`, [panel][step][target][4 of depth].
struct Targets8 {
    int64_t count;
    Matrix exact;             // as given, not centred
    const uint8_t* panels;
    const float* scales;      // s_y per panel
    const float* norms;       // per panel: upper bound of |y| / s_y
    const float* residuals;   // per panel: upper bound of |y_q - y| / s_y
    const float* dither_sums; // whole panels: sum p u, rounded down to an integer
    double reach;             // upper bound of |y| + 2 |centre|
    float slack;              // relative error of what was quantised, where that was rotated first
};

// bias[i] = (exact[i] - pivot) / s_y, towards zero, and far below where -inf.
struct Heights8 {
    const double* exact;
    const float* bias;  // whole panels
    double pivot;
    double largest;
};

// Where int8 packing reads: values, minus a centre (depth,) (targets), and the dithers (depth,) of this side and the other.
struct Source8 {
    Matrix matrix;
    const float* centre;
    const uint16_t* dither;
    const uint16_t* other;
};

// Where it writes: the fields of Targets8 and of Noise8.
struct TargetPlaces8 {
    uint8_t* panels;
    float *scales, *norms, *residuals, *dither_sums;
};
struct NoisePlaces8 {
    int32_t* panels;
    float *scales, *norms, *residuals;
    double* offsets;
    int32_t* totals;
    double* shifts;
};

// What became of the pairs of a call.
struct Int8Counts {
    int64_t passed;    // reached the bar when they were scored in int8
    int64_t rescored;  // scored in float64
};

// Rows as stored, before scale and noise.
struct Clean {
    const uint8_t* bytes;  // or null
    const float* table;    // what each byte stands for, times the scale
    const float* values;   // where there are no bytes
    float scale;
};

// Which noise goes on rows: number `first` + r of the stream in row r, times sigma; none where sigma is 0.
struct RowNoise {
    uint64_t seed, first;
    uint32_t stream;
    float sigma;
};

// Structured random directions: see structured_body.hpp.
struct Frame {
    int64_t block;
    const uint8_t* signs;  // (2, blocks, block), 1 for minus
    const int32_t* chosen; // (directions,)
    int64_t directions;
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

// Candidates of great circles: circle c owns [offsets[c], offsets[c + 1]); products (total, 2) with its two draws.
struct CircleRows {
    const int64_t* offsets;
    const int64_t* indices;
    const double* products;
    const double* heights;  // (targets,)
    int64_t targets;
};

// Points won on all circles, and the sum of their squares circle by circle.
struct CircleWins {
    int64_t wins, squares;
};

}  // namespace brenier
