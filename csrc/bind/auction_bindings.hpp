// Assignment on the device for _cuda: addresses as integers.
#pragma once

#include <pybind11/pybind11.h>

#include "cuda/auction.hpp"

namespace brenier::cuda {

inline AuctionProblem auction_problem(std::uintptr_t table, std::uintptr_t scores, bool is_float64, bool maximize,
                                      int problems, int largest, std::int64_t rows, double gap, int most_rounds) {
    return {reinterpret_cast<const std::int64_t*>(table), reinterpret_cast<const void*>(scores), is_float64, maximize,
            problems, largest, rows, gap, most_rounds};
}

inline AuctionMemory auction_memory(std::uintptr_t cost, std::uintptr_t top, std::uintptr_t column_sum,
                                    std::uintptr_t list_column, std::uintptr_t list_cost, std::uintptr_t bound,
                                    std::uintptr_t price, std::uintptr_t permutation, std::uintptr_t scratch,
                                    std::uintptr_t facts) {
    const auto ints = [](std::uintptr_t address) { return reinterpret_cast<std::int32_t*>(address); };
    const auto longs = [](std::uintptr_t address) { return reinterpret_cast<std::int64_t*>(address); };
    return {ints(cost), reinterpret_cast<double*>(top), longs(column_sum), ints(list_column), ints(list_cost),
            ints(bound), ints(price), longs(permutation), ints(scratch), longs(facts)};
}

template <class Result>
void bind_auction(pybind11::module_& module, Result result) {
    using namespace pybind11::literals;
    namespace py = pybind11;
    py::enum_<Team>(module, "Team").value("block", Team::kBlock).value("cluster", Team::kCluster).value("grid", Team::kGrid);
    py::class_<AuctionConfig>(module, "AuctionConfig")
        .def(py::init([](Team team, int blocks, int threads) { return AuctionConfig{team, blocks, threads}; }), "team"_a,
             "blocks"_a, "threads"_a)
        .def_readonly("team", &AuctionConfig::team)
        .def_readonly("blocks", &AuctionConfig::blocks)
        .def_readonly("threads", &AuctionConfig::threads);
    py::class_<AuctionProblem>(module, "AuctionProblem")
        .def(py::init(&auction_problem), "table"_a, "scores"_a, "is_float64"_a, "maximize"_a, "problems"_a, "largest"_a,
             "rows"_a, "gap"_a, "most_rounds"_a);
    py::class_<AuctionMemory>(module, "AuctionMemory")
        .def(py::init(&auction_memory), "cost"_a, "top"_a, "column_sum"_a, "list_column"_a, "list_cost"_a, "bound"_a,
             "price"_a, "permutation"_a, "scratch"_a, "facts"_a);
    module.attr("AUCTION_LISTED") = kListed;
    module.attr("AUCTION_FACTS") = kFacts;
    module.attr("AUCTION_WORDS") = py::make_tuple(kScratchWords, kControlWords);

    using Release = py::call_guard<py::gil_scoped_release>;
    module.def("auction_configuration", &auction_configuration, "largest"_a, "problems"_a, "major"_a, "processors"_a);
    module.def("quantise", [result](const AuctionProblem& p, const AuctionMemory& m, const Launch& l) { return result(quantise(p, m, l)); });
    module.def("auction", [result](const AuctionProblem& p, const AuctionMemory& m, const AuctionConfig& c, const Launch& l) {
        return result(auction(p, m, c, l));
    });
    module.def("quantise_on_host", &quantise_on_host, Release());
    module.def("auction_on_host", &auction_on_host, Release());
}

}  // namespace brenier::cuda
