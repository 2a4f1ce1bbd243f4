#define BRENIER_ISA portable
#include "cpu/assignment/isa.hpp"
