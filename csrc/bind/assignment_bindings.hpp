// Linear assignment for Python: pointers in, status out; the handle keeps the state between steps.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cmath>
#include <cstdlib>
#include <string>

#include "cpu/assignment/assignment.hpp"

namespace brenier::assignment {

namespace py = pybind11;

// The identity's total, which the solver leaves undefined where the identity has a forbidden pair.
inline double identity_total(const Outcome& out, bool maximize) {
    return !std::isnan(out.identity_total) ? out.identity_total : maximize ? -HUGE_VAL : HUGE_VAL;
}

struct Handle {
    std::unique_ptr<Assignment> solver;
    bool maximize;

    int step(int64_t budget) {
        py::gil_scoped_release unlocked;
        return int(solver->step(budget));
    }
    py::tuple write(uintptr_t permutation, uintptr_t row_duals, uintptr_t column_duals) const {
        const Outcome out = solver->write(reinterpret_cast<int64_t*>(permutation), reinterpret_cast<double*>(row_duals),
                                          reinterpret_cast<double*>(column_duals));
        return py::make_tuple(out.total, identity_total(out, maximize), out.random_total, out.excess,
                              out.rounding, out.stalled);
    }
};

inline std::unique_ptr<Handle> open_assignment(uintptr_t scores, bool is_float32, int64_t size, int64_t row_stride,
                              int64_t column_stride, bool maximize, double gap, int64_t bid_from,
                              const std::string& instruction_set, uintptr_t prices) {
    const Problem problem{reinterpret_cast<const void*>(scores), is_float32, size, row_stride, column_stride, maximize,
                          gap, bid_from, reinterpret_cast<const double*>(prices)};
    std::unique_ptr<Handle> handle(new Handle{make(problem, instruction_set.c_str()), maximize});
    return handle->solver ? std::move(handle) : nullptr;  // None: no such instruction set here
}

// A small square numpy array, looked at directly: a buffer request would take longer than the solution.
// `valid` is false for anything else: other objects and shapes, foreign byte order, misaligned memory.
// Up to 256 rows solving takes a few ms at worst, so that it may not be interrupted.
struct SmallSquare {
    static constexpr int64_t LARGEST = 256;

    const char* data = nullptr;
    int64_t size = 0, item = 0, strides[2] = {0, 0};
    char letter = 0;
    bool valid = false;

    explicit SmallSquare(py::handle object) {
        if (!py::isinstance<py::array>(object)) return;
        const auto array = py::reinterpret_borrow<py::array>(object);
        if (array.ndim() != 2 || array.shape(0) != array.shape(1) || array.shape(0) < 1 || array.shape(0) > LARGEST)
            return;
        const py::dtype type = array.dtype();
        data = static_cast<const char*>(array.data());
        size = array.shape(0), item = type.itemsize(), letter = type.char_();
        strides[0] = array.strides(0), strides[1] = array.strides(1);
        const bool native = type.byteorder() == '=' || type.byteorder() == '|';
        const bool aligned = array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_;
        valid = native && aligned && item > 0 && strides[0] % item == 0 && strides[1] % item == 0;
    }
};

// Integers as doubles; false where one is not exactly a double.
template <class Integer>
bool widen(const SmallSquare& matrix, double* out) {
    constexpr int64_t LIMIT = int64_t(1) << 53;
    for (int64_t i = 0; i < matrix.size; ++i)
        for (int64_t j = 0; j < matrix.size; ++j) {
            const char* at = matrix.data + i * matrix.strides[0] + j * matrix.strides[1];
            const Integer value = *reinterpret_cast<const Integer*>(at);
            if (sizeof(Integer) == 8 && (value > Integer(LIMIT) || (Integer(-1) < 0 && value < Integer(-LIMIT))))
                return false;
            *out++ = double(value);
        }
    return true;
}

inline bool widen_any(const SmallSquare& matrix, double* out) {
    switch (matrix.letter) {
        case '?': return widen<bool>(matrix, out);
        case 'b': return widen<signed char>(matrix, out);
        case 'B': return widen<unsigned char>(matrix, out);
        case 'h': return widen<short>(matrix, out);
        case 'H': return widen<unsigned short>(matrix, out);
        case 'i': return widen<int>(matrix, out);
        case 'I': return widen<unsigned>(matrix, out);
        case 'l': return widen<long>(matrix, out);
        case 'q': return widen<long long>(matrix, out);
        default: return false;
    }
}

// The whole of a small problem in one call, where Python's validation would take longer than the solution:
// (permutation, total, identity total), or None for whatever needs a second look.
inline py::object assign_small(py::handle scores, py::handle wish) {
    const SmallSquare matrix(scores);
    const bool maximize = wish.ptr() == Py_True;
    if (!matrix.valid || !(maximize || wish.ptr() == Py_False) || std::getenv("BRENIER_CPU_BODY")) return py::none();
    const int64_t n = matrix.size, item = matrix.item;
    Problem problem{matrix.data, item == 4, n, matrix.strides[0] / item, matrix.strides[1] / item, maximize, 0, -1};
    std::unique_ptr<double[]> widened;
    if (matrix.letter != 'd' && matrix.letter != 'f') {
        widened.reset(new double[n * n]);
        if (!widen_any(matrix, widened.get())) return py::none();
        problem = Problem{widened.get(), false, n, n, 1, maximize, 0, -1};
    }
    py::array_t<int64_t> permutation(n);
    int64_t* const columns = permutation.mutable_data();
    double duals[2 * SmallSquare::LARGEST];
    Outcome out{};
    auto solve = [&] {
        const std::unique_ptr<Assignment> solver = make(problem, "");
        Status status = Status::running;
        while (status == Status::running) status = solver->step(INT64_MAX);
        if (status != Status::done) return false;
        out = solver->write(columns, duals, duals + n);
        return !out.stalled && out.excess <= out.rounding && std::isfinite(out.total) && !std::isinf(out.identity_total);
    };
    bool optimal;
    if (n < 32) {
        optimal = solve();
    } else {
        py::gil_scoped_release unlocked;
        optimal = solve();
    }
    return optimal ? py::object(py::make_tuple(permutation, out.total, identity_total(out, maximize))) : py::none();
}

inline py::list instruction_sets() {
    py::list names;
    for (int i = 0; available_instruction_set(i); ++i) names.append(available_instruction_set(i));
    return names;
}

inline void register_assignment(py::module_& module) {
    py::enum_<Status>(module, "AssignmentStatus", py::arithmetic())
        .value("running", Status::running)
        .value("done", Status::done)
        .value("infeasible", Status::infeasible)
        .value("not_a_number", Status::not_a_number)
        .value("unbounded", Status::unbounded)
        .value("out_of_memory", Status::out_of_memory);
    py::class_<Handle>(module, "Assignment", "One linear assignment problem, solved in steps.")
        .def("step", &Handle::step, py::arg("budget"), "Work on about `budget` matrix elements; the status.")
        .def("write", &Handle::write, py::arg("permutation"), py::arg("row_duals"), py::arg("column_duals"),
             "Fill the three arrays; (total, identity total, random total, excess, rounding, stalled).");
    module.def("open_assignment", &open_assignment, py::arg("scores"), py::arg("is_float32"), py::arg("size"),
               py::arg("row_stride"), py::arg("column_stride"), py::arg("maximize"), py::arg("gap") = 0.0,
               py::arg("bid_from") = -1, py::arg("instruction_set") = "", py::arg("prices") = 0);
    module.def("assign_small", &assign_small, "(permutation, total, identity total) of a small matrix, or None.");
    module.def("assignment_instruction_sets", &instruction_sets);
}

}  // namespace brenier::assignment
