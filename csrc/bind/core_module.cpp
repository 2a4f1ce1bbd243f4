#include <pybind11/pybind11.h>

#include "bind/assignment_bindings.hpp"

PYBIND11_MODULE(_core, module) {
    module.doc() = "Compiled CPU verbs of brenier: raw pointers in, everything validated in Python.";
    brenier::assignment::register_assignment(module);
}
