// assign by the int8 filter: winner[j] = lowest i with the largest score <x_j, y_i> + h_i  (float64, fixed order).
//
// Whatever leads a row by its int8 score raises the row's bar to its own lower bound; what reaches the bar waits, with
// its upper bound. When a row has no place left, or at the end, those that still reach the bar are scored in float64,
// the most promising first, which raises the bar above most of the others. So nearly all float64 work is one score
// per row. They are scored out of order, so ties compare indices. Where far too much passes (ties, useless bounds) the
// call gives up after a few panels, and the caller uses float32.
#pragma once

#include "cpu/int8_filter.hpp"
#include "cpu/rescore.hpp"

namespace brenier::cpu {
namespace {

template <class V, class Tile>
class AssignSink8 {
  public:
    AssignSink8(RowBlock8<Tile>& rows, const Targets8& targets, const Heights8& heights, int64_t lo,
                int64_t* winners, double* scores, Int8Counts& counts)
        : rows_(rows), targets_(targets), heights_(heights), lo_(lo), winners_(winners), scores_(scores),
          counts_(counts), lead_(rows.count), waiting_(rows.count) {
        for (int64_t j = 0; j < rows.count; ++j) {
            lead_[j] = bar(j) = -__builtin_inff(), waiting_[j].count = 0;
            raise_bar(j);
        }
    }

    // The share of pairs that may be scored in float64 before float32 would be faster.
    bool given_up() const { return counts_.rescored - before_ > rows_.count * (64 + seen_ / 16); }

    void offer(int64_t panel, int64_t target, int64_t end, float scale, const Bars<Tile>& bars, const int32_t* sums) {
        seen_ = target - lo_ > seen_ ? target - lo_ : seen_;
        const int64_t valid = smaller(Tile::targets, end - target);
        for (int r = 0; r < Tile::rows; ++r) {
            const int64_t row = panel * Tile::rows + r;
            const int32_t* sum = sums + r * Tile::targets;
            uint32_t reached = Tile::reached(sum, bars.bar[r]) & uint32_t((uint64_t(1) << valid) - 1);
            if (!reached || row >= rows_.count) continue;
            counts_.passed += __builtin_popcount(reached);
            const int64_t slot = panel * RowBlock8<Tile>::slots + r;
            const float offset = rows_.offset[slot], error = rows_.error[slot];
            if (lead(row, target, reached, scale, offset, error, sum))
                reached &= Tile::reached(sum, Bars<Tile>::integer((bar(row) - error) / scale - offset));
            while (reached) {
                const int i = take_lowest(reached);
                const float most = (float(sum[i]) + offset) * scale;
                push(row, target + i, most + error + __builtin_fabsf(most) * 0x1p-20f);
            }
        }
    }

    void finish() {
        for (int64_t j = 0; j < rows_.count; ++j) {
            drop_below(waiting_[j], bar(j));
            rescore(j);
        }
    }

  private:
    static constexpr int room = 24;
    struct Waiting {
        int64_t target[room];
        float most[room];
        int32_t count;
    };

    float& bar(int64_t row) { return rows_.bar[RowBlock8<Tile>::slot(row)]; }

    // What float64 and the shift may have lost, in units of s_x.
    double rounding(int64_t row, double scale) const {
        return exact_error(rows_.noise.norms[rows_.first + row] * scale, targets_, heights_) / scale;
    }

    // From the best float64 score so far: a lower bound of the row's best, shifted as int8 scores are, in units of s_x.
    void raise_bar(int64_t row) {
        const double scale = rows_.scale(row / Tile::rows), best = scores_[rows_.source(row)];
        const double least = best - heights_.pivot - rows_.noise.shifts[rows_.first + row];
        raise(row, rounded_down(least / scale - rounding(row, scale)));
    }

    void raise(int64_t row, float least) {
        if (least > bar(row)) bar(row) = least;
    }

