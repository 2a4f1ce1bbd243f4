"""Noise by (seed, index) in Triton: the numbers of csrc/cpu/noise_body.hpp, made on the device.

    words (a, b) → (r cos t, r sin t),  r = √(−2 ln u),  u = (⌊a/2⌋ + ½)·2⁻³¹,  t = 2π·b·2⁻³²

Philox4x32-10 (Salmon et al. 2011) under the seed as key, counter (element // 4, number, stream), then Box–Muller
(1958). The words are bit-equal to the CPU's. The normals are, too, where nothing is contracted: the launch says
enable_fp_fusion=False, square roots are correctly rounded, and the polynomials are the CPU's, term by term.

One program makes BLOCK counters, four normals each: 16 bytes written per counter, nothing read.

Not run on hardware: checked in Triton's interpreter.
"""

from __future__ import annotations

import triton
import triton.language as tl

BLOCK = 256


@triton.jit
def philox(w0, w1, w2, w3, low, high):
    """Ten rounds on counters (w0, w1, w2, w3) under the key (low, high); all uint32."""
    for _ in tl.static_range(10):
        even_high, even = tl.umulhi(w0, 0xD2511F53), w0 * 0xD2511F53
        odd_high, odd = tl.umulhi(w2, 0xCD9E8D57), w2 * 0xCD9E8D57
        w0, w1, w2, w3 = odd_high ^ w1 ^ low, odd, even_high ^ w3 ^ high, even
        low += 0x9E3779B9
        high += 0xBB67AE85
    return w0, w1, w2, w3


@triton.jit
def natural_log(u, rest):
    """ln u for u in (0, 1]; rest = 1 − u, given exactly, replaces the difference near 1."""
    bits = u.to(tl.int32, bitcast=True)
    e = (bits - 0x3F3504F3) >> 23
    m = (bits - (e << 23)).to(tl.float32, bitcast=True)
    f = tl.where(e == 0, -rest, m - 1.0)
    p = f * 6.971611471e-02 - 1.147973385e-01
    p = p * f + 1.168541992e-01
    p = p * f - 1.242568733e-01
    p = p * f + 1.424905765e-01
    p = p * f - 1.666780232e-01
    p = p * f + 2.000071575e-01
    p = p * f - 2.499999696e-01
    p = p * f + 3.333333118e-01
    square = f * f
    return (f - (0.5 * square - square * f * p)) + e.to(tl.float32) * 0.693147181


@triton.jit
def box_muller(a, b):
    """Both normals of a pair of words."""
    half = (a >> 1).to(tl.int32)
    u = half.to(tl.float32) * 4.656612873077393e-10 + 2.3283064365386963e-10
    rest = (0x7FFFFFFF - half).to(tl.float32) * 4.656612873077393e-10 + 2.3283064365386963e-10
    r = tl.sqrt_rn(-2.0 * natural_log(u, rest))
    quadrant = (b + 0x20000000) >> 30
    t = (b - (quadrant << 30)).to(tl.int32, bitcast=True).to(tl.float32) * 1.862645149230957e-09
    z = t * t
    s = t * (((z * -3.595429073e-05 + 2.490006801e-03) * z - 8.074543471e-02) * z + 7.853981610e-01)
    c = (((z * 3.529797134e-06 - 3.259385859e-04) * z + 1.585432523e-02) * z - 3.084251352e-01) * z + 1.0
    turned = (quadrant & 1) != 0
    cosine, sine = tl.where(turned, s, c), tl.where(turned, c, s)
    first = r * tl.where(((quadrant + 1) & 2) != 0, -cosine, cosine)
    return first, r * tl.where((quadrant & 2) != 0, -sine, sine)


@triton.jit(do_not_specialize=["seed_low", "seed_high", "first_low", "first_high", "stream", "rows"])
def normals(
    out, seed_low, seed_high, first_low, first_high, stream, rows, depth, quarters, BLOCK: tl.constexpr
):  # fmt: skip
    """out (rows, depth) float32: noise number first + r in row r."""
    counter = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row, quarter = counter // quarters, counter % quarters
    low = (first_low.to(tl.int64) & 0xFFFFFFFF) + row
    high = first_high.to(tl.int64) + (low >> 32)
    zero = tl.zeros((BLOCK,), dtype=tl.int64)
    w0, w1, w2, w3 = philox(
        quarter.to(tl.uint32), low.to(tl.uint32), high.to(tl.uint32), (zero + stream).to(tl.uint32),
        (zero + seed_low).to(tl.uint32), (zero + seed_high).to(tl.uint32),
    )  # fmt: skip
    place = out + row * depth + 4 * quarter
    left = tl.where(row < rows, depth - 4 * quarter, 0)
    first, second = box_muller(w0, w1)
    third, fourth = box_muller(w2, w3)
    tl.store(place, first, mask=left > 0)
    tl.store(place + 1, second, mask=left > 1)
    tl.store(place + 2, third, mask=left > 2)
    tl.store(place + 3, fourth, mask=left > 3)
