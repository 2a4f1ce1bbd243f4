// The table of int8 verbs for one vector type and one tile; included by the thin files only.
#pragma once

#include "cpu/calibrate_body.hpp"
#include "cpu/int8_assign.hpp"
#include "cpu/int8_body.hpp"
#include "cpu/int8_pack.hpp"
#include "cpu/int8_tile.hpp"
#include "cpu/rotate_body.hpp"

namespace brenier::cpu {
namespace {

template <class V, class Tile>
constexpr Int8Body make_int8_body(const char* name, bool (*runs_here)(), bool fast) {
    return Int8Body{name,
                    runs_here,
                    8 * Tile::bytes,
                    fast,
                    Tile::rows,
                    Tile::targets,
                    rotate8<Tile>,
                    pack_targets8<Tile>,
                    largest_rows8<Tile>,
                    pack_noise8<Tile>,
                    assign8<V, Tile>,
                    calibrate8<Tile>};
}

}  // namespace
}  // namespace brenier::cpu
