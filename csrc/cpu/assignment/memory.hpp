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

// One block is kept for a thread's next problem: the system would clear fresh pages, a tenth of the time of 1,024 rows.
constexpr int64_t LARGEST_KEPT = 16 << 20;

struct Kept {
    void* block = nullptr;
    int64_t bytes = 0;
    ~Kept() { std::free(block); }

    static Kept& here() {
        static thread_local Kept kept;
        return kept;
    }
    // A block of at least `bytes`, which become its size.
    static void* take(int64_t& bytes) {
        Kept& kept = here();
        if (!kept.block || kept.bytes < bytes) return allocate(bytes);
        void* const block = kept.block;
        bytes = kept.bytes;
        kept.block = nullptr;
        return block;
    }
    static void give_back(void* block, int64_t bytes) {
        Kept& kept = here();
        if (bytes > LARGEST_KEPT || (kept.block && kept.bytes >= bytes)) return std::free(block);
        std::free(kept.block);
        kept.block = block;
        kept.bytes = bytes;
    }
};

class Arena {
   public:
    explicit Arena(int64_t bytes) : bytes_(bytes), block_(Kept::take(bytes_)), next_(static_cast<char*>(block_)) {}
    ~Arena() { Kept::give_back(block_, bytes_); }
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
    int64_t bytes_;
    void* block_;
    char* next_;
};

}  // namespace brenier::assignment::BRENIER_ISA
