// The rules of order.cuh run by one host thread: 32 lanes as an array, parts and rows in turn.
#include "cuda/order.cuh"

namespace brenier::cuda {

int tile_width();  // scan.cu: parts are whole tiles there and here

namespace {

struct Lanes {  // one value per lane, moving in step
    double lane[kLanes] = {};
};

BRENIER_BOTH Lanes operator+(const Lanes& a, const Lanes& b) {
    Lanes sum;
    for (int l = 0; l < kLanes; ++l) sum.lane[l] = a.lane[l] + b.lane[l];
    return sum;
}

struct Permute {
    BRENIER_BOTH Lanes operator()(const Lanes& value, int distance) const {
        Lanes moved;
        for (int l = 0; l < kLanes; ++l) moved.lane[l] = value.lane[l ^ distance];
        return moved;
    }
};

double score(const Problem& p, std::int64_t row, std::int64_t target) {
    Lanes sums;
    for (std::int64_t depth = 0; depth < p.depth; ++depth) {
        double& sum = sums.lane[depth % kLanes];
        sum = add_product(sum, element(p.x, row, depth), element(p.y, target, depth));
    }
    return fold(sums, Permute{}).lane[0] + p.h[target];
}

template <class Visit>
void for_each_part(const Problem& p, Visit visit) {
    for (std::int64_t row = 0; row < p.rows; ++row) {
        for (int split = 0; split < p.splits; ++split) {
            visit(row, row * p.splits + split, part_of(p.targets, p.splits, split, tile_width()));
        }
    }
}

}  // namespace

void assign_on_host(const Problem& p, const Best& best) {
    for_each_part(p, [&](std::int64_t row, std::int64_t part, Range range) {
        Leader leader;
        for (std::int64_t t = range.first; t < range.end; ++t) leader.offer(score(p, row, t), t);
        best.scores[part] = leader.score;
        best.winners[part] = leader.winner;
    });
}

void count_on_host(const Problem& p, const Lists& lists) {
    for_each_part(p, [&](std::int64_t row, std::int64_t part, Range range) {
        lists.counts[part] = 0;
        for (std::int64_t t = range.first; t < range.end; ++t) {
            lists.counts[part] += reaches(score(p, row, t), lists.thresholds[row]);
        }
    });
}

void fill_on_host(const Problem& p, const Lists& lists) {
    for_each_part(p, [&](std::int64_t row, std::int64_t part, Range range) {
        std::int64_t found = lists.starts[part];
        for (std::int64_t t = range.first; t < range.end; ++t) {
            const double value = score(p, row, t);
            if (!reaches(value, lists.thresholds[row])) continue;
            lists.indices[found] = t;
            lists.scores[found++] = value;
        }
    });
}

}  // namespace brenier::cuda
