// The table of verbs for one vector type; included by the thin files only.
#pragma once

#include "cpu/assign_body.hpp"
#include "cpu/body.hpp"
#include "cpu/calibrate_body.hpp"
#include "cpu/candidates_body.hpp"
#include "cpu/circle_body.hpp"
#include "cpu/circle_counts_body.hpp"
#include "cpu/mix_body.hpp"
#include "cpu/noise_body.hpp"
#include "cpu/pack_body.hpp"
#include "cpu/project_body.hpp"
#include "cpu/soft_body.hpp"
#include "cpu/structured_body.hpp"

namespace brenier::cpu {
namespace {

template <class V>
constexpr Body make_body(const char* name, bool (*runs_here)()) {
    return Body{name,
                runs_here,
                V::rows,
                width<V>,
                largest<V>,
                pack_targets<V>,
                pack_noise<V>,
                assign<V>,
                candidates<V>,
                project<V>,
                soft_counts<V>,
                circle_candidates<V>,
                circle_counts<V>,
                circle_wins<V>,
                normal<V>,
                unit_vectors<V>,
                integers<V>,
                philox<V>,
                mix<V>,
                structured<V>,
                calibrate<V>};
}

}  // namespace
}  // namespace brenier::cpu
