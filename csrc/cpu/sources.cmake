# One body per verb (*_body.hpp), one thin file per instruction set, chosen at run time.
# Contraction is off so that every instruction set rounds alike where a result must have fixed bits.
# No vector crosses a call between files, so notes on how it would be passed (psabi) are noise.
set(BRENIER_CPU_FLAGS -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math -Wall -Wextra -Wno-psabi)

# An object library, because pybind11 links its modules with link-time optimisation, which could move code
# between files that are compiled for different processors.
add_library(brenier_cpu OBJECT
  csrc/cpu/dispatch.cpp
  csrc/cpu/avx512.cpp
  csrc/cpu/avx2.cpp
  csrc/cpu/neon.cpp
  csrc/cpu/portable.cpp)
target_include_directories(brenier_cpu PUBLIC csrc)
target_compile_options(brenier_cpu PRIVATE ${BRENIER_CPU_FLAGS})
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set_source_files_properties(csrc/cpu/avx512.cpp PROPERTIES COMPILE_OPTIONS
    "-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mprefer-vector-width=512")
  set_source_files_properties(csrc/cpu/avx2.cpp PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
endif()

if(NOT BRENIER_NATIVE_TEST)
  pybind11_add_module(_core MODULE csrc/bind/core_module.cpp)
  target_link_libraries(_core PRIVATE brenier_cpu)
  target_compile_options(_core PRIVATE ${BRENIER_CPU_FLAGS})
  install(TARGETS _core LIBRARY DESTINATION brenier)
endif()
include(csrc/cpu/assignment/sources.cmake)
