// Augmenting paths over the whole matrix: for small, tied or partly forbidden problems, and where bidding stalls.
//
//   load (─► rescale) ─► transfer ─► repair ─► search ─► certify
//
// Column reduction, transfer, repair, search: R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense
// and sparse linear assignment problems", Computing 38 (1987). Every function is one step of about one row of work.
#pragma once
#include "cpu/assignment/source.hpp"
#include "cpu/assignment/survey.hpp"

namespace brenier::assignment::BRENIER_ISA {

class Paths final : public Assignment {
   public:
    explicit Paths(const Problem& problem, bool stalled = false)
        : problem_(problem),
          n_(problem.size),
          width_((n_ + LANES - 1) / LANES * LANES),
          arena_(Arena::bytes_of<double>(width_ * n_) + 4 * Arena::bytes_of<double>(width_) +
                 3 * Arena::bytes_of<int64_t>(width_) + Matching::bytes(width_) + CACHE_LINE),
          stalled_(stalled) {
        if (!arena_.valid()) return;
        cost_ = arena_.take<double>(width_ * n_);
        for (double** array : {&open_, &distance_, &least_, &scanned_distance_}) *array = arena_.take<double>(width_);
        for (int64_t** array : {&via_, &best_row_, &scanned_column_}) *array = arena_.take<int64_t>(width_);
        m_.place(arena_, n_, width_);
        forget_columns();
    }

    Status step(int64_t budget) override {
        if (!arena_.valid()) return Status::out_of_memory;
        work_ = 0;
        while (status_ == Status::running && work_ < budget) advance();
        return status_;
    }
    Outcome write(int64_t* permutation, double* row_duals, double* column_duals) const override {
        const double random = contents_.allowed ? contents_.sum / double(contents_.allowed) * double(n_) : 0;
        return outcome(
            m_, problem_, least_, 1 / scale_, contents_.largest, random, excess_, stalled_,
            [this](int64_t i, int64_t j) { return row(i)[j]; }, permutation, row_duals, column_duals);
    }
    int64_t effort() const { return effort_; }

   private:
    enum class Stage { load, rescale, transfer, repair, search, certify };

    void advance();
    void load();
    void survey(int64_t i);
    void after_load();
    void rescale();
    void match_reduced();
    void transfer();
    void repair();
    void search();
    void start_tree();
    void grow(int64_t i, double base);
    void augment(int64_t column);
    void certify();

    double* row(int64_t i) { return cost_ + i * width_; }
    const double* row(int64_t i) const { return cost_ + i * width_; }
    void forget_columns() {
        for (int64_t j = 0; j < width_; ++j) open_[j] = INFINITE;
    }
    void enter(Stage stage) {
        stage_ = stage;
        at_ = 0;
    }
    void read(int64_t elements) {
        work_ += elements;
        effort_ += elements;
    }

    Problem problem_;
    int64_t n_, width_;  // width: n rounded up to LANES
    Arena arena_;
    bool stalled_;
    Matching m_;
    double *cost_, *open_, *distance_, *least_, *scanned_distance_;
    int64_t *via_, *best_row_, *scanned_column_;

