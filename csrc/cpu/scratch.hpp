// Memory of one native call. Not std::vector, whose helpers the linker would share between instruction sets.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

namespace brenier::cpu {
namespace {  // see body.hpp

template <class T>
class Scratch {
  public:
    explicit Scratch(int64_t count) : data_(allocate(count)) {}
    ~Scratch() { std::free(data_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    T* get() { return data_; }
    T& operator[](int64_t i) { return data_[i]; }

  private:
    static T* allocate(int64_t count) {
        const size_t bytes = (size_t(count > 0 ? count : 1) * sizeof(T) + 63) / 64 * 64;
        void* memory = std::aligned_alloc(64, bytes);
        if (!memory) throw std::bad_alloc();
        return static_cast<T*>(memory);
    }
    T* data_;
};

// A list that grows by doubling; T is plain data.
template <class T>
class List {
  public:
    static constexpr int64_t smallest = 16;
    List() = default;
    ~List() { std::free(data_); }
    List(const List&) = delete;
    List& operator=(const List&) = delete;
    int64_t size() const { return size_; }
    int64_t capacity() const { return capacity_; }
    bool full() const { return size_ == capacity_; }
    T& operator[](int64_t i) { return data_[i]; }
    T* data() { return data_; }
    const T* data() const { return data_; }
    void resize(int64_t size) {  // what is new is not set
        if (size > capacity_) reserve(2 * size);
        size_ = size;
    }
    void truncate(int64_t size) { size_ = size; }
    void push(const T& value) {
        if (full()) reserve(capacity_ ? 2 * capacity_ : smallest);
        data_[size_++] = value;
    }

  private:
    void reserve(int64_t capacity) {
        void* grown = std::realloc(static_cast<void*>(data_), size_t(capacity) * sizeof(T));
        if (!grown) throw std::bad_alloc();
        data_ = static_cast<T*>(grown);
        capacity_ = capacity;
    }
    T* data_ = nullptr;
    int64_t size_ = 0, capacity_ = 0;
};

}  // namespace
}  // namespace brenier::cpu
