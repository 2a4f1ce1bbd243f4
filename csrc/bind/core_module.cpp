// Python's view of the compiled CPU verbs: addresses as integers, sizes, everything validated in Python first.
// Every verb is single-threaded, re-entrant and runs without the interpreter lock.
#include <pybind11/pybind11.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <memory>
#include <stdexcept>

#include "bind/assignment_bindings.hpp"
#include "bind/int8_bindings.hpp"
#include "cpu/dispatch.hpp"

namespace py = pybind11;
using namespace brenier;

namespace {

using Address = uintptr_t;
using Unlocked = py::call_guard<py::gil_scoped_release>;

template <class T>
T* at(Address address) {
    return reinterpret_cast<T*>(address);
}

const cpu::Body& body(int32_t index) {
    const cpu::Body* found = cpu::body(index);
    if (!found) throw std::out_of_range("no CPU body of that number");
    return *found;
}

py::list bodies() {
    py::list rows;
    for (int32_t index = 0; cpu::body(index); ++index) {
        const cpu::Body& row = body(index);
        rows.append(py::make_tuple(row.name, row.runs_here(), row.rows, row.targets));
    }
    return rows;
}

Matrix matrix(Address data, int64_t stride, int64_t depth, int32_t element) {
    return {at<void>(data), stride, depth, Element(element)};
}

Noise noise(int64_t rows, Address exact, Address panels, Address exponents, Address norms) {
    return {rows, at<float>(exact), at<float>(panels), at<int32_t>(exponents), at<double>(norms)};
}

Targets targets(int64_t count, const Matrix& exact, Address panels, int32_t exponent, double largest_norm) {
    return {count, exact, at<float>(panels), exponent, largest_norm};
}

Heights heights(Address exact, Address bias, double pivot, double largest, int32_t exponent) {
    return {at<double>(exact), at<float>(bias), pivot, largest, exponent};
}

void bind_views(py::module_& module) {
    py::class_<Matrix>(module, "Matrix")
        .def(py::init(&matrix), py::arg("data"), py::arg("stride"), py::arg("depth"), py::arg("element"));
    py::class_<Noise>(module, "Noise")
        .def(py::init(&noise), py::arg("rows"), py::arg("exact"), py::arg("panels"), py::arg("exponents"),
             py::arg("norms"));
    py::class_<Targets>(module, "Targets")
        .def(py::init(&targets), py::arg("count"), py::arg("exact"), py::arg("panels"), py::arg("exponent"),
             py::arg("largest_norm"));
    py::class_<Heights>(module, "Heights")
        .def(py::init(&heights), py::arg("exact"), py::arg("bias"), py::arg("pivot"), py::arg("largest"),
             py::arg("exponent"));
}

void bind_packing(py::module_& module) {
    module.def("largest", [](int32_t index, const Matrix& rows, int64_t count) { return body(index).largest(rows, count); },
               Unlocked());
    module.def(
        "pack_targets",
        [](int32_t index, const Matrix& rows, int64_t count, int32_t exponent, Address panels) {
            return body(index).pack_targets(rows, count, exponent, at<float>(panels));
        },
        Unlocked());
    module.def(
        "pack_noise",
        [](int32_t index, const Matrix& rows, int64_t count, int32_t largest_exponent, Address panels,
           Address exponents, Address norms) {
            body(index).pack_noise(rows, count, largest_exponent, at<float>(panels), at<int32_t>(exponents),
                                   at<double>(norms));
        },
        Unlocked());
}

void bind_verbs(py::module_& module) {
    py::class_<cpu::CandidateRows>(module, "CandidateRows")
        .def("total", &cpu::CandidateRows::total)
        .def(
            "copy",
            [](const cpu::CandidateRows& rows, Address lengths, Address indices, Address scores) {
                rows.copy(at<int64_t>(lengths), at<int64_t>(indices), at<double>(scores));
            },
            Unlocked());
    module.def(
        "assign",
        [](int32_t index, const Noise& noise, const Targets& targets, const Heights& heights, int64_t lo, int64_t hi,
           Address winners, Address scores) {
            body(index).assign(noise, targets, heights, {lo, hi}, at<int64_t>(winners), at<double>(scores));
        },
        Unlocked());
    module.def(
        "candidates",
        [](int32_t index, const Noise& noise, const Targets& targets, const Heights& heights, int64_t lo, int64_t hi,
           double margin, Address best) {
            return std::unique_ptr<cpu::CandidateRows>(
                body(index).candidates(noise, targets, heights, {lo, hi}, margin, at<double>(best)));
        },
        Unlocked());
}

void bind_projection(py::module_& module) {
    module.def(
        "project",
        [](int32_t index, const Matrix& rows, int64_t count, Address panels, int64_t directions, Address out) {
            body(index).project(rows, count, at<float>(panels), directions, at<float>(out));
        },
        Unlocked());
}

// Verbs of targets that are read tile by tile: rows are (count, depth) and contiguous.
void bind_streaming(py::module_& module) {
    module.def(
        "mix",
        [](int32_t index, Address bytes, Address table, Address values, float scale, uint64_t seed, uint64_t first,
           uint32_t stream, float sigma, int64_t count, int64_t depth, Address centre, Address out) {
            const Clean clean{at<uint8_t>(bytes), at<float>(table), at<float>(values), scale};
            body(index).mix(clean, RowNoise{seed, first, stream, sigma}, count, depth, at<float>(centre), at<float>(out));
        },
        Unlocked());
    module.def(
        "structured",
        [](int32_t index, Address rows, int64_t count, int64_t depth, int64_t block, Address signs, Address chosen,
           int64_t directions, Address out) {
            const Frame frame{block, at<uint8_t>(signs), at<int32_t>(chosen), directions};
            body(index).structured(at<float>(rows), count, depth, frame, at<float>(out));
        },
        Unlocked());
}

SoftRows soft_rows(Address offsets, Address indices, Address scores, Address change, int64_t targets) {
    return {at<int64_t>(offsets), at<int64_t>(indices), at<double>(scores), at<double>(change), targets};
}

void bind_soft_counts(py::module_& module) {
    py::class_<SoftRows>(module, "SoftRows")
        .def(py::init(&soft_rows), py::arg("offsets"), py::arg("indices"), py::arg("scores"), py::arg("change"),
             py::arg("targets"));
    module.def(
        "soft_counts",
        [](int32_t index, const SoftRows& rows, int64_t lo, int64_t hi, double epsilon, Address sums) {
            return body(index).soft_counts(rows, lo, hi, epsilon, at<SoftSums>(sums));
        },
        Unlocked());
}

CircleRows circle_rows(Address offsets, Address indices, Address products, Address heights, int64_t targets) {
    return {at<int64_t>(offsets), at<int64_t>(indices), at<double>(products), at<double>(heights), targets};
}

void bind_circles(py::module_& module) {
    py::class_<CircleRows>(module, "CircleRows")
        .def(py::init(&circle_rows), py::arg("offsets"), py::arg("indices"), py::arg("products"),
             py::arg("heights"), py::arg("targets"));
    module.def(
        "circle_candidates",
        [](int32_t index, const Noise& noise, const Targets& targets, const Heights& heights, int64_t lo, int64_t hi,
           double margin, Address best) {
            return std::unique_ptr<cpu::CandidateRows>(
                body(index).circle_candidates(noise, targets, heights, {lo, hi}, margin, at<double>(best)));
        },
        Unlocked());
    module.def(
        "circle_counts",
        [](int32_t index, const CircleRows& rows, int64_t lo, int64_t hi, double epsilon, Address sums) {
            return body(index).circle_counts(rows, lo, hi, epsilon, at<SoftSums>(sums));
        },
        Unlocked());
    module.def(
        "circle_wins",
        [](int32_t index, const CircleRows& rows, int64_t lo, int64_t hi, Address sums) {
            return body(index).circle_wins(rows, lo, hi, at<CircleWins>(sums));
        },
        Unlocked());
}

void bind_noise(py::module_& module) {
    module.def(
        "normal",
        [](int32_t index, uint64_t seed, uint64_t first, int64_t rows, int64_t depth, uint32_t stream, Address out) {
            body(index).normal(seed, first, rows, depth, stream, at<float>(out));
        },
        Unlocked());
    module.def(
        "unit_vectors",
        [](int32_t index, uint64_t seed, uint64_t first, int64_t rows, int64_t depth, uint32_t stream, Address out) {
            body(index).unit_vectors(seed, first, rows, depth, stream, at<float>(out));
        },
        Unlocked());
    module.def(
        "integers",
        [](int32_t index, uint64_t seed, uint64_t first, int64_t count, uint64_t high, uint32_t stream, Address out) {
            body(index).integers(seed, first, count, high, stream, at<int64_t>(out));
        },
        Unlocked());
    module.def(
        "philox",
        [](int32_t index, Address counter, uint64_t key, Address out) {
            body(index).philox(at<uint32_t>(counter), key, at<uint32_t>(out));
        },
        Unlocked());
}

}  // namespace

// Memory freed by a worker goes back to the system at once by default (glibc trims each thread's heap), and taking it
// again costs page faults and interrupts to the other processors, more than many a call. Kept: up to 64 MiB a heap.
void keep_freed_memory() {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
#endif
}

PYBIND11_MODULE(_core, module) {
    module.doc() = "Compiled CPU verbs of brenier: raw pointers in, everything validated in Python.";
    module.def("bodies", &bodies, "Rows (name, runs here, noise rows per panel, targets per panel), fastest first.");
    module.def("keep_freed_memory", &keep_freed_memory);
    bind_views(module);
    bind_packing(module);
    bind_verbs(module);
    bind_projection(module);
    bind_streaming(module);
    bind_soft_counts(module);
    bind_circles(module);
    bind_noise(module);
    assignment::register_assignment(module);
    int8::register_int8(module);
}
