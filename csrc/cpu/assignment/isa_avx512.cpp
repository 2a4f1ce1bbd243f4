#define BRENIER_ISA avx512
#include "cpu/assignment/isa.hpp"
