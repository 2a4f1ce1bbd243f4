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
          counts_(counts), lead_(rows.count), rounding_(rows.count), waiting_(rows.count), lists_(rows.count) {
        for (int64_t j = 0; j < rows.count; ++j) {
            lead_[j] = bar(j) = -__builtin_inff(), waiting_[j] = 0;
            const double scale = rows.scale(j / Tile::rows);
            rounding_[j] = exact_error(rows.noise.norms[rows.first + j] * scale, targets, heights) / scale;
            const int64_t source = rows.source(j);
            take_guess<V>(exact_noise(), source, exact_targets(), exact_heights(), winners + source, scores + source);
            if (scores[source] > -__builtin_inf()) raise_bar(j);
        }
    }

    // The share of pairs that may be scored in float64 before float32 would be faster.
    bool given_up() const { return counts_.rescored - before_ > rows_.count * (64 + seen_ / 16); }

    void offer(int64_t panel, int64_t target, int64_t end, float scale, const Bars<Tile>& bars, const int32_t* sums) {
        seen_ = target - lo_ > seen_ ? target - lo_ : seen_;
        const int64_t valid = smaller(Tile::targets, end - target);
        const uint64_t mask = (uint64_t(1) << valid) - 1;
        const int64_t rows = smaller(Tile::rows, rows_.count - panel * Tile::rows);
        for (int64_t r = 0; r < rows; ++r) {
            const int32_t* sum = sums + r * Tile::targets;
            const uint64_t reached = Tile::reached(sum, bars.bar[r]) & mask;
            if (reached) offer_row(panel * Tile::rows + r, target, reached, scale, sum);
        }
    }

    void finish() {
        for (int64_t j = 0; j < rows_.count; ++j) {
            drop_below(j);
            while (waiting_[j]) score_best(j);
        }
    }

  private:
    static constexpr int room = 16;
    struct List8 {
        int32_t target[room];  // after lo_
        float most[room];
    };

    void offer_row(int64_t row, int64_t target, uint64_t reached, float scale, const int32_t* sums) {
        const int64_t slot = RowBlock8<Tile>::slot(row);
        const float offset = rows_.offset[slot], error = rows_.error[slot];
        counts_.passed += __builtin_popcountll(reached);
        if (lead(row, target, reached, scale, sums))
            reached &= Tile::reached(sums, Bars<Tile>::integer((rows_.bar[slot] - error) / scale - offset));
        while (reached) {
            const int i = take_lowest(reached);
            const float most = (float(sums[i]) + offset) * scale;
            push(row, target + i, most + error + __builtin_fabsf(most) * 0x1p-20f);
        }
    }

    float& bar(int64_t row) { return rows_.bar[RowBlock8<Tile>::slot(row)]; }

    // From the best float64 score so far: a lower bound of the row's best, shifted as int8 scores are, in units of s_x.
    void raise_bar(int64_t row) {
        const double shifted = scores_[rows_.source(row)] - heights_.pivot - rows_.noise.shifts[rows_.first + row];
        raise(row, rounded_down(shifted / rows_.scale(row / Tile::rows) - rounding_[row]));
    }

    void raise(int64_t row, float least) {
        if (least > bar(row)) bar(row) = least;
    }

    // Takes the largest of those reached for the leader, if it is, and raises the bar by it.
    bool lead(int64_t row, int64_t target, uint64_t reached, float scale, const int32_t* sums) {
        int best = take_lowest(reached);
        while (reached) {
            const int i = take_lowest(reached);
            best = sums[i] > sums[best] ? i : best;
        }
        const int64_t slot = RowBlock8<Tile>::slot(row);
        const float offset = rows_.offset[slot], score = (float(sums[best]) + offset) * scale;
        if (score <= lead_[row]) return false;
        lead_[row] = score;
        const double height = double(heights_.bias[target + best]) / rows_.scale(row / Tile::rows);
        if (height < 0.5 * lowest_bias) return true;  // it was clamped upwards: no lower bound
        const double surplus = scale * (8 + 0x1p-18 * (__builtin_fabsf(offset) - height));
        const double least = score - __builtin_fabsf(score) * 0x1p-20 - rows_.error[slot] - surplus;
        raise(row, rounded_down(least - 2 * rounding_[row]));
        return true;
    }

    Noise exact_noise() const { return {rows_.noise.rows, rows_.noise.exact, nullptr, nullptr, nullptr}; }
    Targets exact_targets() const { return {targets_.count, targets_.exact, nullptr, 0, 0}; }
    Heights exact_heights() const { return {heights_.exact, nullptr, 0, 0, 0}; }

    void score_exactly(int64_t row, int64_t target) {
        const int64_t source = rows_.source(row);
        if (target == winners_[source]) return;  // the guess, come by on its own
        ++counts_.rescored;
        with_row(targets_.exact, target, [&](const auto* values) {
            const char* bytes = reinterpret_cast<const char*>(values);  // from memory, all lines at once
            for (int64_t at = 0; at < targets_.exact.depth * int64_t(sizeof *values); at += 64)
                __builtin_prefetch(bytes + at, 0, 2);
        });
        const double score = exact_score<V>(exact_noise(), source, exact_targets(), exact_heights(), target);
        if (score > scores_[source] || (score == scores_[source] && target < winners_[source]))
            scores_[source] = score, winners_[source] = target;
    }

    void push(int64_t row, int64_t target, float most) {
        if (waiting_[row] == room) make_room(row);
        List8& list = lists_[row];
        list.target[waiting_[row]] = int32_t(target - lo_);
        list.most[waiting_[row]++] = most;
    }

    void make_room(int64_t row) {
        drop_below(row);
        while (waiting_[row] > room / 2) score_best(row);
    }

    void drop_below(int64_t row) {
        List8& list = lists_[row];
        const float least = bar(row);
        int32_t kept = 0;
        for (int32_t i = 0; i < waiting_[row]; ++i) {
            list.target[kept] = list.target[i], list.most[kept] = list.most[i];
            kept += list.most[i] >= least;
        }
        waiting_[row] = kept;
    }

    // In float64, of those that wait, the one with the largest upper bound; drops what cannot win any more.
    void score_best(int64_t row) {
        List8& list = lists_[row];
        int32_t best = 0;
        for (int32_t i = 1; i < waiting_[row]; ++i) best = list.most[i] > list.most[best] ? i : best;
        score_exactly(row, lo_ + list.target[best]);
        list.target[best] = list.target[--waiting_[row]], list.most[best] = list.most[waiting_[row]];
        raise_bar(row);
        drop_below(row);
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
    Scratch<double> rounding_;  // what float64 and the shift may have lost, in units of s_x
    Scratch<int32_t> waiting_;
    Scratch<List8> lists_;
};

// winners and scores (rows,) hold the best of earlier ranges, any guess with -inf, or -1 and -inf, and are updated. False, with rows left undone, when the bounds are too loose to be worth while.
template <class V, class Tile>
bool assign8(const Noise8& noise, const Targets8& targets, const Heights8& heights, Range range, float kappa,
             int64_t* winners, double* scores, Int8Counts* counts) {
    const int64_t block = rows_per_block8<Tile>(noise.rows, targets.exact.depth);
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
