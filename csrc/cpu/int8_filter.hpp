// The int8 pass of assign and candidates: integer scores of every pair of a range, in registers, against one bar per
// row; a sink gets the few tiles in which a bar is reached.
//
//     block of rows (in L2)  x  one panel of targets, or ~256 targets where they are longer than 1.5 KB
//       for each chunk of depth, each panel of targets, each panel of rows: one integer tile
//
// Per tile, before the products: the heights in the units s_x s_y of this pair of panels, rounded up, and the bars,
// rounded down (core/int8_bound.hpp). So a target that could win always reaches its bar; the float64 scores decide.
#pragma once

#include "core/int8_bound.hpp"
#include "cpu/filter.hpp"
#include "cpu/int8_pack.hpp"
#include "cpu/int8_tile.hpp"

namespace brenier::cpu {
namespace {

constexpr int64_t chunk_steps8 = 384;        // 1.5 KB of each target in a tile, which come from L2
constexpr int64_t block_bytes8 = 384 << 10;  // of packed rows
constexpr int64_t most_rows8 = 768, deep_rows8 = 192;
constexpr int64_t panels_per_group8 = 16;  // of targets that share one error bound per row

// Rows of one block. Slots pad each panel to a power of two, for whole vectors.
template <class Tile>
struct RowBlock8 {
    static constexpr int slots = Tile::rows > 8 ? 16 : Tile::rows > 4 ? 8 : 4;
    static constexpr int32_t shift = Width<Tile::bytes>::offset;
    const Noise8& noise;
    int64_t first, count, panels, steps;
    bool deep;                       // sum q p alone fits 32 bits, its offset of 128 sum q may not
    Scratch<float> bar;              // per slot: lower bound of the best score, in units of s_x
    Scratch<float> norm, residual, offset;
    Scratch<float> error;            // against the current group of targets, in units of s_x

    RowBlock8(const Noise8& all, int64_t first_row, int64_t rows, int64_t depth)
        : noise(all), first(first_row), count(rows), panels(ceil_div(rows, Tile::rows)), steps(steps_of<Tile>(depth)),
          deep(steps > chunk_steps8), bar(panels * slots), norm(panels * slots), residual(panels * slots),
          offset(panels * slots), error(panels * slots) {
        for (int64_t s = 0; s < panels * slots; ++s)
            bar[s] = never, norm[s] = residual[s] = offset[s] = error[s] = 0;
        for (int64_t j = 0; j < count; ++j) {
            const int64_t s = slot(j), place = first + j;
            const double own = all.offsets[place] - (deep ? 0.0 : double(shift) * all.totals[place]);
            norm[s] = all.norms[place], residual[s] = all.residuals[place];
            offset[s] = rounded_up(own + 2 + __builtin_fabs(own) * 0x1p-21);
        }
    }
    void set_errors(const GroupError& group) {
        const float *norms = norm.get(), *residuals = residual.get();
        float* errors = error.get();
        for (int64_t s = 0; s < panels * slots; ++s) errors[s] = group.of(norms[s], residuals[s]);
    }
    static int64_t slot(int64_t row) { return row / Tile::rows * slots + row % Tile::rows; }
    const int32_t* words(int64_t panel) const { return noise.panels + (first / Tile::rows + panel) * Tile::rows * steps; }
    float scale(int64_t panel) const { return noise.scales[first / Tile::rows + panel]; }
    int64_t source(int64_t row) const { return noise.order[first + row]; }
};

// `slots` numbers in one operation: loops this short are unrolled before compilers could make vectors of them.
template <int slots>
struct VectorOf;
template <>
struct VectorOf<4> {
    typedef float Floats __attribute__((vector_size(16)));
    typedef int32_t Integers __attribute__((vector_size(16)));
};
template <>
struct VectorOf<8> {
    typedef float Floats __attribute__((vector_size(32)));
    typedef int32_t Integers __attribute__((vector_size(32)));
};
template <>
struct VectorOf<16> {
    typedef float Floats __attribute__((vector_size(64)));
    typedef int32_t Integers __attribute__((vector_size(64)));
};

template <int slots>
struct Lanes8 {
    using Floats = typename VectorOf<slots>::Floats;
    using Integers = typename VectorOf<slots>::Integers;

