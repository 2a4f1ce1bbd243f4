// The solver as a machine of small steps, each about one row of work.
//
//   load ─► transfer ──────────► repair ─► search ─► certify     (small, tied or partly forbidden problems)
//     └───► sift ⇄ bid (ε falls, then 0) ─┘  └► sift             (from BID_FIRST rows; from BID_FROM if search is slow)
//
// Column reduction, transfer, repair, search: R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense
// and sparse linear assignment problems", Computing 38 (1987). Bid: D. P. Bertsekas' auction with ε-scaling,
// Annals of OR 14 (1988). Prices only rise once bidding starts, and any prices are valid duals, so bidding may stop
// anywhere: search makes the answer exact.
#pragma once
#include "cpu/assignment/state.hpp"

namespace brenier::assignment::BRENIER_ISA {

enum class Stage { load, rescale, transfer, sift, bid, repair, search, certify };

constexpr int64_t BID_FROM = 384, BID_FIRST = 480;
constexpr double FIRST_STEP = 0.25, LAST_STEP = 1e-4, STEP_RATIO = 0.25;  // ε in standard deviations of the costs
constexpr int64_t PATIENCE = 80, PATHS_PATIENCE = 16;  // row scans a row before the other method takes over

class Solver final : public Assignment {
   public:
    explicit Solver(const Problem& problem) : problem_(problem), s_(problem.size) {
        may_bid_ = s_.n >= 2 && s_.n >= (problem.bid_from < 0 ? BID_FROM : problem.bid_from);
    }
    ~Solver() override { std::free(lists_); }

    Status step(int64_t budget) override {
        if (!s_.arena.valid()) return Status::out_of_memory;
        work_ = 0;
        while (status_ == Status::running && work_ < budget) advance();
        return status_;
    }
    Outcome write(int64_t* permutation, double* row_duals, double* column_duals) const override;

   private:
    void advance();
    void load();
    void after_load();
    void rescale();
    void survey(int64_t row);
    bool tied() const;
    double sampled_variance(const double* price) const;
    void match_reduced();
    void transfer();
    bool start_bidding();
    void sift();
    void settle();
    void bid();
    void start_repair();
    void repair();
    void start_search();
    void search();
    void start_tree();
    void grow(int64_t row, double base);
    void relax_list(int64_t row, double base);
    void extend_tree();
    void augment(int64_t column);
    void certify();

    BestTwo look(int64_t row);
    void make(int64_t row);
    double lower_bound(int64_t row);
    bool good_enough() const;
    void next_epsilon();
    double own(int64_t i) const { return s_.row(i)[s_.column_of[i]] + s_.price[s_.column_of[i]]; }
    void enter(Stage stage) {
        stage_ = stage;
        at_ = 0;
    }
    void fail(Status status) { status_ = status; }
    void read(int64_t elements) {
        work_ += elements;
        effort_ += elements;
    }

    Problem problem_;
    State s_;
    Stage stage_ = Stage::load;
    Status status_ = Status::running;
    int64_t work_ = 0, at_ = 0;
    Survey survey_;
    Contents contents_;
    double scale_ = 1;

    CandidateList* lists_ = nullptr;
    int64_t wanted_ = 0, overflows_ = 0;
    double usual_spread_ = 0;

    double epsilon_ = 0, last_epsilon_ = 0, excess_ = 0;
    int64_t effort_ = 0;  // matrix elements read while bidding
    bool may_bid_, stalled_ = false;

    int64_t waiting_ = 0, kept_ = 0, pass_ = 0, bids_ = 0, bid_limit_ = 0;

    int64_t root_ = NONE, scanned_ = 0, tree_ = 0;
    double reach_ = 0;  // distances below this are final whatever the lists leave out
    Nearest nearest_{};
};

}  // namespace brenier::assignment::BRENIER_ISA
