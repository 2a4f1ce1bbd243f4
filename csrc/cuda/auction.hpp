// The interface of assignment on the device: plain C++, raw pointers, no CUDA headers.
//
//   minimise Σ_i cost[i, π(i)],  cost[i, j] = floor(|top_i - score[i, j]| / unit),  top_i the best score of row i
//
// on integers of 26 bits; unit is a power of two, so that nothing but the floor is lost. Prices p_j prove
//
//   dual = Σ_i min_j (cost[i, j] + p_j) - Σ_j p_j  <=  Σ_i cost[i, π(i)] for every π
//
// whatever the rounds did (auction_rounds.cuh). Problems of one call may differ in size: `table` says where each lies.
#pragma once

#include "cuda/scan.hpp"

namespace brenier::cuda {

constexpr int kSlots = 4;               // of a row's list, in each of 32 lanes
constexpr int kListed = 32 * kSlots;
constexpr int kFacts = 12;              // words of AuctionMemory::facts for each problem

// Words of `facts`, written per problem; zeroed by the caller.
enum Fact : int {
    kRange,     // largest |top_i - score|, the bits of a double
    kFlags,     // kNotFinite, kStalled
    kCostSum,   // Σ_ij cost[i, j]
    kPrimal,    // Σ_i cost[i, π(i)]
    kDual,
    kRounds,
    kRenewals,  // lists made
    kEpsilon,   // the last one
    kInserted,  // rows placed without bidding
};

constexpr int kNotFinite = 1, kStalled = 2;

// How a problem is shared out: one block, one cluster of blocks, or all blocks in turn.
enum class Team : int { kBlock, kCluster, kGrid };

struct AuctionConfig {
    Team team;
    int blocks;   // that work on one problem
    int threads;  // of a block
};

struct AuctionProblem {
    const std::int64_t* table;  // (problems, 4): size, first row, first score, first cost
    const void* scores;         // rows contiguous, one problem after the other
    bool is_float64;            // else float32
    bool maximize;
    int problems;
    int largest;                // size of the largest problem
    std::int64_t rows;          // of all problems together
    double gap;                 // share of the gain over a random assignment at which to stop
    int most_rounds;
};

struct AuctionMemory {          // rows: of all problems together
    std::int32_t* cost;         // each problem (size, size rounded up to fours)
    double* top;                // (rows,)
    std::int64_t* column_sum;   // (rows,), zeroed by the caller
    std::int32_t* list_column;  // (rows, kSlots, 32)
    std::int32_t* list_cost;
    std::int32_t* bound;        // (rows,)
    std::int32_t* price;        // (rows,): out
    std::int64_t* permutation;  // (rows,): out, positions within the problem
    std::int32_t* scratch;      // (kScratchWords * rows + kControlWords * problems,), aligned to 8 bytes
    std::int64_t* facts;        // (problems, kFacts)
};

constexpr int kScratchWords = 10, kControlWords = 32;  // of 4 bytes, a row and a problem

// Who works on problems of that size: a pure function, tested without a GPU.
AuctionConfig auction_configuration(int largest, int problems, int major, int processors);

// Scores to integers: one pass for the best score and range of each row, one for costs and column sums.
Status quantise(const AuctionProblem& problem, const AuctionMemory& memory, const Launch& launch);
// Bids until `gap` is proved. A cluster that the device cannot hold becomes a grid.
Status auction(const AuctionProblem& problem, const AuctionMemory& memory, const AuctionConfig& config,
               const Launch& launch);

// The same rules by one host thread; `backwards` turns the order of everything that runs at once.
void quantise_on_host(const AuctionProblem& problem, const AuctionMemory& memory);
void auction_on_host(const AuctionProblem& problem, const AuctionMemory& memory, bool backwards);

}  // namespace brenier::cuda
