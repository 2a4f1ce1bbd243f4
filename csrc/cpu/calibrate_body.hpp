// The speed of the register tiles alone, on panels that stay in L1: the roof of a benchmark, and how undisturbed the
// machine is. Multiply-adds done: repeats x calibration_words x values per word x rows x targets.
#pragma once

#include "cpu/filter.hpp"
#include "cpu/int8_body.hpp"
#include "cpu/int8_filter.hpp"

namespace brenier::cpu {
namespace {

template <class V>
float calibrate(int64_t repeats) {
    Scratch<float> rows(V::rows * calibration_words), panel(width<V> * calibration_words), sums(tile_size<V>);
    for (int64_t k = 0; k < V::rows * calibration_words; ++k) rows[k] = 0;
    for (int64_t k = 0; k < width<V> * calibration_words; ++k) panel[k] = 0;
    for (int64_t i = 0; i < repeats; ++i)
        multiply_tile<V, Fast<V>>(rows.get(), 1, V::rows, panel.get(), calibration_words, sums.get(), i > 0,
                                  Ahead{panel.get(), 0});
    return sums[0];
}

template <class Tile>
int32_t calibrate8(int64_t repeats) {
    constexpr int64_t steps = calibration_words;
    Scratch<int32_t> rows(Tile::rows * steps), start(Tile::targets), bars(Tile::rows), sums(Tile::rows * Tile::targets);
    Scratch<uint8_t> panel(4 * Tile::targets * steps);
    for (int64_t k = 0; k < Tile::rows * steps; ++k) rows[k] = 0;
    for (int64_t k = 0; k < 4 * Tile::targets * steps; ++k) panel[k] = 128;
    for (int64_t k = 0; k < Tile::targets; ++k) start[k] = 0;
    for (int64_t k = 0; k < Tile::rows; ++k) bars[k] = 1;
    int32_t reached = 0;
    for (int64_t i = 0; i < repeats; ++i)
        reached += Tile::score(rows.get(), panel.get(), steps, start.get(), 0, bars.get(), sums.get(),
                               Ahead{panel.get(), 0});
    return reached;
}

}  // namespace
}  // namespace brenier::cpu
