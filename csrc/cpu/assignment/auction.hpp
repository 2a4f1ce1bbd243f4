// Bidding on short lists, then an exact finish: from BIDS_FROM rows.
//
//   sample ─► load ─► centre ─► sift ⇄ bid (ε falls) ─► price ─► tighten ─► repair ─► search ─► certify
//
// Bid: D. P. Bertsekas' auction with ε-scaling, Annals of OR 14 (1988), one row at a time, on integers. Its prices
// are duals of the real costs wherever it stops; from `price` on everything is float64 on the caller's scores, so that
// the integers decide how fast the answer comes and not what it is. Prices only rise, from the first to the last.
#pragma once
#include "cpu/assignment/quantise.hpp"
#include "cpu/assignment/tree.hpp"
#include "cpu/assignment/whole_rows.hpp"

namespace brenier::assignment::BRENIER_ISA {

constexpr double FIRST_STEP = 0.1, LAST_STEP = 5e-4, STEP_RATIO = 0.07;  // ε in standard deviations of the costs
constexpr int64_t PATIENCE = 160;  // whole matrices read before paths take over
constexpr int64_t SAMPLES = 24;   // rows, and columns of each, looked at for the scale
constexpr int64_t WHOLE_ROWS_UP_TO = 640;  // neither coarse steps nor lists: so many whole ones stay in the second-level cache
constexpr float FIRST_SPREAD = 0.3f;  // of a list's costs, in means of the row's: about 12 of 1,000 normal ones
constexpr int64_t TOGETHER = 8;  // rows that look at the same prices; half as many where they soon want the same columns
constexpr int ROUNDS_PER_STEP = 8;
constexpr int64_t ROWS_PER_STEP = 16, AHEAD = 16;  // rows whose scores are fetched ahead

class Auction final : public Assignment {
   public:
    // Bids even where many columns of a row are equally good, if told to.
    Auction(const Problem& problem, bool insist)
        : problem_(problem),
          n_(problem.size),
          width_((n_ + BYTE_LANES - 1) / BYTE_LANES * BYTE_LANES),
          insist_(insist),
          room_(n_ <= 1536 ? 16 : 32),
          arena_(bytes()) {
        if (arena_.valid()) place();
    }

    Status step(int64_t budget) override {
        if (!arena_.valid()) declined_ = true;
        work_ = 0;
        while (!declined_ && status_ == Status::running && work_ < budget) advance();
        return status_;
    }
    Outcome write(int64_t* permutation, double* row_duals, double* column_duals) const override {
        return outcome(
            m_, problem_, lower_, 1.0, largest_, random_total(), excess_, false,
            [this](int64_t i, int64_t j) { return j == m_.column_of[i] ? given_[i] : identity_[i]; },  // no other is asked for
            permutation, row_duals, column_duals);
    }
    bool declined() const { return declined_; }  // the problem is one for paths
    bool stalled() const { return stalled_; }    // found out while bidding

   private:
    enum class Stage { sample, load, centre, sift, bid, price, tighten, repair, search, certify };
    enum class Costs { coarse, whole, listed };  // what bids are made on: whole rows of 8 or 16 bits, or lists

