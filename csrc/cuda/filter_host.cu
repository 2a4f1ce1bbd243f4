// The rules of the filter and of the rows around it by one host thread: units in turn, each warp's fragment as an array
// of 32 lanes, lists and bests without atomics.
#include <cmath>
#include <vector>

#include "cuda/noise_rules.cuh"
#include "cuda/row_rules.cuh"

namespace brenier::cuda {
namespace {

const __half* halves(const void* data) { return static_cast<const __half*>(data); }

// What the tensor cores compute, here in one order: bias less bar first, or sections apart and added.
float fused_score(const Filter& f, int section, const RowBar& row, std::int64_t target) {
    const __half* x = halves(f.lists.packed) + row.row * f.width;
    const __half* y = halves(f.y) + target * f.width;
    float score = row.start(f.bias[target]), part = 0;
    for (int k = 0; k < f.width; ++k) {
        float& sum = section > 0 ? part : score;
        sum = std::fma(__half2float(x[k]), __half2float(y[k]), sum);
        if (section > 0 && ((k + 1) % section == 0 || k + 1 == f.width)) score += part, part = 0;
    }
    return score;
}

struct Fragment {  // 16 rows x `targets`: one warp's sums
    int targets;
    std::int64_t first_target;
    std::vector<float> sums;  // [lane][register]

    float& at(int lane, int r) { return sums[static_cast<std::size_t>(lane) * (targets / 2) + r]; }
};

void append(const Filter& f, const RowBar& row, std::int64_t target, float score, bool& full) {
    const int place = f.lists.count[row.row]++;
    if (place >= f.lists.room) {
        full = true;
        return;
    }
    const std::int64_t slot = row.row * f.lists.room + place;
    f.lists.index[slot] = static_cast<int>(target);
    f.lists.estimate[slot] = upper_estimate(score, f.rho, row.bar);
}

// collect.cuh for one row of a fragment: the four lanes that own it, their registers in turn.
void collect_row(const Filter& f, Fragment& fragment, int quad, int half, RowBar& row) {
    float top = -INFINITY;
    std::int64_t where = 0x7fffffff;
    const auto each = [&](auto visit) {
        for (int lane = 4 * quad; lane < 4 * quad + 4; ++lane) {
            for (int r = 0; r < fragment.targets / 2; ++r) {
                if (fragment_half(r) == half) visit(fragment.at(lane, r), fragment.first_target + fragment_target(lane, r));
            }
        }
    };
    each([&](float score, std::int64_t) { top = std::fmax(top, score); });
    if (!(top >= 0)) return;
    each([&](float score, std::int64_t target) { where = score == top && target < where ? target : where; });
    const float raised = raised_by(top, f.rho, row.slack);
    bool full = false;
    each([&](float score, std::int64_t target) { if (score >= raised) append(f, row, target, score, full); });
    std::int64_t& best = f.lists.best[row.row];
    const std::int64_t packed = packed_best(top * (1 - f.rho) + row.bar, where);
    best = packed > best ? packed : best;
    row.bar = full ? kClosed : row.bar + raised;
}

// One warp's walk over the tiles of a unit.
void walk(const Filter& f, const FilterConfig& c, const Unit& unit, std::int64_t first_row, int first, int targets) {
    RowBar rows[16];
    for (int k = 0; k < 16; ++k) rows[k].open(f.lists, first_row + k);
    for (std::int64_t tile = unit.tiles.first; tile < unit.tiles.end; ++tile) {
        Fragment fragment = {targets, tile * c.block_targets + first, std::vector<float>(16u * targets)};
        for (int lane = 0; lane < 32; ++lane) {
            for (int r = 0; r < targets / 2; ++r) {
                const RowBar& row = rows[fragment_row(lane, fragment_half(r))];
                fragment.at(lane, r) = fused_score(f, c.section, row, fragment.first_target + fragment_target(lane, r));
            }
        }
        for (int k = 0; k < 16; ++k) collect_row(f, fragment, k % 8, k / 8, rows[k]);
    }
}

float largest_of(const Packing& p, std::int64_t row) {
    float largest = 0;
    for (std::int64_t k = 0; k < p.depth; ++k) largest = std::fmax(largest, std::fabs(element(p.x, row, k)));
    return largest;
}

double exact_score(const Matrix& x, const Matrix& y, const double* h, std::int64_t depth, std::int64_t row,
                   std::int64_t target) {
    double lanes[kLanes] = {};
    for (std::int64_t k = 0; k < depth; ++k) {
        lanes[k % kLanes] = add_product(lanes[k % kLanes], element(x, row, k), element(y, target, k));
    }
    for (int distance = kLanes / 2; distance > 0; distance /= 2) {
        for (int l = 0; l < distance; ++l) lanes[l] += lanes[l + distance];
    }
    return lanes[0] + h[target];
}

}  // namespace

void filter_on_host(const Filter& f, const FilterConfig& c) {
    const Units units = units_of(f, c);
    const int targets = c.kernel == Kernel::kSm80 ? 64 : c.block_targets;  // of one warp's fragment
    for (std::int64_t u = 0; u < units.count(); ++u) {
        const Unit unit = units.at(u);
        for (int row = 0; row < c.block_rows; row += 16) {
            for (int first = 0; first < c.block_targets; first += targets) {
                walk(f, c, unit, unit.block * c.block_rows + row, first, targets);
            }
        }
    }
}

void pack_on_host(const Packing& p) {
    for (std::int64_t row = 0; row < (p.rows + 255) / 256 * 256; ++row) {
        const float factor = power_of_two(exponent_for(row < p.rows ? largest_of(p, row) : 0.0f));
        __half* out = static_cast<__half*>(p.lists.packed) + row * p.width;
        float squares = 0, residuals = 0;
        for (int k = 0; k < p.width; ++k) {
            const float value = row < p.rows && k < p.depth ? element(p.x, row, k) * factor : 0.0f;
            out[k] = __float2half_rn(value);
            const float rest = __half2float(out[k]) - value;
            squares += value * value;
            residuals += rest * rest;
        }
        open_list(p, row, factor, std::sqrt(squares), std::sqrt(residuals));
    }
}

void decide_on_host(const Decision& d) {
    for (std::int64_t row = 0; row < d.rows; ++row) {
        const int found = d.lists.count[row];
        const float bar = estimate_of(d.lists.best[row]) - d.lists.slack[row];
        Chosen chosen;
        for (int place = 0; found <= d.lists.room && place < found; ++place) {
            const std::int64_t slot = row * d.lists.room + place, target = d.lists.index[slot];
            if (d.lists.estimate[slot] < bar) continue;
            chosen.offer(exact_score(d.x, d.y, d.h, d.depth, row, target), target);
        }
        for (std::int64_t t = 0; d.walk && found > d.lists.room && t < d.targets; ++t) {
            chosen.offer(exact_score(d.x, d.y, d.h, d.depth, row, t), t);
        }
        d.winners[row] = chosen.winner, d.scores[row] = chosen.score;
    }
}

void pair_scores_on_host(const Pairs& p) {
    for (std::int64_t k = 0; k < p.count; ++k) {
        p.scores[k] = exact_score(p.x, p.y, p.h, p.depth, p.rows[k], p.targets[k]);
    }
}

void normals_on_host(const Normals& n) {
    for (std::int64_t c = 0; c < n.rows * ((n.depth + 3) / 4); ++c) write_normals(n, c);
}

}  // namespace brenier::cuda
