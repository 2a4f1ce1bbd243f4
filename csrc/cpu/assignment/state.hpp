// Memory of one problem, and loading it.
#pragma once
#include <cstdlib>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "cpu/assignment/assignment.hpp"
#include "cpu/assignment/candidates.hpp"

namespace brenier::assignment::BRENIER_ISA {

constexpr int64_t NONE = -1;

constexpr int64_t CACHE_LINE = 64, HUGE_PAGE = 2 << 20;

// Large blocks on huge pages: touching fresh memory is otherwise a good part of loading a problem.
inline void* allocate(int64_t bytes) {
    if (bytes < 2 * HUGE_PAGE) return std::aligned_alloc(CACHE_LINE, size_t((bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE));
    bytes = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void* block = std::aligned_alloc(HUGE_PAGE, size_t(bytes));
#if defined(__linux__)
    if (block) madvise(block, size_t(bytes), MADV_HUGEPAGE);
#endif
    return block;
}

// One allocation for all arrays of a problem, handed out in cache-line steps.
class Arena {
   public:
    explicit Arena(int64_t bytes) : block_(allocate(bytes)), next_(static_cast<char*>(block_)) {}
    ~Arena() { std::free(block_); }
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;
    bool valid() const { return block_ != nullptr; }
    template <class T>
    T* take(int64_t count) {
        T* here = reinterpret_cast<T*>(next_);
        next_ += (count * int64_t(sizeof(T)) + 63) / 64 * 64;
        return here;
    }

   private:
    void* block_;
    char* next_;
};

struct State {
    int64_t n, width;  // width: n rounded up to LANES
    Arena arena;
    double *cost, *price, *values, *open, *distance, *matched, *least, *scanned_distance, *tree_base, *tree_limit;
    int64_t *via, *best_row, *column_of, *row_of, *waiting, *scanned_column, *tree_row;
    int64_t column_arrays() const { return 16 * (width + LANES); }

    explicit State(int64_t size)
        : n(size), width((size + LANES - 1) / LANES * LANES), arena(8 * (width * size + column_arrays()) + 64) {
        if (!arena.valid()) return;
        cost = arena.take<double>(width * n);
        double** const values_by_column[] = {&price,   &values, &open,      &distance,  &matched,
                                             &least, &scanned_distance, &tree_base, &tree_limit};
        int64_t** const indices[] = {&via, &best_row, &column_of, &row_of, &waiting, &scanned_column, &tree_row};
        for (double** array : values_by_column) *array = arena.take<double>(width);
        for (int64_t** array : indices) *array = arena.take<int64_t>(width);
        for (int64_t j = 0; j < width; ++j) price[j] = values[j] = least[j] = 0, open[j] = INFINITE;
        unmatch_all();
    }
    void unmatch_all() {
        for (int64_t j = 0; j < width; ++j) matched[j] = 0, column_of[j] = row_of[j] = NONE;
    }
    double* row(int64_t i) { return cost + i * width; }
    const double* row(int64_t i) const { return cost + i * width; }

    void match(int64_t i, int64_t j) {
        column_of[i] = j;
        row_of[j] = i;
        matched[j] = INFINITE;
    }
    // The row loses its column to another row: the column stays matched.
    void displace(int64_t i) { column_of[i] = NONE; }
    void release(int64_t i) {
        matched[column_of[i]] = 0;
        row_of[column_of[i]] = NONE;
        column_of[i] = NONE;
    }
};

// What loading learns about the scores.
struct Contents {
    double largest = 0, sum = 0;  // of the finite costs
    int64_t allowed = 0;
    bool not_a_number = false, unbounded = false;
};

// The same, lane by lane while rows come in.
struct Survey {
    Doubles largest = {}, sum = {};
    Longs allowed = {}, not_numbers = {}, unbounded = {};

    void see(const double* cost, int64_t width) {
        for (int64_t j = 0; j < width; j += LANES) {
            const Doubles value = load(cost + j);
            const Longs finite = value < all(INFINITE);
            const Doubles counted = finite ? value : Doubles{};
            not_numbers |= value != value;
            unbounded |= value == all(-INFINITE);
            allowed -= finite;
            sum += counted;
            largest = upper(largest, upper(counted, -counted));
        }
    }
    Contents fold() const {
        Contents contents;
        for (int lane = 0; lane < LANES; ++lane) {
            contents.largest = largest[lane] > contents.largest ? largest[lane] : contents.largest;
            contents.sum += sum[lane];
            contents.allowed += allowed[lane];
            contents.not_a_number |= not_numbers[lane] != 0;
            contents.unbounded |= unbounded[lane] != 0;
        }
        return contents;
    }
};

// costs = ∓scores of one row, exactly; +inf marks forbidden pairs and the padding.
template <class Score>
inline void load_row(const Problem& problem, int64_t i, double* cost, int64_t width) {
    const Score* from = static_cast<const Score*>(problem.scores) + i * problem.row_stride;
    const double sign = problem.maximize ? -1.0 : 1.0;
    if (problem.column_stride == 1)
        for (int64_t j = 0; j < problem.size; ++j) cost[j] = sign * double(from[j]);
    else
        for (int64_t j = 0; j < problem.size; ++j) cost[j] = sign * double(from[j * problem.column_stride]);
    for (int64_t j = problem.size; j < width; ++j) cost[j] = INFINITE;
}

// A sum whose error does not grow with its length (Neumaier's compensation).
struct ExactSum {
    double sum = 0, lost = 0;
    void add(double value) {
        double next = sum + value;
        lost += (sum < 0 ? -sum : sum) >= (value < 0 ? -value : value) ? (sum - next) + value : (value - next) + sum;
        sum = next;
    }
    double get() const { return sum + lost; }
};

}  // namespace brenier::assignment::BRENIER_ISA
