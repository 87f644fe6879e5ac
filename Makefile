# make demo   set up, build, export the bundled demo model, run it
# make test   everything that is tested
# make lint   formats, types, warnings, sanitizers
# make fuzz   libFuzzer on the container and every decoder, FUZZ_SECONDS (1200) of CPU time each; needs clang
# make mutate mutated packages, sources and answers by the thousand; MUTATE="--seed 2 --only gguf" and the like
# make compatibility   a table of Pythons and onnxruntimes that export and run; needs a package index
# make bench  the benchmarks that run anywhere in a minute
# make faults exports killed, and disks full, at hundreds of moments: nothing is lost; minutes
# make soak   sessions on a device that fails and is slow at random: SOAK_SECONDS (600)
# make wheel, make wheel-arm64   the wheels for this machine and for 64-bit Arm, into dist/
# make release   both wheels, sdist, SHA256SUMS and notes, in dist/, after make abi
# make abi, make abi-accept   compare the C API with that of the last release; make it the reference; needs libabigail
# make coverage  which lines the tests run, Python and C++, into build/coverage/; COVERAGE_TESTS="tests/test_x.py" for some of them
# make test-cgroup2   memory and read limits under control groups v2, in an emulated machine; needs root, minutes
# make test-board   deploy, run and report on an emulated 64-bit Arm board, packages from a real index; needs root, network

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE_SOURCES := $(shell find native -name '*.cc' -o -name '*.h' -o -name 'CMakeLists.txt' -o -name '*.map' -o -name '*.cmake')
ORT_1_23 := build/ort-1.23.2
# The same sources are compiled for the package, its tests and the wheels: once, where ccache is installed.
CCACHE := $(shell command -v ccache)
ifneq ($(CCACHE),)
export CMAKE_CXX_COMPILER_LAUNCHER ?= $(CCACHE)
endif

.PHONY: demo test lint format bench native-test sanitize tsan fuzz fuzz-replay mutate faults soak clean setup compatibility wheel wheel-arm64 release abi abi-accept coverage \
  test-board test-cgroup2

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml $(NATIVE_SOURCES)
	PYTHON=$(PYTHON) native/system_packages.sh
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c 'import sys; assert sys.version_info >= (3, 10), "Python 3.10 or newer is needed"'
	$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[test,lint]'
	touch $@

demo: setup
	$(BIN)/lpc-export examples/demo_model --out out/demo --force
	$(BIN)/lpc-run out/demo --prompt "Once upon a time" --max-tokens 120 --greedy

# The oldest supported onnxruntime beside the newest; where it has no wheel for this Python its tests skip.
$(ORT_1_23)/.installed: $(VENV)/.installed
	-$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --upgrade \
	  --target $(ORT_1_23) onnxruntime==1.23.2 && touch $@

TEST_PROCESSES ?= 2

test: setup native-test fuzz-replay
	@$(MAKE) --no-print-directory $(ORT_1_23)/.installed
	native/system_packages.sh tests
	LPC_ORT_1_23=$(abspath $(ORT_1_23)) $(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile

CMAKE_NATIVE = $(BIN)/cmake -S native -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) -DLPC_BUILD_TESTS=ON

native-test: setup
	$(CMAKE_NATIVE) -B build/native-test
	$(BIN)/cmake --build build/native-test
	$(BIN)/ctest --test-dir build/native-test --output-on-failure

# -O1 compiles in two thirds of the time of -O2, and compiling is most of what this takes.
CMAKE_SANITIZE = $(CMAKE_NATIVE) -B build/sanitize -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS="-O1 -g1" -DLPC_SANITIZE=address,undefined

sanitize: setup
	$(CMAKE_SANITIZE)
	$(BIN)/cmake --build build/sanitize
	$(BIN)/ctest --test-dir build/sanitize --output-on-failure

# Races: several sessions that load, run, are cancelled and end, and everything else that has threads. onnxruntime's wheel is
# built without ThreadSanitizer, so the atomics that order its threads are not seen: what it allocates in one thread and frees
# in another is not looked at (ignore_interceptors_accesses); locks are, and every access of ours.
THREADED_TESTS := sessions_test store_test store_wants_test store_faults_test parallel_test

tsan: setup
	$(CMAKE_NATIVE) -B build/tsan -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS="-O1 -g1" -DLPC_SANITIZE=thread
	$(BIN)/cmake --build build/tsan --target lpc $(THREADED_TESTS)
	$(BIN)/ctest --test-dir build/tsan --output-on-failure -j 4 \
	  --tests-regex "^($(subst $() ,|,$(THREADED_TESTS)))$$"
	$(BIN)/lpc-export examples/demo_model --out build/tsan/demo --codec lz4 --force
	rm -f build/tsan/report.*
	LPC_LIBRARY=build/tsan/liblpc.so LD_PRELOAD=$(shell $(CXX) -print-file-name=libtsan.so) \
	  TSAN_OPTIONS="exitcode=66 log_path=build/tsan/report ignore_interceptors_accesses=1" \
	  $(BIN)/python tests/faults/sessions.py build/tsan/demo || { cat build/tsan/report.*; exit 1; }

