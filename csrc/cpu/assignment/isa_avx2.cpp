#define BRENIER_ISA avx2
#include "cpu/assignment/isa.hpp"
