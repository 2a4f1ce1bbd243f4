// The int8 verbs of one instruction set. A table of its own: which bodies exist depends on other instructions.
#pragma once

#include <cstdint>

#include "core/views.hpp"

namespace brenier::cpu {

constexpr int64_t calibration_words = 256;  // of 4 bytes: the depth of the tiles that `calibrate` runs

struct Int8Body {
    const char* name;
    bool (*runs_here)();
    int32_t bits;     // 8 or 16 per value
    bool fast;        // worth choosing; the portable one is there to be tested
    int32_t rows;     // noise rows per packed panel
    int32_t targets;  // targets per packed panel

    void (*rotate)(const Matrix&, int64_t rows, const float* centre, const float* signs, int64_t block, float* out);
    bool (*pack_targets)(const Source8&, int64_t count, int32_t top, double slack,
                         const TargetPlaces8&);
    void (*largest_rows)(const Matrix&, int64_t rows, float* largest);
    bool (*pack_noise)(const Source8&, const Matrix& given, int64_t rows, const int64_t* order, const float* largest, double dithers,
                       int32_t top, double slack, const NoisePlaces8&);
    bool (*assign)(const Noise8&, const Targets8&, const Heights8&, Range, float kappa, int64_t* winners,
                   double* scores, Int8Counts*);
    int32_t (*calibrate)(int64_t repeats);
};

}  // namespace brenier::cpu