    // Takes the largest of those reached for the leader, if it is, and raises the bar by it.
    bool lead(int64_t row, int64_t target, uint32_t reached, float scale, float offset, float error,
              const int32_t* sums) {
        int best = __builtin_ctz(reached);
        for (uint32_t rest = reached; rest;) {
            const int i = take_lowest(rest);
            best = sums[i] > sums[best] ? i : best;
        }
        const float score = (float(sums[best]) + offset) * scale;
        if (score <= lead_[row]) return false;
        lead_[row] = score;
        const double row_scale = rows_.scale(row / Tile::rows);
        const double height = double(heights_.bias[target + best]) / row_scale;
        if (height < 0.5 * lowest_bias) return true;  // it was clamped upwards: no lower bound
        const double surplus = scale * (8 + 0x1p-18 * (__builtin_fabs(height) + __builtin_fabsf(offset)));
        const double least = score - __builtin_fabsf(score) * 0x1p-20 - error - surplus;
        raise(row, rounded_down(least - 2 * rounding(row, row_scale)));
        return true;
    }

    void score_exactly(int64_t row, int64_t target) {
        ++counts_.rescored;
        const int64_t source = rows_.source(row);
        with_row(targets_.exact, target, [&](const auto* values) {
            const char* bytes = reinterpret_cast<const char*>(values);  // from memory, all lines at once
            for (int64_t at = 0; at < targets_.exact.depth * int64_t(sizeof *values); at += 64)
                __builtin_prefetch(bytes + at, 0, 2);
        });
        const Noise noise{rows_.noise.rows, rows_.noise.exact, nullptr, nullptr, nullptr};
        const Targets exact{targets_.count, targets_.exact, nullptr, 0, 0};
        const Heights heights{heights_.exact, nullptr, 0, 0, 0};
        const double score = exact_score<V>(noise, source, exact, heights, target);
        if (score > scores_[source] || (score == scores_[source] && target < winners_[source]))
            scores_[source] = score, winners_[source] = target;
    }

    void push(int64_t row, int64_t target, float most) {
        Waiting& waiting = waiting_[row];
        if (waiting.count == room) make_room(row);
        waiting.target[waiting.count] = target;
        waiting.most[waiting.count++] = most;
    }

    void make_room(int64_t row) {
        Waiting& waiting = waiting_[row];
        drop_below(waiting, bar(row));
        if (waiting.count > room / 2) score_best(row);
        if (waiting.count > room / 2) rescore(row);
    }

    static void drop_below(Waiting& waiting, float bar) {
        int kept = 0;
        for (int i = 0; i < waiting.count; ++i)
            if (waiting.most[i] >= bar) {
                waiting.target[kept] = waiting.target[i];
                waiting.most[kept++] = waiting.most[i];
            }
        waiting.count = kept;
    }

    // In float64, of those that wait, the one with the largest upper bound; drops what cannot win any more.
    void score_best(int64_t row) {
        Waiting& waiting = waiting_[row];
        int best = 0;
        for (int i = 1; i < waiting.count; ++i) best = waiting.most[i] > waiting.most[best] ? i : best;
        score_exactly(row, waiting.target[best]);
        --waiting.count;
        waiting.target[best] = waiting.target[waiting.count], waiting.most[best] = waiting.most[waiting.count];
        raise_bar(row);
        drop_below(waiting, bar(row));
    }

    void rescore(int64_t row) {
        while (waiting_[row].count) score_best(row);
    }

    RowBlock8<Tile>& rows_;
    const Targets8& targets_;
    const Heights8& heights_;
    const int64_t lo_;
    int64_t* winners_;
    double* scores_;
    Int8Counts& counts_;
    int64_t seen_ = 0;
    const int64_t before_ = counts_.rescored;
    Scratch<float> lead_;
    Scratch<Waiting> waiting_;
};

// winners and scores (rows,) hold the best of earlier ranges, or any guess with its score (-1 and -inf for none), and
// are updated. False, with rows left undone, when the bounds are too loose to be worth while.
template <class V, class Tile>
bool assign8(const Noise8& noise, const Targets8& targets, const Heights8& heights, Range range, float kappa,
             int64_t* winners, double* scores, Int8Counts* counts) {
    const int64_t block = rows_per_block8<Tile>(targets.exact.depth);
    for (int64_t first = 0; first < noise.rows; first += block) {
        RowBlock8<Tile> rows(noise, first, smaller(block, noise.rows - first), targets.exact.depth);
        AssignSink8<V, Tile> sink(rows, targets, heights, range.lo, winners, scores, *counts);
        Filter8<Tile, AssignSink8<V, Tile>>(rows, targets, heights, kappa, sink).run(range);
        if (sink.given_up()) return false;
        sink.finish();
    }
    return true;
}

}  // namespace
}  // namespace brenier::cpu