    static Floats load(const float* from) {
        Floats values;
        __builtin_memcpy(&values, from, sizeof values);
        return values;
    }
    static Floats all(float value) { return value - Floats{}; }
    static Floats larger(Floats a, Floats b) { return a > b ? a : b; }
    static Floats smaller(Floats a, Floats b) { return a < b ? a : b; }
    static void store(int32_t* to, Integers values) { __builtin_memcpy(to, &values, sizeof values); }
    static Integers truncate(Floats values) { return __builtin_convertvector(values, Integers); }
};

// Bars of one panel of rows against one panel of targets, in units of s_x s_y.
template <class Tile>
struct Bars {
    static constexpr int slots = RowBlock8<Tile>::slots;
    using L = Lanes8<slots>;
    alignas(64) int32_t bar[slots];

    Bars(RowBlock8<Tile>& rows, int64_t panel, float inverse_scale) {
        const int64_t at = panel * slots;
        const auto best = L::load(rows.bar.get() + at), error = L::load(rows.error.get() + at);
        const auto exact = (best - error) * inverse_scale - L::load(rows.offset.get() + at);
        L::store(bar, L::truncate(L::smaller(L::larger(exact, L::all(lowest_bar)), L::all(highest_bar))) - 1);
    }
    // The same for one row: rounded down; far below everything where the bar is.
    static int32_t integer(float exact) {
        const float low = exact > lowest_bar ? exact : lowest_bar;
        return int32_t(low < highest_bar ? low : highest_bar) - 1;
    }
};

// Heights and dither sums of one panel of targets as integers, rounded up; the first value of every sum.
template <class Tile>
inline void start_sums(const float* bias, const float* dither_sums, float inverse_row_scale, int32_t* start) {
    constexpr int step = Tile::lanes;
    using L = Lanes8<step>;
    static_assert(Tile::targets % step == 0);
    for (int i = 0; i < Tile::targets; i += step) {
        const auto wanted = L::load(bias + i) * inverse_row_scale - L::load(dither_sums + i);
        L::store(start + i, L::truncate(L::larger(wanted, L::all(lowest_bias))) + 2);
    }
}

template <class Tile, class Sink>
class Filter8 {
  public:
    Filter8(RowBlock8<Tile>& rows, const Targets8& targets, const Heights8& heights, float kappa, Sink& sink)
        : rows_(rows), targets_(targets), heights_(heights), kappa_(kappa), sink_(sink),
          sums_(rows.deep ? rows.panels * deep_panels * tile : tile) {}

    // Stops early when the sink gives up.
    void run(Range range) {
        const int64_t step = Tile::targets * (rows_.deep ? deep_panels : panels_per_group8);
        for (int64_t lo = range.lo; lo < range.hi && !sink_.given_up(); lo += step) {
            const int64_t hi = smaller(lo + step, range.hi);
            rows_.set_errors(GroupError(targets_, lo / Tile::targets, ceil_div(hi, Tile::targets), kappa_,
                                        Width<Tile::bytes>::fraction));
            if (rows_.deep)
                deep_block(lo, hi, range.hi);
            else
                for (int64_t at = lo; at < hi && !sink_.given_up(); at += Tile::targets) shallow_panel(at, range.hi);
        }
    }

  private:
    static constexpr int64_t tile = Tile::rows * Tile::targets, deep_panels = targets_per_block / Tile::targets;

    const uint8_t* panel(int64_t lo) const { return targets_.panels + lo * rows_.steps * 4; }
    const float* bias(int64_t lo) const { return heights_.bias + lo; }