    Stage stage_ = Stage::load;
    Status status_ = Status::running;
    int64_t work_ = 0, effort_ = 0, at_ = 0;
    Survey survey_;
    Contents contents_;
    double scale_ = 1, excess_ = 0;
    Repair repair_;
    int64_t root_ = NONE, scanned_ = 0;
    Nearest nearest_{};
};

inline void Paths::advance() {
    switch (stage_) {
        case Stage::load: return load();
        case Stage::rescale: return rescale();
        case Stage::transfer: return transfer();
        case Stage::repair: return repair();
        case Stage::search: return search();
        case Stage::certify: return certify();
    }
}

// ---- load: copy, look for bad values, find the column minima

inline void Paths::load() {
    if (at_ == n_) return after_load();
    load_row(problem_, at_, row(at_), width_);
    survey(at_++);
}

// What the first prices need from a row, while it is in cache.
inline void Paths::survey(int64_t i) {
    survey_.see(row(i), width_);
    lower_columns(row(i), i, open_, best_row_, width_);
    read(3 * width_);
}

// Extreme magnitudes are brought near 1 by a power of two, so that no sum overflows.
inline void Paths::after_load() {
    contents_ = survey_.fold();
    if (contents_.not_a_number || contents_.unbounded) {
        status_ = contents_.not_a_number ? Status::not_a_number : Status::unbounded;
        return;
    }
    const double largest = contents_.largest;
    if (scale_ != 1 || !(largest > 0) || (largest < 0x1p800 && largest > 0x1p-800)) return match_reduced();
    const int exponent = __builtin_ilogb(largest);
    scale_ = __builtin_ldexp(1.0, exponent > 1000 ? -1000 : exponent < -1000 ? 1000 : -exponent);
    survey_ = Survey{};
    forget_columns();
    enter(Stage::rescale);
}

inline void Paths::rescale() {
    if (at_ == n_) return after_load();
    for (int64_t j = 0; j < n_; ++j) row(at_)[j] *= scale_;
    survey(at_++);
}

// ---- reduce and transfer: column minima as first prices

inline void Paths::match_reduced() {
    int64_t* columns_won = via_;
    for (int64_t i = 0; i < n_; ++i) columns_won[i] = 0;
    for (int64_t j = n_ - 1; j >= 0; --j) {
        if (open_[j] == INFINITE) {
            status_ = Status::infeasible;
            return;
        }
        m_.price[j] = -open_[j];
        if (columns_won[best_row_[j]]++ == 0) m_.match(best_row_[j], j);
    }
    repair_.waiting = 0;
    enter(Stage::transfer);
}

// A row that won one column alone can pay more for it, up to its second choice.
inline void Paths::transfer() {
    if (at_ == n_) {
        repair_.start(repair_.waiting);
        return enter(Stage::repair);
    }
    const int64_t i = at_++, j = m_.column_of[i];
    if (j == NONE) {
        m_.waiting[repair_.waiting++] = i;
    } else if (via_[i] == 1) {
        const BestTwo two = best_two(row(i), m_.price, width_);
        if (two.column == j && two.second < INFINITE) m_.price[j] += two.second - two.best;
        read(width_);
    }
    read(1);
}

inline void Paths::repair() {
    const auto look = [this](int64_t i) {
        read(width_);
        return best_two(row(i), m_.price, width_);
    };
    if (repair_.step(m_, look, [](int64_t) {})) enter(Stage::search);
}

// ---- search: a tree of shortest alternating paths from each row that still waits

inline void Paths::start_tree() {
    root_ = m_.waiting[at_++];
    scanned_ = 0;
    for (int64_t j = 0; j < width_; ++j) {
        open_[j] = m_.price[j];
        distance_[j] = INFINITE;
    }
    grow(root_, 0);
}

inline void Paths::search() {
    if (root_ == NONE) return at_ == repair_.waiting ? enter(Stage::certify) : start_tree();
    if (nearest_.distance == INFINITE) {
        status_ = Status::infeasible;
        return;
    }
    if (nearest_.unmatched <= nearest_.distance)
        return augment(unmatched_at(distance_, m_.matched, nearest_.distance));
    const int64_t j = nearest_.column, i = m_.row_of[j];
    const double base = distance_[j] - (row(i)[j] + m_.price[j]);
    scanned_column_[scanned_] = j;
    scanned_distance_[scanned_++] = distance_[j];
    distance_[j] = open_[j] = INFINITE;
    grow(i, base);
}

inline void Paths::grow(int64_t i, double base) {
    read(2 * width_);
    nearest_ = relax_row(row(i), open_, base, i, distance_, via_, m_.matched, width_);
}

// Turn the path over, and raise the scanned columns so that the tree is tight.
inline void Paths::augment(int64_t column) {
    for (int64_t k = 0; k < scanned_; ++k) m_.price[scanned_column_[k]] += nearest_.distance - scanned_distance_[k];
    for (int64_t j = column;;) {
        const int64_t i = via_[j], before = m_.column_of[i];
        m_.match(i, j);
        if (i == root_) break;
        j = before;
    }
    root_ = NONE;
    read(n_);
}

// ---- certify: row minima at the final prices, from the whole matrix

inline void Paths::certify() {
    if (at_ == n_) {
        status_ = Status::done;
        return;
    }
    const int64_t i = at_++, j = m_.column_of[i];
    least_[i] = lowest_sum(row(i), m_.price, width_);
    excess_ += row(i)[j] + m_.price[j] - least_[i];
    read(width_);
}

}  // namespace brenier::assignment::BRENIER_ISA
