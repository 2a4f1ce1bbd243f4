// The table of bodies, fastest first, and what each needs of the processor.
#pragma once

#include "cpu/body.hpp"

namespace brenier::cpu {

extern const Body avx512_body, avx2_body, portable_body;

bool has_avx512();
bool has_avx2();

// Body number `index` of the table; null past the end.
const Body* body(int32_t index);

}  // namespace brenier::cpu
