// Exact linear assignment on a square matrix, in resumable steps.
//
//   maximise (or minimise) Σ_i scores[i, permutation[i]] over all permutations
//
// Inside it is a minimisation of cost = ∓scores with column prices p:
//   cost[i, j] + p_j ≥ w_i = min_j (cost[i, j] + p_j),  so  Σ_i w_i − Σ_j p_j  bounds every assignment,
// and the excess Σ_i (cost[i, permutation[i]] + p − w_i) ≥ 0 is what the answer may lose, at most.
#pragma once
#include <cstdint>
#include <memory>

namespace brenier::assignment {

enum class Status : int { running, done, infeasible, not_a_number, unbounded, out_of_memory };

struct Problem {
    const void* scores;  // read until the status is no longer `running`
    bool is_float32;     // else float64
    int64_t size;
    int64_t row_stride, column_stride;  // in elements
    bool maximize;
    double gap;      // the share of the gain over a random pairing that may be lost, 0 for none
    int64_t bid_from;  // smallest size that bids; negative for the default
    const double* prices = nullptr;  // (size,) of columns, in costs, to start the finest bidding from; read like scores
};

struct Outcome {
    double total;           // of the permutation, in scores
    double identity_total;  // of permutation[i] = i
    double random_total;    // mean over random permutations (of the allowed scores)
    double excess;          // at most this far from the optimum
    double rounding;        // an excess up to this is float64 rounding
    bool stalled;           // bidding took too long or prices rose too high, and augmenting paths took over
};

class Assignment {
   public:
    virtual ~Assignment() = default;
    // Works for about `budget` matrix elements (a few per nanosecond) and returns the status.
    virtual Status step(int64_t budget) = 0;
    // Once done: column given to each row, duals with scores[i,j] ≤ u_i + v_j (≥ when minimising).
    virtual Outcome write(int64_t* permutation, double* row_duals, double* column_duals) const = 0;
};

// nullptr where the instruction set is unknown or does not run here, or memory is short.
std::unique_ptr<Assignment> make(const Problem& problem, const char* instruction_set);
// Name of the i-th instruction set that runs on this machine, fastest first; nullptr past the last.
const char* available_instruction_set(int i);

}  // namespace brenier::assignment
