// The rounds of auction_rounds.cuh by one host thread: 32 lanes as arrays, everything that runs at once in turn,
// forwards or backwards. Equal answers either way are the proof that no answer depends on a schedule.
#include "cuda/auction_memory.cuh"

namespace brenier::cuda {
namespace {

struct HostWarp {
    template <class Value>
    struct Of {
        Value value[32];
        BRENIER_BOTH Value& operator[](int lane) { return value[lane]; }
    };
    template <class Visit>
    BRENIER_BOTH void each(Visit visit) const {
        for (int lane = 0; lane < 32; ++lane) visit(lane);
    }
    template <class Value>
    BRENIER_BOTH std::int32_t least(Value value) const {
        std::int32_t found = kInfinite;
        for (int lane = 0; lane < 32; ++lane) {
            const std::int32_t its = value(lane);
            found = its < found ? its : found;
        }
        return found;
    }
    template <class Value>
    BRENIER_BOTH std::int64_t total(Value value) const {
        std::int64_t sum = 0;
        for (int lane = 0; lane < 32; ++lane) sum += value(lane);
        return sum;
    }
    BRENIER_BOTH bool leads() const { return true; }
    BRENIER_BOTH void meet() const {}
};

struct HostTeam {
    bool backwards;

    template <class Visit>
    BRENIER_BOTH void each(int count, Visit visit) const {
        for (int k = 0; k < count; ++k) visit(backwards ? count - 1 - k : k);
    }
    template <class Visit>
    BRENIER_BOTH void rows(int count, Visit visit) const {
        each(count, [&](int k) { visit(HostWarp(), k); });
    }
    template <class Value>
    BRENIER_BOTH void least(int count, unsigned long long* into, Value value) const {
        each(count, [&](int k) { lower_to(into, value(k)); });
    }
    BRENIER_BOTH void sync() const {}
    BRENIER_BOTH bool leads() const { return true; }
    BRENIER_BOTH bool has_first_block() const { return true; }
    BRENIER_BOTH HostTeam block() const { return *this; }
};

template <class Score>
void range_of_row(const AuctionProblem& p, const AuctionMemory& m, int problem, const Place& place, int i) {
    const Score* row = scores_of<Score>(p, place, i);
    RowRange range = {row[0], row[0]};
    for (int j = 0; j < place.size; ++j) range.offer(row[j], p.maximize);
    note_range(m.facts + problem * kFacts, m.top + place.row + i, range);
}

template <class Score>
void costs_of_row(const AuctionProblem& p, const AuctionMemory& m, int problem, const Place& place, int i) {
    std::int64_t* facts = m.facts + problem * kFacts;
    const Score* row = scores_of<Score>(p, place, i);
    const double top = m.top[place.row + i], units = units_in_one(facts[kRange]);
    for (int j = 0; j < place.size; ++j) {
        const std::int32_t cost = quantised(top, row[j], units);
        m.cost[place.cost + i * padded_columns(place.size) + j] = cost;
        m.column_sum[place.row + j] += cost;
        facts[kCostSum] += cost;
    }
}

template <class Score>
void quantise_rows(const AuctionProblem& p, const AuctionMemory& m) {
    for (int k = 0; k < p.problems; ++k) {
        const Place place = place_of(p, k);
        for (int i = 0; i < place.size; ++i) range_of_row<Score>(p, m, k, place, i);
        if (m.facts[k * kFacts + kFlags]) continue;
        for (int i = 0; i < place.size; ++i) costs_of_row<Score>(p, m, k, place, i);
    }
}

}  // namespace

void quantise_on_host(const AuctionProblem& p, const AuctionMemory& m) {
    p.is_float64 ? quantise_rows<double>(p, m) : quantise_rows<float>(p, m);
}

void auction_on_host(const AuctionProblem& p, const AuctionMemory& m, bool backwards) {
    HostTeam team = {backwards};
    for (int k = 0; k < p.problems; ++k) run_auction(team, p, m, k, state_of(p, m, k));
}

}  // namespace brenier::cuda