# The fuzz targets on the golden files and on fixed mutations of them, with any compiler.
fuzz-replay: setup
	$(CMAKE_SANITIZE)
	$(BIN)/cmake --build build/sanitize --target fuzz_replay
	build/sanitize/fuzz/fuzz_replay tests/golden

CLANG ?= $(shell command -v clang++ || command -v clang++-19 || command -v clang++-16 || command -v clang++-14)
FUZZ_SECONDS ?= 1200
FUZZ_JOBS ?= 1

fuzz: setup
	CLANG=$(CLANG) native/system_packages.sh fuzz
	$(CMAKE_NATIVE) -B build/fuzz -DCMAKE_CXX_COMPILER=$(or $(CLANG),clang++) -DCMAKE_BUILD_TYPE=RelWithDebInfo \
	  -DLPC_BUILD_TESTS=OFF -DLPC_BUILD_FUZZERS=ON -DLPC_SANITIZE=address,undefined,fuzzer-no-link
	$(BIN)/cmake --build build/fuzz --target fuzzers
	$(BIN)/python native/fuzz/run.py build/fuzz --seconds $(FUZZ_SECONDS) --jobs $(FUZZ_JOBS)

mutate: setup
	PYTHONPATH=tests $(BIN)/python -m mutate $(MUTATE)

faults: setup
	$(BIN)/python tests/faults/harness.py --kills $(or $(KILLS),50) --full $(or $(FULL),20)

SOAK_SECONDS ?= 600

soak: demo
	PYTHONPATH=tests $(BIN)/python -m faults.soak --seconds $(SOAK_SECONDS)

lint: setup
	$(BIN)/ruff check boards edge_runtime exporters native tests benchmarks examples
	$(BIN)/ruff format --check boards edge_runtime exporters native tests benchmarks examples
	$(BIN)/mypy
	$(BIN)/python native/check_includes.py
	$(BIN)/lint-imports
	find native \( -name '*.cc' -o -name '*.h' \) -print0 | xargs -0 $(BIN)/clang-format --dry-run --Werror
	@$(MAKE) --no-print-directory sanitize tsan

format: setup
	$(BIN)/ruff format boards edge_runtime exporters native tests benchmarks examples
	find native \( -name '*.cc' -o -name '*.h' \) -print0 | xargs -0 $(BIN)/clang-format -i

# The demo model, and a folder of 0.1.0, with every Python on PATH and the oldest and the newest onnxruntime.
compatibility: setup
	$(BIN)/python benchmarks/compatibility.py

bench: demo
	$(BIN)/lpc-bench run out/demo -p 128 -n 64 -r 3

wheel:
	PYTHON=$(PYTHON) native/wheel/make_wheel.sh $(shell uname -m)

wheel-arm64:
	PYTHON=$(PYTHON) native/wheel/make_wheel.sh aarch64

release: setup abi wheel wheel-arm64
	$(BIN)/python native/wheel/release.py dist

abi:
	native/system_packages.sh abi
	$(PYTHON) native/abi/abi.py check

abi-accept:
	native/system_packages.sh abi
	$(PYTHON) native/abi/abi.py accept

COVERAGE_TESTS ?= tests
GCOVR := $(BIN)/gcovr --root native --object-directory build/coverage/native --exclude 'native/(tests|fuzz)/.*'

# The native tests and the Python ones both count for C++: these load the library that is built for it.
coverage: setup
	$(BIN)/python -m pip install -qq --disable-pip-version-check 'coverage[toml]>=7.10' 'gcovr>=7' 'pytest-cov>=6'
	$(CMAKE_NATIVE) -B build/coverage/native -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS="-O1 -g1 --coverage -fprofile-update=atomic"
	$(BIN)/cmake --build build/coverage/native
	find build/coverage/native -name '*.gcda' -delete
	$(BIN)/ctest --test-dir build/coverage/native --output-on-failure
	LPC_LIBRARY=$(abspath build/coverage/native/liblpc.so) $(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile $(COVERAGE_TESTS) \
	  --cov --cov-report=html:build/coverage/python --cov-report=term:skip-covered
	$(GCOVR) --txt build/coverage/native.txt --txt-summary --html-details build/coverage/native.html

test-cgroup2: setup
	tests/cgroup2/run.sh

BOARD_ROOT ?= build/board/root

test-board: setup wheel-arm64
	tests/board/make_root.sh $(BOARD_ROOT)
	LPC_TEST_PACKAGES=1 LPC_BOARD_ROOT=$(BOARD_ROOT) $(BIN)/pytest -v tests/test_remote_emulated.py tests/test_remote_packages.py

clean:
	rm -rf build out $(VENV)
