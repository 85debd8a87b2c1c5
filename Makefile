# SPDX-License-Identifier: Apache-2.0
# A thin front door to meson. `make test` needs only git and make: it installs what is missing, builds and tests.

BUILD ?= build
MESON_FLAGS ?=
CLANG = CC=clang CXX=clang++

.PHONY: all demo packages check-packages bench-programs bench bench-peers evidence guide test check asan \
  fuzz tidy cppcheck format install clean

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

packages:
	@tools/setup.sh

check-packages:
	@tools/setup.sh --check

$(BUILD)/build.ninja: | packages
	meson setup $(BUILD) $(MESON_FLAGS)

build-asan/build.ninja: | packages
	meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1 $(MESON_FLAGS)

build-clang/build.ninja: | check-packages
	$(CLANG) meson setup build-clang -Dwerror=true $(MESON_FLAGS)

# The quick suites; the last line is "N passed, N failed, N skipped".
test: $(BUILD)/build.ninja
	@tests/run.py $(BUILD)

# The same under AddressSanitizer and UndefinedBehaviorSanitizer.
asan: build-asan/build.ninja
	@tests/run.py build-asan

# Every fuzz target for T seconds with libFuzzer, from the seeds in the tree and what former runs have found.
T ?= 60

build-fuzz/build.ninja: | check-packages
	$(CLANG) meson setup build-fuzz -Dfuzz=true -Dc_args='-fsanitize=fuzzer-no-link -Wno-pass-failed' -Db_sanitize=address,undefined \
	  -Db_lundef=false -Doptimization=1 $(MESON_FLAGS)

fuzz: build-fuzz/build.ninja
	ninja -C build-fuzz $(patsubst tests/fuzz/fuzz_%.c,tests/fuzz-%,$(wildcard tests/fuzz/fuzz_*.c))
	@tests/fuzz/run.sh build-fuzz $(T)

# The tables of docs/performance.md, for a machine that has nothing else to do. FLAGS: see bench/bench.py.
# Models come from PENUMBRA_MODELS, else they are made in the build folder, which takes minutes.
FLAGS ?=
bench-programs: $(BUILD)/build.ninja
	@tools/setup.sh --bench
	@bench/setup_peers.sh $(BUILD)/peers
	ninja -C $(BUILD) $(patsubst %,bench/bench-%,peak forward occlusion explain region segment)

bench: bench-programs
	@bench/bench.py own --build $(BUILD) $(FLAGS)

bench-peers: bench-programs
	@bench/bench.py peers --build $(BUILD) $(FLAGS)

# docs/evidence.md: every method by every metric. It takes hours; FLAGS="--images 10" and so on take less.
evidence: $(BUILD)/build.ninja
	ninja -C $(BUILD)
	@bench/evidence.py --build $(BUILD) $(FLAGS)

# The pictures of docs/guide.md and docs/gallery.md, by the commands in them.
guide: $(BUILD)/build.ninja
	ninja -C $(BUILD)
	@tools/guide.py $(BUILD)

# All that the continuous integration runs.
check:
	@.ci/run

# Every source with clang's warnings as errors, then with clang-tidy.
tidy: build-clang/build.ninja
	ninja -C build-clang
	@tools/tidy.sh build-clang

cppcheck: | check-packages
	@tools/cppcheck.sh

format: | check-packages
	git ls-files '*.c' '*.h' | xargs clang-format -i

# A radiograph with findings and a healthy one, explained by the built-in model.
demo: all
	$(BUILD)/src/cli/penumbra demo

install: all
	meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-asan build-clang build-fuzz
