# Linear assignment: one solver, compiled once per instruction set.
set(ASSIGNMENT csrc/cpu/assignment)
target_sources(brenier_cpu PRIVATE ${ASSIGNMENT}/dispatch.cpp ${ASSIGNMENT}/isa_portable.cpp)
set_source_files_properties(${ASSIGNMENT}/isa_portable.cpp ${ASSIGNMENT}/isa_avx2.cpp ${ASSIGNMENT}/isa_avx512.cpp
  PROPERTIES COMPILE_OPTIONS "-Wno-psabi")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_sources(brenier_cpu PRIVATE ${ASSIGNMENT}/isa_avx2.cpp ${ASSIGNMENT}/isa_avx512.cpp)
  set_property(SOURCE ${ASSIGNMENT}/isa_avx2.cpp APPEND PROPERTY COMPILE_OPTIONS -mavx2)
  set_property(SOURCE ${ASSIGNMENT}/isa_avx512.cpp APPEND PROPERTY COMPILE_OPTIONS
    -mavx512f -mavx512dq -mavx512vl -mavx512bw -mprefer-vector-width=512)
endif()