    int64_t bytes() const;
    int64_t coarse_size() const { return n_ > WHOLE_ROWS_UP_TO && n_ <= LONGEST_COARSE ? width_ * n_ : 0; }
    void place();
    void advance();
    // scale and load
    void sample();
    template <class Score> bool sample_row(int64_t i);
    void load();
    template <class Score> void load_row(int64_t i);
    void add_clamped(int64_t i, double clamped_sum);
    void flush_sums();
    void centre();
    bool start_from_prices();
    void begin_bidding();
    double sampled_variance() const;
    Row row(int64_t i) const { return {steps_ + i * width_, price_, whole_price_, low_, width_}; }
    // bidding, on integers
    void sift();
    int32_t over_best(int64_t i);
    void settle();
    void bid();
    template <class Price> void bid_together(Price* price);
    template <class Price> bool raise_whole(Price* price, int64_t j, const BidTwo& two, int bits);
    bool raise(uint8_t* price, int64_t j, const BidTwo& two);
    bool raise(uint16_t* price, int64_t j, const BidTwo& two);
    bool raise(int32_t* price, int64_t j, const BidTwo& two);
    void round_price(int64_t j);
    void next_epsilon();
    void leave_coarse();
    void leave_whole_rows();
    int32_t epsilon_in(int bits) const { return epsilon_ >> bits > 0 ? epsilon_ >> bits : 1; }
    BidTwo look(int64_t i, const uint8_t* price);
    BidTwo look(int64_t i, const uint16_t* price);
    int32_t lowest_whole(int64_t i);
    void renew(int64_t i, int32_t near);
    void renew(int64_t i);
    BidTwo look(int64_t i, const int32_t* price);
    int32_t lowest(int64_t i, int32_t known);
    bool good_enough() const;
    // the finish, in float64
    void price();
    int32_t units_up_to(int64_t i, double value) const;
    double exact_at(int64_t i, int64_t j) const;
    int32_t candidates(int64_t i, int32_t limit);
    double exact_lowest(int64_t i, double known);
    BestTwo exact_two(int64_t i, int32_t limit);
    BestTwo whole_row_two(int64_t i);
    int32_t second_limit(int64_t i);
    BestTwo exact_look(int64_t i);
    BestTwo longer_look(int64_t i);
    void tighten();
    double proved(int64_t i, int32_t units) const { return double(units) * unit_ + least_[i]; }
    double exact_bound(int64_t i) const { return proved(i, bound_[i]); }
    double own(int64_t i) const { return cost_at(problem_, i, m_.column_of[i]) + m_.price[m_.column_of[i]]; }
    void raised(int64_t j);
    void repair();
    void search();
    void start_tree();
    void fetch(int64_t i);
    void grow(int64_t i, double base);
    void relax_list(int64_t i, double base);
    void relax_all(int64_t i, double base);
    void extend_tree();
    void augment(int64_t column);
    void certify();

    double random_total() const { return sum_ / double(n_); }
    void enter(Stage stage) {
        stage_ = stage;
        at_ = 0;
    }
    void read(int64_t elements) {
        work_ += elements;
        effort_ += elements;
    }
    void give_up(bool stalled) {
        declined_ = true;
        stalled_ = stalled;
    }
    bool impatient() const { return effort_ > PATIENCE * n_ * n_ + (int64_t(1) << 16); }

    Problem problem_;
    int64_t n_, width_;  // width: n rounded up to BYTE_LANES
    bool insist_;
    Costs costs_ = Costs::listed;
    int32_t room_;     // of a list
    int32_t low_ = 0;  // no price is lower once bidding has begun
    Arena arena_;
    Matching m_;  // its prices are not kept up while bidding
    Tree tree_;
    uint16_t* steps_;  // of costs above the row's least
    uint16_t* whole_price_;  // in steps above low_, rounded down
    uint8_t *coarse_steps_, *coarse_price_;  // the first of none where bidding begins on whole steps
    CandidateList* lists_;
    double *exact_cost_, *least_, *lower_, *column_sum_, *identity_, *given_, *sample_;
    void* staged_;
    float* sums_;
    int32_t *price_, *columns_, *own_, *wish_, *bound_;

    Stage stage_ = Stage::sample;
    Status status_ = Status::running;
    bool declined_ = false, stalled_ = false;
    int64_t work_ = 0, effort_ = 0, at_ = 0, waiting_ = 0;
    double unit_ = 1, largest_ = 0, sum_ = 0, clamped_away_ = 0, excess_ = 0;
    int64_t tied_ = 0;
    float growth_ = 1;  // of a row's spread, from one list to the next
    int32_t epsilon_ = 0, last_epsilon_ = 0;
    Repair repair_;
};

}  // namespace brenier::assignment::BRENIER_ISA

#include "cpu/assignment/auction_load.hpp"
#include "cpu/assignment/auction_bid.hpp"
#include "cpu/assignment/auction_finish.hpp"
