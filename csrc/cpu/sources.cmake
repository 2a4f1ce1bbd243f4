# One body per verb (*_body.hpp), one thin file per instruction set, chosen at run time.
# Contraction is off so that every instruction set rounds alike where a result must have fixed bits.
set(BRENIER_CPU_FLAGS -O3 -ffp-contract=off -fno-math-errno -Wall -Wextra)

pybind11_add_module(_core MODULE csrc/bind/core_module.cpp)
target_include_directories(_core PRIVATE csrc)
target_compile_options(_core PRIVATE ${BRENIER_CPU_FLAGS})
install(TARGETS _core LIBRARY DESTINATION brenier)
include(csrc/cpu/assignment/sources.cmake)
