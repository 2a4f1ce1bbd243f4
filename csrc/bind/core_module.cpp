#include <pybind11/pybind11.h>

PYBIND11_MODULE(_core, module) {
    module.doc() = "Compiled CPU verbs of brenier: raw pointers in, everything validated in Python.";
}
