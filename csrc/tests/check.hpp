// The smallest test frame: CHECK prints what failed and where; the process ends with the number of failures.
#pragma once

#include <atomic>
#include <cstdio>

inline std::atomic<int> failures{0};

#define CHECK(condition, ...)                                             \
    do {                                                                  \
        if (!(condition)) {                                               \
            std::printf("%s:%d: %s  ", __FILE__, __LINE__, #condition);   \
            std::printf(__VA_ARGS__);                                     \
            std::printf("\n");                                            \
            ++failures;                                                   \
        }                                                                 \
    } while (false)
