// Each instruction set is one file that names its namespace and includes this one.
#pragma once
#include <new>

#include "cpu/assignment/paths.hpp"

namespace brenier::assignment::BRENIER_ISA {

Assignment* make_solver(const Problem& problem) { return new (std::nothrow) Solver(problem); }

}  // namespace brenier::assignment::BRENIER_ISA
