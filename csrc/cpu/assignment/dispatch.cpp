#include <cstring>

#include "cpu/assignment/assignment.hpp"

namespace brenier::assignment {

namespace avx512 { Assignment* make_solver(const Problem& problem); }
namespace avx2 { Assignment* make_solver(const Problem& problem); }
namespace portable { Assignment* make_solver(const Problem& problem); }

namespace {

struct InstructionSet {
    const char* name;
    bool (*runs_here)();
    Assignment* (*make_solver)(const Problem&);
};

const InstructionSet TABLE[] = {
#if defined(__x86_64__)
    {"avx512",
     [] { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"); },
     avx512::make_solver},
    {"avx2", [] { return bool(__builtin_cpu_supports("avx2")); }, avx2::make_solver},
#endif
    {"portable", [] { return true; }, portable::make_solver},
};

}  // namespace

std::unique_ptr<Assignment> make(const Problem& problem, const char* instruction_set) {
    for (const InstructionSet& set : TABLE)
        if (set.runs_here() && (!*instruction_set || !std::strcmp(set.name, instruction_set)))
            return std::unique_ptr<Assignment>(set.make_solver(problem));
    return nullptr;
}

const char* available_instruction_set(int i) {
    for (const InstructionSet& set : TABLE)
        if (set.runs_here() && i-- == 0) return set.name;
    return nullptr;
}

}  // namespace brenier::assignment
