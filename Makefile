# Everything a new machine needs: git, make, a C++ compiler, Python >= 3.11.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
STAMP   = $(VENV)/.installed

.PHONY: help demo test test-all native-test native-test-threads native-test-arm lint format bench wheel-test clean

help:
	@echo "make demo        the main job on real data: report in demo/report.html"
	@echo "make test        the default tests (under 10 minutes)"
	@echo "make test-all    with the slow tests"
	@echo "make native-test the compiled verbs under the address, undefined-behaviour and thread sanitizers"
	@echo "make native-test-arm  the same verbs, compiled for AArch64 (NEON), under qemu"
	@echo "make lint        ruff and mypy"
	@echo "make bench       the benchmarks against peers"
	@echo "make wheel-test  builds wheels (with and without CUDA) and tests them outside the source tree"

$(STAMP): pyproject.toml CMakeLists.txt constraints.txt $(shell find csrc -type f)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "brenier needs Python >= 3.11, found " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/brenier demo --out demo

# A worker for every processor, but no more than memory of a small machine holds: some tests take a GiB.
WORKERS ?= --numprocesses auto --maxprocesses 8

test: $(STAMP)
	$(BIN)/python -m pytest $(WORKERS)

test-all: $(STAMP)
	$(BIN)/python -m pytest $(WORKERS) -m 'not gpu'

# 'make native-test' needs CMake on the path; the virtual environment's own works too: pip install cmake.
native-test: SANITIZER = address,undefined
native-test-threads: SANITIZER = thread
native-test: native-test-threads
native-test native-test-threads:
	cmake -S . -B build/$@ -DBRENIER_NATIVE_TEST=ON \
	  -DCMAKE_CXX_FLAGS="-fsanitize=$(SANITIZER) -fno-sanitize-recover=all -g1 -Wno-maybe-uninitialized"
	cmake --build build/$@ --parallel
	build/$@/native_test

# Needs g++-aarch64-linux-gnu and qemu-user of the distribution.
native-test-arm:
	cmake -S . -B build/$@ -DBRENIER_NATIVE_TEST=ON -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
	  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_EXE_LINKER_FLAGS=-static
	cmake --build build/$@ --parallel
	qemu-aarch64 build/$@/native_test

wheel-test: $(STAMP)
	$(BIN)/python -m pytest -m slow tests/test_wheel.py

bench: $(STAMP)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python benchmarks/assign_cpu.py --save
	$(BIN)/python benchmarks/pairing_cpu.py --save
	$(BIN)/python benchmarks/fit_peers.py --save

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist wheelhouse demo
