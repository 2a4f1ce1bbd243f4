// A tree of shortest alternating paths over few columns: tentative distances in a binary heap.
#pragma once
#include "cpu/assignment/matching.hpp"

namespace brenier::assignment::BRENIER_ISA {

struct Tree {
    static constexpr int32_t SCANNED = -1;
    double *distance, *base, *limit, *final_distance;  // by column; by row of the tree (three)
    int64_t* row;                                      // of the tree
    int32_t *via, *seen, *heap, *place, *scanned;      // place: in the heap, or SCANNED
    int32_t round, size, rows, columns;
    int64_t root;
    double reach;   // distances below this are final whatever the lists leave out
    double cutoff;  // of the nearest free column so far

    static int64_t bytes(int64_t width) {
        return 4 * Arena::bytes_of<double>(width) + Arena::bytes_of<int64_t>(width) + 5 * Arena::bytes_of<int32_t>(width);
    }
    void place_in(Arena& arena, int64_t width) {
        for (double** array : {&distance, &base, &limit, &final_distance}) *array = arena.take<double>(width);
        row = arena.take<int64_t>(width);
        for (int32_t** array : {&via, &seen, &heap, &place, &scanned}) *array = arena.take<int32_t>(width);
        for (int64_t j = 0; j < width; ++j) seen[j] = 0;
        round = 0;
        root = NONE;
    }
    void start(int64_t i) {
        root = i;
        ++round;
        size = rows = columns = 0;
        reach = cutoff = INFINITE;
    }
    double nearest() const { return size ? distance[heap[0]] : INFINITE; }

    // A way to column j through row i; one beyond the cutoff cannot win.
    BRENIER_INLINE void offer(int64_t i, int32_t j, double value, bool free) {
        if (!(value < cutoff)) return;
        if (seen[j] != round) {
            seen[j] = round;
            place[j] = size++;
        } else if (place[j] == SCANNED || value >= distance[j]) {
            return;
        }
        distance[j] = value;
        via[j] = int32_t(i);
        rise(place[j], j);
        if (free) cutoff = value;
    }
    int32_t take_nearest() {
        const int32_t nearest = heap[0], last = heap[--size];
        place[nearest] = SCANNED;
        if (size) sink(last);
        return nearest;
    }
    void add_row(int64_t i, double from, double until) {
        row[rows] = i;
        base[rows] = from;
        limit[rows++] = until;
        reach = until < reach ? until : reach;
    }
    int32_t least_reaching() const {
        int32_t least = 0;
        for (int32_t k = 1; k < rows; ++k) least = limit[k] < limit[least] ? k : least;
        return least;
    }
    void set_limit(int32_t k, double until) {
        limit[k] = until;
        reach = limit[least_reaching()];
    }

   private:
    void put(int32_t at, int32_t j) {
        heap[at] = j;
        place[j] = at;
    }
    void rise(int32_t at, int32_t j) {
        const double value = distance[j];
        while (at > 0) {
            const int32_t above = (at - 1) / 2;
            if (distance[heap[above]] <= value) break;
            put(at, heap[above]);
            at = above;
        }
        put(at, j);
    }
    void sink(int32_t j) {
        const double value = distance[j];
        int32_t at = 0;
        for (int32_t below = 1; below < size; below = 2 * at + 1) {
            if (below + 1 < size && distance[heap[below + 1]] < distance[heap[below]]) ++below;
            if (distance[heap[below]] >= value) break;
            put(at, heap[below]);
            at = below;
        }
        put(at, j);
    }
};

}  // namespace brenier::assignment::BRENIER_ISA