    void shallow_panel(int64_t lo, int64_t end) {
        const float scale = targets_.scales[lo / Tile::targets], inverse = 1 / scale;
        alignas(64) int32_t start[Tile::targets];
        const FetchAhead ahead(panel(lo + Tile::targets), 4 * Tile::targets, rows_.steps, rows_.panels);
        for (int64_t p = 0; p < rows_.panels; ++p) {
            start_sums<Tile>(bias(lo), targets_.dither_sums + lo, 1 / rows_.scale(p), start);
            const Bars<Tile> bars(rows_, p, inverse);
            const bool reached =
                Tile::score(rows_.words(p), panel(lo), rows_.steps, start, 0, bars.bar, sums_.get(), ahead.part(p));
            if (__builtin_expect(reached, 0)) sink_.offer(p, lo, end, scale, bars, sums_.get());
        }
    }

    // Chunks of depth over a block of targets; the sums wait in memory between chunks.
    void deep_block(int64_t lo, int64_t hi, int64_t end) {
        constexpr int64_t step_bytes = 4 * Tile::targets;
        const int64_t panels = ceil_div(hi - lo, Tile::targets);
        for (int64_t k = 0; k < rows_.steps; k += chunk_steps8) {
            const int64_t chunk = smaller(chunk_steps8, rows_.steps - k);
            for (int64_t t = 0; t < panels; ++t) {
                const FetchAhead ahead(after_chunk(panel(lo), rows_.steps, step_bytes, Place{t, panels, k, chunk}),
                                       step_bytes, chunk, rows_.panels);
                int32_t* sums = sums_.get() + t * rows_.panels * tile;
                for (int64_t p = 0; p < rows_.panels; ++p, sums += tile)
                    deep_tile(p, lo + t * Tile::targets, end, k, chunk, sums, ahead.part(p));
            }
        }
    }

    void deep_tile(int64_t p, int64_t at, int64_t end, int64_t k, int64_t steps, int32_t* sums, Ahead ahead) {
        if (k == 0) start_deep(p, at, sums);
        const float scale = targets_.scales[at / Tile::targets];
        const int32_t* words = rows_.words(p) + k * Tile::rows;
        const uint8_t* bytes = panel(at) + k * 4 * Tile::targets;
        if (k + steps < rows_.steps) {
            alignas(64) int32_t always[Bars<Tile>::slots];
            for (int32_t& bar : always) bar = INT32_MIN;
            Tile::score(words, bytes, steps, sums, Tile::targets, always, sums, ahead);
            return;
        }
        const Bars<Tile> bars(rows_, p, 1 / scale);
        if (Tile::score(words, bytes, steps, sums, Tile::targets, bars.bar, sums, ahead))
            sink_.offer(p, at, end, scale, bars, sums);
    }

    void start_deep(int64_t p, int64_t at, int32_t* sums) {
        alignas(64) int32_t start[Tile::targets];
        start_sums<Tile>(bias(at), targets_.dither_sums + at, 1 / rows_.scale(p), start);
        for (int r = 0; r < Tile::rows; ++r) {
            const int64_t row = p * Tile::rows + r;
            const uint32_t own = row < rows_.count ? uint32_t(rows_.shift) * uint32_t(rows_.noise.totals[rows_.first + row]) : 0;
            for (int i = 0; i < Tile::targets; ++i)
                sums[r * Tile::targets + i] = int32_t(uint32_t(start[i]) - own);
        }
    }

    RowBlock8<Tile>& rows_;
    const Targets8& targets_;
    const Heights8& heights_;
    const float kappa_;
    Sink& sink_;
    Scratch<int32_t> sums_;
};

// Rows of one block, which fit the second-level cache.
template <class Tile>
int64_t rows_per_block8(int64_t rows, int64_t depth) {
    const int64_t steps = steps_of<Tile>(depth);
    const int64_t most = steps > chunk_steps8 ? deep_rows8 : smaller(most_rows8, block_bytes8 / (4 * steps));
    return block_height(rows, (most / Tile::rows > 2 ? most / Tile::rows : 2) * Tile::rows, Tile::rows);
}

}  // namespace
}  // namespace brenier::cpu
