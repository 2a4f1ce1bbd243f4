// assign:  winner[j] = lowest i with the largest score <x_j, y_i> + h_i  (float64, fixed order).
//
// The filter passes each row a few survivors. They wait in a small buffer; when it is full, those that the risen
// threshold still admits are scored in float64, and their best raises the threshold further. So ties and useless
// bounds cost time, never memory. A guess may have a higher index than a target that ties, so indices are compared.
#pragma once

#include "cpu/filter.hpp"
#include "cpu/rescore.hpp"

namespace brenier::cpu {
namespace {

template <class V>
class AssignSink {
  public:
    AssignSink(RowBlock<V>& rows, const Targets& targets, const Heights& heights, int64_t* winners, double* scores)
        : rows_(rows), targets_(targets), heights_(heights), winners_(winners), scores_(scores),
          bounds_(rows.count), best_(rows.count), waiting_(rows.count) {
        for (int64_t j = 0; j < rows.count; ++j)
            take_guess<V>(rows.noise, rows.first + j, targets, heights, winners + j, scores + j);
        start_rows(rows, bounds_.get(), targets, heights, 0.0, scores);
        for (int64_t j = 0; j < rows.count; ++j) best_[j] = -__builtin_inff(), waiting_[j].count = 0;
    }

    bool out_of_room() const { return false; }

    void fold(const float* sums, const float* bias, int64_t row, int64_t target) {
        fold_tile<V>(sums, bias, rows_, row, target, *this);
    }

    void offer(int64_t row, int64_t target, const float* scores, uint64_t reached) {
        raise(row, scores, reached);
        while (reached) {
            const int i = take_lowest(reached);
            if (scores[i] >= rows_.threshold[row]) push(row, target + i, scores[i]);
        }
    }

    void finish() {
        for (int64_t j = 0; j < rows_.count; ++j) rescore(j);
    }

  private:
    static constexpr int room = 40;
    struct Waiting {
        int64_t target[room];
        float score[room];
        int32_t count;
    };

    void raise(int64_t row, const float* scores, uint64_t reached) {
        const float before = best_[row];
        while (reached) {
            const int i = take_lowest(reached);
            if (scores[i] > best_[row]) best_[row] = scores[i];
        }
        if (best_[row] > before) update_threshold(row);
    }

    void update_threshold(int64_t row) { rows_.threshold[row] = bounds_[row].threshold(best_[row], scores_[row]); }

    void push(int64_t row, int64_t target, float score) {
        Waiting& waiting = waiting_[row];
        if (waiting.count == room) {
            drop_below(waiting, rows_.threshold[row]);
            if (waiting.count > room / 2) rescore(row);
        }
        waiting.target[waiting.count] = target;
        waiting.score[waiting.count++] = score;
    }

    static void drop_below(Waiting& waiting, float threshold) {
        int kept = 0;
        for (int i = 0; i < waiting.count; ++i)
            if (waiting.score[i] >= threshold) {
                waiting.target[kept] = waiting.target[i];
                waiting.score[kept++] = waiting.score[i];
            }
        waiting.count = kept;
    }

    void rescore(int64_t row) {
        Waiting& waiting = waiting_[row];
        drop_below(waiting, rows_.threshold[row]);
        for (int i = 0; i < waiting.count; ++i) {
            const double score = exact_score<V>(rows_.noise, rows_.first + row, targets_, heights_, waiting.target[i]);
            if (score > scores_[row] || (score == scores_[row] && waiting.target[i] < winners_[row]))
                scores_[row] = score, winners_[row] = waiting.target[i];
        }
        waiting.count = 0;
        update_threshold(row);
    }

    RowBlock<V>& rows_;
    const Targets& targets_;
    const Heights& heights_;
    int64_t* winners_;
    double* scores_;
    Scratch<RowBound> bounds_;
    Scratch<float> best_;
    Scratch<Waiting> waiting_;
};

// winners and scores (rows,) hold the best of earlier ranges, any guess with -inf, or -1 and -inf, and are updated.
template <class V>
void assign(const Noise& noise, const Targets& targets, const Heights& heights, Range range, int64_t* winners,
            double* scores) {
    const int64_t block = block_height(noise.rows, rows_per_block, V::rows);
    for (int64_t first = 0; first < noise.rows; first += block) {
        RowBlock<V> rows(noise, first, smaller(block, noise.rows - first));
        AssignSink<V> sink(rows, targets, heights, winners + first, scores + first);
        filter_range<V>(rows, targets, heights, range, sink);
        sink.finish();
    }
}

}  // namespace
}  // namespace brenier::cpu
