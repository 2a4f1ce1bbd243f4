// Memory of one problem: one block, handed out in cache lines.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace brenier::assignment::BRENIER_ISA {

constexpr int64_t CACHE_LINE = 64, HUGE_PAGE = 2 << 20;

// Large blocks on huge pages: touching fresh memory is otherwise a good part of loading a problem.
inline void* allocate(int64_t bytes) {
    if (bytes < HUGE_PAGE) return std::aligned_alloc(CACHE_LINE, size_t((bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE));
    bytes = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void* block = std::aligned_alloc(HUGE_PAGE, size_t(bytes));
#if defined(__linux__)
    if (block) madvise(block, size_t(bytes), MADV_HUGEPAGE);
#endif
    return block;
}

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
        next_ += bytes_of<T>(count);
        return here;
    }
    template <class T>
    static constexpr int64_t bytes_of(int64_t count) {
        return (count * int64_t(sizeof(T)) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    }

   private:
    void* block_;
    char* next_;
};

}  // namespace brenier::assignment::BRENIER_ISA
