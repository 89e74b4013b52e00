# Everything runs in .venv, which the first target that needs it sets up: Python 3.11, pip, gcc, g++, make and git suffice.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(wildcard csrc/* csrc/*/*) setup.py pyproject.toml

.PHONY: demo test test-gpu test-kills test-clang test-arm test-sanitizers dev lint format bench bench-gpu clean

demo: $(VENV)/run.stamp
	$(BIN)/copytrace demo

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist worksteal

# What needs an NVIDIA GPU; everywhere else these tests are skipped. TensorRT builds its engines first, which takes minutes.
test-gpu: $(VENV)/gpu.stamp
	$(BIN)/python -m pytest -q -m gpu

# The service killed 50 times under load; some minutes. `make test` has a short form of it.
test-kills: $(VENV)/dev.stamp
	$(BIN)/python tests/kills.py --kills 50

# The native core without Python: by another compiler, and for another processor (Debian's clang, g++-aarch64-linux-gnu and
# qemu-user). Not part of `make test`.
CORE := $(filter-out csrc/bind%,$(wildcard csrc/*.cpp)) tests/native/core_check.cpp
CORE_FLAGS := -std=c++17 -O3 -Wall -Wextra -Icsrc -pthread

build/core_check_clang: $(CORE) $(wildcard csrc/*.hpp) Makefile
	mkdir -p build
	clang++ $(CORE_FLAGS) -ffp-contract=on $(CORE) -o $@

build/core_check_arm: $(CORE) $(wildcard csrc/*.hpp) Makefile
	mkdir -p build
	aarch64-linux-gnu-g++ $(CORE_FLAGS) -ffp-contract=fast -static $(CORE) -o $@

# Data races, memory and undefined behaviour; slow.
build/core_check_%: $(CORE) $(wildcard csrc/*.hpp) Makefile
	mkdir -p build
	$(CXX) $(CORE_FLAGS) -O1 -g -ffp-contract=fast -fsanitize=$* -fno-sanitize-recover=all $(CORE) -o $@

test-sanitizers: build/core_check_thread build/core_check_address,undefined
	for program in $^; do $$program || exit 1; done

test-clang: build/core_check_clang
	$<

test-arm: build/core_check_arm
	qemu-aarch64 $<

dev: $(VENV)/dev.stamp
	$(BIN)/pre-commit install

lint: $(VENV)/dev.stamp $(VENV)/lint/copytrace
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror csrc/*.cpp csrc/*.hpp csrc/*/*.cpp csrc/*/*.hpp

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i csrc/*.cpp csrc/*.hpp csrc/*/*.cpp csrc/*/*.hpp

bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks

# On a machine with a graphics card; the record goes to benchmarks/results. Minutes, more where TensorRT builds its engines.
bench-gpu: $(VENV)/gpu.stamp
	$(BIN)/python -m benchmarks.gpu

clean:
	rm -rf $(VENV) build *.egg-info
	find engine export train -name '*.so' -delete

# The libraries for cards take the place of those for the CPU, which have the same names.
$(VENV)/gpu.stamp: $(VENV)/dev.stamp
	$(BIN)/pip uninstall -q -y onnxruntime faiss-cpu
	$(BIN)/pip install -q -e '.[gpu]'
	$(BIN)/pip install -q --force-reinstall --no-deps 'onnxruntime-gpu>=1.27'
	touch $@

# mypy needs to see the folders under the names they are installed by.
$(VENV)/lint/copytrace: | $(BIN)/python
	mkdir -p $@
	for folder in engine export train; do ln -sfn ../../../$$folder $@/$$folder; done

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)

$(VENV)/run.stamp: $(BIN)/python $(SOURCES)
	$(BIN)/pip install -q -e '.[cpu]'
	touch $@

# torch first and pinned: resolved together with the rest, a newer build with gigabytes of CUDA could be chosen.
$(VENV)/dev.stamp: $(BIN)/python $(SOURCES)
	$(BIN)/pip install -q torch==2.13.0 torchvision==0.28.0
	$(BIN)/pip install -q -e '.[dev]'
	touch $@ $(VENV)/run.stamp
