// candidates:  row j keeps every i with score[j, i] >= max_i score[j, i] - margin  (float64, fixed order), ascending.
//
// The filter's survivors wait in one list per row, compacted as the threshold rises, and are scored in float64 when
// the range is done. If early, low thresholds let the lists of a block outgrow `most_waiting`, the block is done
// again with fewer rows: memory is bounded by the answer plus that.
#pragma once

#include "cpu/body.hpp"
#include "cpu/filter.hpp"
#include "cpu/rescore.hpp"

namespace brenier::cpu {
namespace {

constexpr int64_t most_waiting = int64_t(1) << 22;

struct OwnedRows final : CandidateRows {
    List<int64_t> lengths, indices;
    List<double> scores;  // of circles: the two products of each entry

    int64_t total() const override { return indices.size(); }
    void copy(int64_t* to_lengths, int64_t* to_indices, double* to_scores) const override {
        if (lengths.size()) __builtin_memcpy(to_lengths, lengths.data(), size_t(lengths.size()) * sizeof(int64_t));
        if (!total()) return;
        __builtin_memcpy(to_indices, indices.data(), size_t(total()) * sizeof(int64_t));
        __builtin_memcpy(to_scores, scores.data(), size_t(scores.size()) * sizeof(double));
    }
};

template <class V>
class CandidateSink {
  public:
    CandidateSink(RowBlock<V>& rows, const Targets& targets, const Heights& heights, double margin, double* best)
        : rows_(rows), targets_(targets), heights_(heights), margin_(margin), exact_best_(best),
          bounds_(rows.count), best_(rows.count), waiting_(new List<Survivor>[size_t(rows.count)]) {
        start_rows(rows, bounds_.get(), targets, heights, margin, best);
        for (int64_t j = 0; j < rows.count; ++j) best_[j] = -__builtin_inff();
    }
    ~CandidateSink() { delete[] waiting_; }
    CandidateSink(const CandidateSink&) = delete;

    bool out_of_room() const { return capacity_ > most_waiting && rows_.panels > 1; }

    void fold(const float* sums, const float* bias, int64_t row, int64_t target) {
        fold_tile<V>(sums, bias, rows_, row, target, *this);
    }

    void offer(int64_t row, int64_t target, const float* scores, uint64_t reached) {
        raise(row, scores, reached);
        while (reached) {
            const int i = take_lowest(reached);
            if (scores[i] >= rows_.threshold[row]) push(row, Survivor{target + i, scores[i]});
        }
    }

    // Scores the survivors in float64 and appends those within the margin.
    void finish(OwnedRows& out) {
        Scratch<double> scores(longest());
        for (int64_t j = 0; j < rows_.count; ++j) {
            drop_below(waiting_[j], rows_.threshold[j]);
            score_waiting(j, scores.get());
            append(j, scores.get(), out);
        }
    }

  private:
    struct Survivor {
        int64_t target;
        float score;
    };

    void raise(int64_t row, const float* scores, uint64_t reached) {
        const float before = best_[row];
        while (reached) {
            const int i = take_lowest(reached);
            if (scores[i] > best_[row]) best_[row] = scores[i];
        }
        if (best_[row] > before) rows_.threshold[row] = bounds_[row].threshold(best_[row], exact_best_[row]);
    }

    void push(int64_t row, Survivor survivor) {
        List<Survivor>& list = waiting_[row];
        if (list.full()) {
            drop_below(list, rows_.threshold[row]);
            if (list.size() > list.capacity() / 2) capacity_ += list.capacity() ? list.capacity() : list.smallest;
        }
        list.push(survivor);
    }

    static void drop_below(List<Survivor>& list, float threshold) {
        int64_t kept = 0;
        for (int64_t i = 0; i < list.size(); ++i)
            if (list[i].score >= threshold) list[kept++] = list[i];
        list.truncate(kept);
    }

    int64_t longest() {
        int64_t most = 0;
        for (int64_t j = 0; j < rows_.count; ++j) most = waiting_[j].size() > most ? waiting_[j].size() : most;
        return most;
    }

    void score_waiting(int64_t row, double* scores) {
        List<Survivor>& list = waiting_[row];
        for (int64_t i = 0; i < list.size(); ++i) {
            scores[i] = exact_score<V>(rows_.noise, rows_.first + row, targets_, heights_, list[i].target);
            if (scores[i] > exact_best_[row]) exact_best_[row] = scores[i];
        }
    }

    void append(int64_t row, const double* scores, OwnedRows& out) {
        const int64_t before = out.indices.size();
        const double lowest = exact_best_[row] - margin_;
        for (int64_t i = 0; i < waiting_[row].size(); ++i)
            if (scores[i] >= lowest && scores[i] > -__builtin_inf()) {
                out.indices.push(waiting_[row][i].target);
                out.scores.push(scores[i]);
            }
        out.lengths.push(out.indices.size() - before);
    }

    RowBlock<V>& rows_;
    const Targets& targets_;
    const Heights& heights_;
    const double margin_;
    double* exact_best_;
    Scratch<RowBound> bounds_;
    Scratch<float> best_;
    List<Survivor>* waiting_;
    int64_t capacity_ = 0;  // of all lists together
};

// Lists of all rows, block by block: do_block(first, count, out) is false, with nothing written, where its lists had
// no room; it is done again with fewer rows.
template <class V, class DoBlock>
CandidateRows* in_blocks(int64_t rows, DoBlock do_block) {
    OwnedRows* out = new OwnedRows;
    try {
        int64_t block = ceil_div(rows_per_block, V::rows) * V::rows;
        for (int64_t first = 0; first < rows;) {
            const int64_t count = smaller(block, rows - first);
            if (do_block(first, count, *out))
                first += count;
            else
                block = ceil_div(block / 2, V::rows) * V::rows;
        }
    } catch (...) {
        delete out;
        throw;
    }
    return out;
}

// One block of rows through a sink.
template <class V, class Sink>
bool list_block(const Noise& noise, int64_t first, int64_t count, const Targets& targets, const Heights& heights,
                Range range, double margin, double* best, OwnedRows& out) {
    RowBlock<V> rows(noise, first, count);
    Sink sink(rows, targets, heights, margin, best);
    filter_range<V>(rows, targets, heights, range, sink);
    if (sink.out_of_room()) return false;
    sink.finish(out);
    return true;
}

// best (rows,) holds the best score of earlier ranges (-inf at first) and is updated; rows of the result are within
// the margin of the best up to and including this range.
template <class V>
CandidateRows* candidates(const Noise& noise, const Targets& targets, const Heights& heights, Range range,
                          double margin, double* best) {
    return in_blocks<V>(noise.rows, [&](int64_t first, int64_t count, OwnedRows& out) {
        return list_block<V, CandidateSink<V>>(noise, first, count, targets, heights, range, margin, best + first, out);
    });
}

}  // namespace
}  // namespace brenier::cpu
