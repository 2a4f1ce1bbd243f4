// Python's view of the int8 verbs; see core_module.cpp for the manners.
#pragma once

#include <pybind11/pybind11.h>

#include <stdexcept>

#include "cpu/dispatch.hpp"

namespace brenier::int8 {

namespace py = pybind11;
using Address = uintptr_t;
using Unlocked = py::call_guard<py::gil_scoped_release>;

template <class T>
T* at(Address address) {
    return reinterpret_cast<T*>(address);
}

inline const cpu::Int8Body& body(int32_t index) {
    const cpu::Int8Body* found = cpu::int8_body(index);
    if (!found) throw std::out_of_range("no int8 body of that number");
    return *found;
}

inline py::list bodies() {
    py::list rows;
    for (int32_t index = 0; cpu::int8_body(index); ++index) {
        const cpu::Int8Body& row = body(index);
        rows.append(py::make_tuple(row.name, row.runs_here(), row.bits, row.fast, row.rows, row.targets));
    }
    return rows;
}

inline void bind_views(py::module_& module) {
    py::class_<Source8>(module, "Source8")
        .def(py::init([](const Matrix& matrix, Address centre, Address dither, Address other) {
                 return Source8{matrix, at<float>(centre), at<uint16_t>(dither), at<uint16_t>(other)};
             }),
             py::arg("matrix"), py::arg("centre"), py::arg("dither"), py::arg("other"));
    py::class_<Targets8>(module, "Targets8")
        .def(py::init([](int64_t count, const Matrix& exact, Address panels, Address scales, Address norms,
                         Address residuals, Address dither_sums, double reach, float slack) {
                 return Targets8{count, exact, at<uint8_t>(panels), at<float>(scales), at<float>(norms),
                                 at<float>(residuals), at<float>(dither_sums), reach, slack};
             }),
             py::arg("count"), py::arg("exact"), py::arg("panels"), py::arg("scales"), py::arg("norms"),
             py::arg("residuals"), py::arg("dither_sums"), py::arg("reach"), py::arg("slack"));
    py::class_<Noise8>(module, "Noise8")
        .def(py::init([](int64_t rows, Address exact, Address order, Address panels, Address scales, Address norms,
                         Address residuals, Address offsets, Address totals, Address shifts) {
                 return Noise8{rows, at<float>(exact), at<int64_t>(order), at<int32_t>(panels), at<float>(scales),
                               at<float>(norms), at<float>(residuals), at<double>(offsets), at<int32_t>(totals),
                               at<double>(shifts)};
             }),
             py::arg("rows"), py::arg("exact"), py::arg("order"), py::arg("panels"), py::arg("scales"),
             py::arg("norms"), py::arg("residuals"), py::arg("offsets"), py::arg("totals"), py::arg("shifts"));
    py::class_<Heights8>(module, "Heights8")
        .def(py::init([](Address exact, Address bias, double pivot, double largest) {
                 return Heights8{at<double>(exact), at<float>(bias), pivot, largest};
             }),
             py::arg("exact"), py::arg("bias"), py::arg("pivot"), py::arg("largest"));
}

inline void bind_verbs(py::module_& module) {
    module.def(
        "pack_targets8",
        [](int32_t index, const Source8& source, int64_t count, int32_t top, double slack, Address panels, Address scales,
           Address norms, Address residuals, Address dither_sums) {
            return body(index).pack_targets(source, count, top, slack,
                                            {at<uint8_t>(panels), at<float>(scales), at<float>(norms),
                                             at<float>(residuals), at<float>(dither_sums)});
        },
        Unlocked());
    module.def(
        "rotate8",
        [](int32_t index, const Matrix& matrix, int64_t rows, Address centre, Address signs, int64_t block, Address out) {
            body(index).rotate(matrix, rows, at<float>(centre), at<float>(signs), block, at<float>(out));
        },
        Unlocked());
    module.def(
        "largest_rows8",
        [](int32_t index, const Matrix& matrix, int64_t rows, Address largest) {
            body(index).largest_rows(matrix, rows, at<float>(largest));
        },
        Unlocked());
    module.def(
        "pack_noise8",
        [](int32_t index, const Source8& source, const Matrix& given, int64_t rows, Address order, Address largest, double dithers,
           int32_t top, double slack, Address panels, Address scales, Address norms, Address residuals, Address offsets,
           Address totals, Address shifts) {
            return body(index).pack_noise(source, given, rows, at<int64_t>(order), at<float>(largest), dithers, top, slack,
                                          {at<int32_t>(panels), at<float>(scales), at<float>(norms),
                                           at<float>(residuals), at<double>(offsets), at<int32_t>(totals), at<double>(shifts)});
        },
        Unlocked());
    module.def(
        "assign8",
        [](int32_t index, const Noise8& noise, const Targets8& targets, const Heights8& heights, int64_t lo,
           int64_t hi, float kappa, Address winners, Address scores, Address counts) {
            return body(index).assign(noise, targets, heights, {lo, hi}, kappa, at<int64_t>(winners),
                                      at<double>(scores), at<Int8Counts>(counts));
        },
        Unlocked());
}

// Multiply-adds done; the caller times them.
inline void bind_calibration(py::module_& module) {
    module.def(
        "calibrate",
        [](int32_t index, int64_t repeats) {
            const cpu::Body* float_body = cpu::body(index);
            if (!float_body) throw std::out_of_range("no CPU body of that number");
            float_body->calibrate(repeats);
            return repeats * cpu::calibration_words * float_body->rows * float_body->targets;
        },
        Unlocked());
    module.def(
        "calibrate8",
        [](int32_t index, int64_t repeats) {
            body(index).calibrate(repeats);
            return repeats * cpu::calibration_words * (32 / body(index).bits) * body(index).rows * body(index).targets;
        },
        Unlocked());
}

inline void register_int8(py::module_& module) {
    module.def("int8_bodies", &bodies,
               "Rows (name, runs here, bits, fast, noise rows per panel, targets per panel), fastest first.");
    bind_views(module);
    bind_verbs(module);
    bind_calibration(module);
}

}  // namespace brenier::int8
