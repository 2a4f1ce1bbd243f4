// _cuda: pointers and stream as integers in, (code, call, message) out. Importing it touches no driver.
#include <pybind11/pybind11.h>

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
}
