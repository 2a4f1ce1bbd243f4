// Linear assignment: every instruction set gives the same permutation, and its duals prove it.
#pragma once
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "cpu/assignment/assignment.hpp"

namespace brenier::test {

enum class Scores { normal, outliers, tied, twins };

// Scores of which some rows or columns are all but alike, or far from the others, or equal.
template <class Score>
std::vector<Score> make_scores(Scores kind, int64_t n) {
    std::mt19937 bits(uint32_t(7 * n + int64_t(kind)));
    std::normal_distribution<double> normal;
    std::vector<Score> scores(size_t(n * n));
    for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < n; ++j) {
            double value = normal(bits);
            if (kind == Scores::outliers) value = (i % 5 ? 1.0 : 40.0) * value * value * value + double(j % 7 == 0) * 9;
            if (kind == Scores::tied) value = std::floor(2 * value);
            if (kind == Scores::twins && i >= n / 3) value = double(scores[(i - n / 3) * n + j]) + 1e-6 * value;
            scores[size_t(i * n + j)] = Score(value);
        }
    return scores;
}

template <class Score>
void check_assignment(Scores kind, int64_t n, bool maximize, double gap) {
    const std::vector<Score> scores = make_scores<Score>(kind, n);
    const assignment::Problem problem{scores.data(), sizeof(Score) == 4, n, n, 1, maximize, gap, n > 2 ? 2 : -1};
    std::vector<int64_t> permutation(n), first;
    std::vector<double> rows(n), columns(n);
    for (int k = 0; const char* name = assignment::available_instruction_set(k); ++k) {
        const std::unique_ptr<assignment::Assignment> solver = assignment::make(problem, name);
        while (solver->step(int64_t(1) << (10 + n % 9)) == assignment::Status::running) {}
        const assignment::Outcome out = solver->write(permutation.data(), rows.data(), columns.data());
        std::vector<int> taken(n);
        double slack = 0, total = 0, bound = 0, least = 0;
        for (int64_t i = 0; i < n; ++i) {
            ++taken[permutation[i]];
            total += double(scores[i * n + permutation[i]]);
            bound += rows[i] + columns[i];
            for (int64_t j = 0; j < n; ++j) {
                slack = rows[i] + columns[j] - double(scores[i * n + j]);
                least = std::fmin(least, maximize ? slack : -slack);
            }
        }
        const std::string what = std::string(name) + (maximize ? " most " : " least ") + std::to_string(int(kind));
        const double missing = maximize ? bound - total : total - bound, gain = std::fabs(total - out.random_total);
        CHECK(taken == std::vector<int>(n, 1), "%s %ld", what.c_str(), long(n));
        CHECK(least >= -1e-9, "%s %ld: %g", what.c_str(), long(n), least);
        CHECK(missing <= gap * (gain + missing) + 1e-7, "%s %ld: %g", what.c_str(), long(n), missing);
        if (k == 0) first = permutation;
        CHECK(permutation == first, "%s %ld", what.c_str(), long(n));
    }
}

inline void check_assignments() {
    for (const Scores kind : {Scores::normal, Scores::outliers, Scores::tied, Scores::twins})
        for (const int64_t n : {1, 2, 3, 31, 32, 33, 63, 65, 97, 159, 161, 639, 641, 769}) {
            check_assignment<float>(kind, n, true, 0);
            check_assignment<double>(kind, n, false, n % 2 ? 0 : 1e-3);
        }
}

}  // namespace brenier::test
