// Every verb of every body that runs here, at the sizes where tiles end, against its definition; assignments against
// their duals.
#include <memory>
#include <thread>

#include "assignments.hpp"
#include "check.hpp"
#include "integers.hpp"
#include "problem.hpp"

using namespace brenier;
using namespace brenier::test;

namespace {

void check_assign(const Packed& packed, int64_t split) {
    const Problem& p = packed.problem;
    std::vector<int64_t> winners(size_t(p.rows), -1);
    std::vector<double> scores(size_t(p.rows), -infinity);
    for (int64_t j = 0; split % 2 && j < std::min(p.rows, p.count); ++j) winners[size_t(j)] = j;  // guesses
    for (int64_t lo = 0; lo < p.count; lo += split)
        packed.body.assign(packed.noise, packed.targets, packed.heights, {lo, std::min(lo + split, p.count)},
                           winners.data(), scores.data());
    for (int64_t j = 0; j < p.rows; ++j) {
        int64_t winner = -1;
        double best = -infinity;
        for (int64_t i = 0; i < p.count; ++i)
            if (p.score(j, i) > best) best = p.score(j, i), winner = i;
        CHECK(winners[size_t(j)] == winner && scores[size_t(j)] == best, "%s row %ld of %ld x %ld x %ld",
              packed.body.name, long(j), long(p.rows), long(p.count), long(p.depth));
    }
}

void check_candidates(const Packed& packed, double margin) {
    const Problem& p = packed.problem;
    std::vector<double> best(size_t(p.rows), -infinity);
    const std::unique_ptr<cpu::CandidateRows> found(
        packed.body.candidates(packed.noise, packed.targets, packed.heights, {0, p.count}, margin, best.data()));
    std::vector<int64_t> lengths(size_t(p.rows)), indices(size_t(found->total()));
    std::vector<double> scores(size_t(found->total()));
    found->copy(lengths.data(), indices.data(), scores.data());
    size_t at = 0;
    for (int64_t j = 0; j < p.rows; ++j) {
        double most = -infinity;
        for (int64_t i = 0; i < p.count; ++i) most = std::max(most, p.score(j, i));
        const size_t end = at + size_t(lengths[size_t(j)]);
        for (int64_t i = 0; i < p.count; ++i) {
            const double score = p.score(j, i);
            if (!(score >= most - margin && score > -infinity)) continue;
            CHECK(at < end && indices[at] == i && scores[at] == score, "%s row %ld target %ld", packed.body.name,
                  long(j), long(i));
            ++at;
        }
        CHECK(at == end, "%s row %ld keeps too many", packed.body.name, long(j));
    }
}

// Every target within the margin at some point, ascending, and no other; products as the definition has them.
void check_circles(const Packed& packed, double margin) {
    const Problem& p = packed.problem;
    const int64_t circles = p.rows / 2;
    Noise noise = packed.noise;
    noise.rows = 2 * circles;
    std::vector<double> best(size_t(16 * circles), -infinity);
    const std::unique_ptr<cpu::CandidateRows> found(
        packed.body.circle_candidates(noise, packed.targets, packed.heights, {0, p.count}, margin, best.data()));
    std::vector<int64_t> lengths(static_cast<size_t>(circles)), indices(size_t(found->total()));
    std::vector<double> products(size_t(2 * found->total()));
    found->copy(lengths.data(), indices.data(), products.data());
    size_t at = 0;
    for (int64_t c = 0; c < circles; ++c) {
        for (const size_t end = at + size_t(lengths[size_t(c)]); at < end; ++at) {
            const int64_t i = indices[at];
            CHECK(products[2 * at] == p.product(2 * c, i) && products[2 * at + 1] == p.product(2 * c + 1, i),
                  "%s circle %ld target %ld", packed.body.name, long(c), long(i));
        }
        for (int k = 0; k < 16; ++k) {
            double most = -infinity;
            for (int64_t i = 0; i < p.count; ++i) most = std::max(most, p.on_circle(c, k, i));
            CHECK(best[size_t(16 * c + k)] == most, "%s circle %ld point %d", packed.body.name, long(c), k);
        }
    }
    std::vector<int64_t> offsets{0};
    for (int64_t length : lengths) offsets.push_back(offsets.back() + length);
    std::vector<SoftSums> sums(size_t(p.count), SoftSums{0, 0, 0, 0});
    std::vector<CircleWins> wins(size_t(p.count), CircleWins{0, 0});
    const CircleRows rows{offsets.data(), indices.data(), products.data(), p.h.data(), p.count};
    CHECK(packed.body.circle_counts(rows, 0, circles, 0.5, sums.data()) < 0, "%s", packed.body.name);
    CHECK(packed.body.circle_wins(rows, 0, circles, wins.data()) < 0, "%s", packed.body.name);
    for (int64_t i = 0; i < p.count; ++i)
        CHECK(sums[size_t(i)].wins == wins[size_t(i)].wins, "%s target %ld", packed.body.name, long(i));
}

void check_project(const cpu::Body& body, const Problem& p) {
    std::vector<float> panels(Packed::whole(p.count, body.targets) * size_t(p.depth));
    body.pack_targets({p.y.data(), p.depth, p.depth, Element::float32}, p.count, 0, panels.data());
    std::vector<float> out(size_t(p.rows * p.count));
    body.project({p.x.data(), p.depth, p.depth, Element::float32}, p.rows, panels.data(), p.count, out.data());
    for (int64_t j = 0; j < p.rows; ++j)
        for (int64_t i = 0; i < p.count; ++i) {
            float sum = 0;
            for (int64_t k = 0; k < p.depth; ++k)
                sum = std::fmaf(p.x[size_t(j * p.depth + k)], p.y[size_t(i * p.depth + k)], sum);
            CHECK(out[size_t(j * p.count + i)] == sum, "%s output (%ld, %ld)", body.name, long(j), long(i));
        }
}

// The sums of each body over all rows as one piece, and row by row, are the same integers.
std::vector<SoftSums> soft_sums(const cpu::Body& body, int64_t piece) {
    constexpr int64_t rows = 40, targets = 17;
    std::vector<int64_t> offsets{0}, indices;
    std::vector<double> scores;
    std::mt19937 random(1);
    for (int64_t j = 0; j < rows; ++j) {
        for (int64_t i = 0; i < targets; ++i)
            if (random() % 3 == 0) indices.push_back(i), scores.push_back(double(random() % 1000) / 300);
        offsets.push_back(int64_t(indices.size()));
    }
    std::vector<SoftSums> sums(targets, SoftSums{0, 0, 0, 0});
    const SoftRows in{offsets.data(), indices.data(), scores.data(), nullptr, targets};
    for (int64_t lo = 0; lo < rows; lo += piece)
        CHECK(body.soft_counts(in, lo, std::min(lo + piece, rows), 0.4, sums.data()) < 0, "%s", body.name);
    indices[3] = targets;
    CHECK(body.soft_counts(in, 0, rows, 0.4, std::vector<SoftSums>(targets).data()) >= 0, "bad index unseen");
    return sums;
}

void check_soft_counts(const cpu::Body& body) {
    const std::vector<SoftSums> sums = soft_sums(body, 40), expected = soft_sums(*cpu::body(0), 1);
    for (size_t i = 0; i < sums.size(); ++i)
        CHECK(sums[i].weight == expected[i].weight && sums[i].sharp == expected[i].sharp &&
                  sums[i].square == expected[i].square && sums[i].wins == expected[i].wins,
              "%s target %zu", body.name, i);
}

void check_noise(const cpu::Body& body) {
    for (int64_t depth : {1, 3, 4, 5, 64, 67, 256, 300})
        for (int64_t rows : {1, 2, 9}) {
            std::vector<float> out(size_t(rows * depth)), expected(out.size());
            body.normal(7, ~uint64_t(0), rows, depth, 2, out.data());
            cpu::body(0)->normal(7, ~uint64_t(0), rows, depth, 2, expected.data());
            CHECK(out == expected, "%s %ld x %ld", body.name, long(rows), long(depth));
            body.unit_vectors(7, 0, rows, depth, 2, out.data());
        }
    std::vector<int64_t> whole(1000);
    body.integers(7, 0, 1000, 10, 2, whole.data());
    CHECK(*std::max_element(whole.begin(), whole.end()) == 9, "%s", body.name);
}

// Verbs are re-entrant: threads share the packed targets and nothing else.
void check_threads(const cpu::Body& body) {
    const Problem p(30, 200, 40);
    const Packed packed(body, p);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            check_assign(packed, p.count);
            check_candidates(packed, 1.0);
            check_soft_counts(body);
            check_noise(body);
        });
    for (std::thread& thread : threads) thread.join();
}

