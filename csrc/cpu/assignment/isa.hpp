// Each instruction set is one file that names its namespace and includes this one.
#pragma once
#include <memory>
#include <new>

#include "cpu/assignment/auction.hpp"
#include "cpu/assignment/paths.hpp"

namespace brenier::assignment::BRENIER_ISA {

constexpr int64_t BIDS_FROM = 160;

// Bidding from BIDS_FROM rows, paths below, and paths where bidding declines or stalls.
class Solver final : public Assignment {
   public:
    explicit Solver(const Problem& problem) : problem_(problem) {
        const bool insist = problem.bid_from >= 0;
        if (problem.size >= 2 && problem.size >= (insist ? problem.bid_from : BIDS_FROM))
            auction_.reset(new (std::nothrow) Auction(problem, insist));
        if (!auction_) take_paths(false);
    }
    Status step(int64_t budget) override {
        if (!current()) return Status::out_of_memory;
        const Status status = current()->step(budget);
        if (!auction_ || !auction_->declined()) return status;
        const bool stalled = auction_->stalled();
        auction_.reset();
        take_paths(stalled);
        return current() ? Status::running : Status::out_of_memory;
    }
    Outcome write(int64_t* permutation, double* row_duals, double* column_duals) const override {
        return current()->write(permutation, row_duals, column_duals);
    }

   private:
    Assignment* current() const { return auction_ ? static_cast<Assignment*>(auction_.get()) : paths_.get(); }
    void take_paths(bool stalled) { paths_.reset(new (std::nothrow) Paths(problem_, stalled)); }

    Problem problem_;
    std::unique_ptr<Auction> auction_;
    std::unique_ptr<Paths> paths_;
};

Assignment* make_solver(const Problem& problem) { return new (std::nothrow) Solver(problem); }

}  // namespace brenier::assignment::BRENIER_ISA
