// The tables of bodies, fastest first, and what each needs of the processor.
#pragma once

#include "cpu/body.hpp"
#include "cpu/int8_body.hpp"

namespace brenier::cpu {

extern const Body avx512_body, avx2_body, neon_body, portable_body;
extern const Int8Body avx512_vnni_body, avx_vnni_body, avx512vl_vnni_body, portable_int8_body;
extern const Int8Body avx512_vnni16_body, avx_vnni16_body, avx512vl_vnni16_body, portable_int16_body;

bool has_avx512();
bool has_avx2();
bool has_avx512_vnni();
bool has_avx_vnni();

// Body number `index` of the table; null past the end.
const Body* body(int32_t index);
const Int8Body* int8_body(int32_t index);

}  // namespace brenier::cpu