void check_body(const cpu::Body& body) {
    for (int64_t depth : {0, 1, 31, 33, 255, 257, 520})
        for (int64_t rows : {1, int(body.rows), body.rows + 1, 193})
            for (int64_t count : {1, body.targets - 1, int(body.targets), 2 * body.targets + 1, 300}) {
                const Problem p(rows, count, rows > 100 && depth > 33 ? 33 : depth);
                const Packed packed(body, p);
                check_assign(packed, count);
                check_assign(packed, 2 * body.targets);
                if (rows < 100) check_candidates(packed, 2.5);
                check_circles(packed, 0.7);
                if (rows < 100 && count < 100) check_project(body, p);
            }
    Problem barred(5, 40, 9);
    std::fill(barred.h.begin(), barred.h.end(), -infinity);
    check_assign(Packed(body, barred), 40);
    check_soft_counts(body);
    check_noise(body);
    check_threads(body);
}

void check_integers(const cpu::Int8Body& body) {
    for (int64_t depth : {1, 3, 4, 63, 65, 257, 1025, 2500})
        for (int64_t rows : {1, int(body.rows), body.rows + 1, 193})
            for (int64_t count : {1, body.targets - 1, int(body.targets), 2 * body.targets + 1, 300})
                if (rows * count * depth < 4000000) check_integer_assign(body, Problem(rows, count, depth), count);
    check_integer_assign(body, Problem(30, 300, 40), 2 * body.targets);
    for (int64_t depth : {1, 2, 3, 31, 64, 100}) check_rotation(body, Problem(5, 7, depth));
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) threads.emplace_back([&] { check_integer_assign(body, Problem(30, 200, 40), 200); });
    for (std::thread& thread : threads) thread.join();
}

}  // namespace

int main() {
    for (int32_t index = 0; const cpu::Body* body = cpu::body(index); ++index) {
        std::printf("%s: %s\n", body->name, body->runs_here() ? "checked" : "does not run here");
        if (body->runs_here()) check_body(*body);
    }
    for (int32_t index = 0; const cpu::Int8Body* body = cpu::int8_body(index); ++index) {
        std::printf("int%d %s: %s\n", body->bits, body->name, body->runs_here() ? "checked" : "does not run here");
        if (body->runs_here()) check_integers(*body);
    }
    std::vector<std::thread> solvers;  // each keeps its memory for its next problem
    for (int t = 0; t < 2; ++t) solvers.emplace_back(check_assignments);
    for (std::thread& solver : solvers) solver.join();
    std::printf("%d failures\n", failures.load());
    return failures != 0;
}
