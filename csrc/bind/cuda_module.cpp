// _cuda: pointers and stream as integers in, (code, call, message) out. Importing it touches no driver.
#include <pybind11/pybind11.h>

#include "bind/auction_bindings.hpp"
#include "cuda/filter.hpp"
#include "cuda/scan.hpp"

namespace py = pybind11;
using namespace brenier::cuda;

namespace {

template <class T>
T* pointer(std::uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

py::tuple result(const Status& status) { return py::make_tuple(status.code, status.call, status.message); }

Matrix matrix(std::uintptr_t data, int element, std::int64_t row_stride, std::int64_t depth_stride) {
    return {pointer<const void>(data), static_cast<Element>(element), row_stride, depth_stride};
}

Problem problem(const Matrix& x, const Matrix& y, std::uintptr_t h, std::int64_t rows, std::int64_t targets,
                std::int64_t depth, int splits) {
    return {x, y, pointer<const double>(h), rows, targets, depth, splits};
}

Best best(std::uintptr_t scores, std::uintptr_t winners) {
    return {pointer<double>(scores), pointer<std::int64_t>(winners)};
}

Lists lists(std::uintptr_t thresholds, std::uintptr_t starts, std::uintptr_t counts, std::uintptr_t indices,
            std::uintptr_t scores) {
    return {pointer<const double>(thresholds), pointer<const std::int64_t>(starts),
            pointer<std::int64_t>(counts), pointer<std::int64_t>(indices), pointer<double>(scores)};
}

Lists16 lists16(std::uintptr_t packed, std::uintptr_t scale, std::uintptr_t slack, std::uintptr_t best,
                std::uintptr_t count, std::uintptr_t index, std::uintptr_t estimate, int room) {
    return {pointer<void>(packed), pointer<float>(scale), pointer<float>(slack), pointer<std::int64_t>(best),
            pointer<int>(count), pointer<int>(index), pointer<float>(estimate), room};
}

Filter filter_of(const Lists16& lists, std::uintptr_t y, std::uintptr_t bias, float rho, std::int64_t rows,
                 std::int64_t targets, int width) {
    return {lists, pointer<const void>(y), pointer<const float>(bias), rho, rows, targets, width};
}

Packing packing(const Matrix& x, std::uintptr_t weights, const Lists16& lists, std::int64_t rows, std::int64_t depth,
                int width) {
    return {x, pointer<const float>(weights), lists, rows, depth, width};
}

Decision decision(const Matrix& x, const Matrix& y, std::uintptr_t h, const Lists16& lists, std::int64_t rows,
                  std::int64_t targets, std::int64_t depth, std::uintptr_t winners, std::uintptr_t scores, bool walk) {
    return {x, y, pointer<const double>(h), lists, rows, targets, depth, pointer<std::int64_t>(winners),
            pointer<double>(scores), walk};
}

Pairs pairs(const Matrix& x, const Matrix& y, std::uintptr_t h, std::int64_t depth, std::uintptr_t rows,
            std::uintptr_t targets, std::uintptr_t scores, std::int64_t count) {
    return {x, y, pointer<const double>(h), depth, pointer<const std::int64_t>(rows),
            pointer<const std::int64_t>(targets), pointer<double>(scores), count};
}

Normals normals_of(std::uint64_t seed, std::uint64_t first, std::uint32_t stream, std::uintptr_t out,
                   std::int64_t rows, std::int64_t depth) {
    return {seed, first, stream, pointer<float>(out), rows, depth};
}

void bind_filter(py::module_& module) {
    using namespace pybind11::literals;
    py::enum_<Kernel>(module, "Kernel")
        .value("sm80", Kernel::kSm80)
        .value("sm90_resident", Kernel::kSm90Resident)
        .value("sm90_streamed", Kernel::kSm90Streamed);
    py::class_<FilterConfig>(module, "FilterConfig")
        .def_readonly("kernel", &FilterConfig::kernel)
        .def_readonly("block_rows", &FilterConfig::block_rows)
        .def_readonly("block_targets", &FilterConfig::block_targets)
        .def_readonly("section", &FilterConfig::section)
        .def_readwrite("splits", &FilterConfig::splits)
        .def_readwrite("group", &FilterConfig::group)
        .def_readwrite("programs", &FilterConfig::programs);
    py::class_<Lists16>(module, "Lists16").def(py::init(&lists16), "packed"_a, "scale"_a, "slack"_a, "best"_a, "count"_a, "index"_a, "estimate"_a, "room"_a);
    py::class_<Filter>(module, "Filter").def(py::init(&filter_of), "lists"_a, "y"_a, "bias"_a, "rho"_a, "rows"_a, "targets"_a, "width"_a);
    py::class_<Packing>(module, "Packing").def(py::init(&packing), "x"_a, "weights"_a, "lists"_a, "rows"_a, "depth"_a, "width"_a);
    py::class_<Decision>(module, "Decision").def(py::init(&decision), "x"_a, "y"_a, "h"_a, "lists"_a, "rows"_a, "targets"_a, "depth"_a, "winners"_a, "scores"_a, "walk"_a);
    py::class_<Pairs>(module, "Pairs").def(py::init(&pairs), "x"_a, "y"_a, "h"_a, "depth"_a, "rows"_a, "targets"_a, "scores"_a, "count"_a);
    py::class_<Normals>(module, "Normals").def(py::init(&normals_of), "seed"_a, "first"_a, "stream"_a, "out"_a, "rows"_a, "depth"_a);

    using Release = py::call_guard<py::gil_scoped_release>;
    module.def("filter_configuration", &filter_configuration, "rows"_a, "targets"_a, "width"_a, "major"_a, "processors"_a);
    module.def("filter", [](const Filter& f, const FilterConfig& c, const Launch& l) { return result(filter(f, c, l)); });
    module.def("pack", [](const Packing& p, const Launch& l) { return result(pack(p, l)); });
    module.def("decide", [](const Decision& d, const Launch& l) { return result(decide(d, l)); });
    module.def("pair_scores", [](const Pairs& p, const Launch& l) { return result(pair_scores(p, l)); });
    module.def("normals", [](const Normals& n, const Launch& l) { return result(normals(n, l)); });
    module.def("filter_on_host", &filter_on_host, Release());
    module.def("pack_on_host", &pack_on_host, Release());
    module.def("decide_on_host", &decide_on_host, Release());
    module.def("pair_scores_on_host", &pair_scores_on_host, Release());
    module.def("normals_on_host", &normals_on_host, Release());
}

Launch launch(int device, std::uintptr_t stream) { return {device, pointer<void>(stream)}; }

py::tuple count_devices() {
    int count = 0;
    const Status status = device_count(&count);
    return py::make_tuple(count, status.code, status.call, status.message);
}

py::tuple info(int index) {
    Device device = {};
    const Status status = device_info(index, &device);
    py::dict facts;
    if (status.code == 0) {
        facts["name"] = device.name;
        facts["capability"] = py::make_tuple(device.major, device.minor);
        facts["processors"] = device.processors;
        facts["bytes"] = device.bytes;
    }
    return py::make_tuple(facts, status.code, status.call, status.message);
}

}  // namespace

PYBIND11_MODULE(_cuda, module) {
    module.doc() = "Compiled CUDA verbs of brenier: raw pointers in, status out, everything validated in Python.";
    module.attr("architectures") = BRENIER_CUDA_BUILT_FOR;
    py::class_<Matrix>(module, "Matrix")
        .def(py::init(&matrix), py::arg("data"), py::arg("element"), py::arg("row_stride"),
             py::arg("depth_stride"));
    py::class_<Problem>(module, "Problem")
        .def(py::init(&problem), py::arg("x"), py::arg("y"), py::arg("h"), py::arg("rows"), py::arg("targets"),
             py::arg("depth"), py::arg("splits"));
    py::class_<Best>(module, "Best").def(py::init(&best), py::arg("scores"), py::arg("winners"));
    py::class_<Lists>(module, "Lists")
        .def(py::init(&lists), py::arg("thresholds"), py::arg("starts") = 0, py::arg("counts") = 0,
             py::arg("indices") = 0, py::arg("scores") = 0);
    py::class_<Launch>(module, "Launch").def(py::init(&launch), py::arg("device"), py::arg("stream"));

    using Release = py::call_guard<py::gil_scoped_release>;
    module.def("splits_for", &splits_for, py::arg("rows"), py::arg("targets"), py::arg("processors"));
    module.def("device_count", &count_devices);
    module.def("device_info", &info, py::arg("index"));
    module.def("assign", [](const Problem& p, const Best& b, const Launch& l) { return result(assign(p, b, l)); });
    module.def("count", [](const Problem& p, const Lists& m, const Launch& l) { return result(count(p, m, l)); });
    module.def("fill", [](const Problem& p, const Lists& m, const Launch& l) { return result(fill(p, m, l)); });
    module.def("assign_on_host", &assign_on_host, Release());
    module.def("count_on_host", &count_on_host, Release());
    module.def("fill_on_host", &fill_on_host, Release());
    bind_filter(module);
    bind_auction(module, &result);
}
