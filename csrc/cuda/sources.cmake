# _cuda is a module of its own: the CUDA runtime is linked statically, so that it imports on a machine
# without a driver and says so when asked.
set(BRENIER_CUDA_ARCHITECTURES "80-real;90a-real;100-virtual" CACHE STRING
    "What _cuda is compiled for; those that the compiler is too old for are left out")

include(${CMAKE_CURRENT_LIST_DIR}/choice.cmake)

function(brenier_find_cuda found)
  set(${found} FALSE PARENT_SCOPE)
  brenier_cuda_choice("${BRENIER_CUDA}" wanted)
  if(wanted STREQUAL "OFF")
    message(STATUS "brenier: CUDA module left out (BRENIER_CUDA=${BRENIER_CUDA})")
    return()
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(${found} TRUE PARENT_SCOPE)
  elseif(wanted STREQUAL "ON")
    message(FATAL_ERROR "brenier: BRENIER_CUDA=${BRENIER_CUDA}, but CMake found no working CUDA compiler. "
                        "Put nvcc on the PATH, or set CUDACXX to it, or configure with BRENIER_CUDA=AUTO.")
  else()
    message(STATUS "brenier: no working CUDA compiler found; the CUDA module is left out")
  endif()
endfunction()

# sm_90a needs CUDA 12.0, sm_100 12.8; 13.0 dropped what is older than sm_75, which is not listed.
function(brenier_supported_architectures version wanted supported)
  set(kept "")
  foreach(architecture IN LISTS wanted)
    string(REGEX MATCH "^[0-9]+" number "${architecture}")
    if((number GREATER_EQUAL 100 AND version VERSION_LESS 12.8) OR (number GREATER_EQUAL 90 AND version VERSION_LESS 12.0))
      continue()
    endif()
    list(APPEND kept "${architecture}")
  endforeach()
  set(${supported} "${kept}" PARENT_SCOPE)
endfunction()

brenier_find_cuda(BRENIER_CUDA_FOUND)
if(BRENIER_CUDA_FOUND)
  set(CMAKE_CUDA_ARCHITECTURES OFF)  # set on the target below, once the compiler's version is known
  enable_language(CUDA)
  brenier_supported_architectures("${CMAKE_CUDA_COMPILER_VERSION}" "${BRENIER_CUDA_ARCHITECTURES}" BRENIER_CUDA_KEPT)
  string(REPLACE ";" " " BRENIER_CUDA_TEXT "${BRENIER_CUDA_KEPT}")
  message(STATUS "brenier: CUDA module with nvcc ${CMAKE_CUDA_COMPILER_VERSION} for ${BRENIER_CUDA_TEXT}")

  set(BRENIER_CUDA_SOURCES scan scan_host filter_choice filter_sm80 filter_sm90 filter_host rows noise auction
      auction_host)
  list(TRANSFORM BRENIER_CUDA_SOURCES REPLACE "(.+)" "csrc/cuda/\\1.cu")
  pybind11_add_module(_cuda MODULE NO_EXTRAS csrc/bind/cuda_module.cpp ${BRENIER_CUDA_SOURCES})
  target_include_directories(_cuda PRIVATE csrc)
  target_compile_definitions(_cuda PRIVATE BRENIER_CUDA_BUILT_FOR="${BRENIER_CUDA_TEXT}")
  target_compile_options(_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-O3 --threads=0 -Xcompiler=-Wall,-ffp-contract=off>
                                       $<$<COMPILE_LANGUAGE:CXX>:-O3 -Wall -Wextra>)
  set_target_properties(_cuda PROPERTIES
    CUDA_ARCHITECTURES "${BRENIER_CUDA_KEPT}"
    CUDA_RUNTIME_LIBRARY Static
    CUDA_STANDARD 17
    CUDA_STANDARD_REQUIRED ON)
  install(TARGETS _cuda LIBRARY DESTINATION brenier)
endif()
