# make demo      the whole pipeline at a small scale: search, pre-train, fine-tune, compare
# make test      build, Rust tests, Python tests; without the slow ones
# make test-all  make test, and the slow tests
# make check     format, lint, types and the docs, with the versions of constraints.txt
# make format    formats the code, and sorts its imports
# make docs      the site of the documentation, in site/; a broken link fails
# make wheel     a wheel for Python 3.10 and later, in dist/; on Linux for manylinux2014
# make weights   pre-trains the small ResNet that we recommend, in weights/, and writes its model card
# make licenses  the licenses of all crates that a wheel holds; needs cargo install cargo-about
# make bench     compares everything with other libraries: benches/RESULTS.md (about 5 minutes)
#
# The first of them makes an environment in .venv: a few minutes. To use an existing one, which
# keeps its torch:        make test VENV=path/to/venv
# To choose the Python:   make test PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
RUN = $(BIN)/python
READY = $(VENV)/.fdsl-ready
# One process per core, up to four: each holds a copy of torch. A file's tests share fixtures.
PYTEST = $(RUN) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --durations 10
# The oldest glibc that Rust supports: 2.17.
LIBGCC = $(shell cc -print-file-name=libgcc_s.so.1)
MANYLINUX = $(if $(filter Linux,$(shell uname -s)),\
	--zig --compatibility manylinux2014 -- -C link-arg=$(LIBGCC))
# The lints of one release of Rust, where rustup can fetch it.
PINNED = $(if $(shell command -v rustup),+1.95.0)

# Where other programs share the cores, torch's threads that spin while they wait make training four
# times as slow; threads that sleep do not.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test test-all check rust-test python-test slow-test lint types docs wheel weights \
	licenses bench miri format tools clean
.DELETE_ON_ERROR:

demo: $(READY)
	@$(RUN) examples/demo.py --out runs/demo

test: rust-test python-test

test-all: test slow-test

check: lint types docs

rust-test: tools
	cargo test --quiet

python-test: $(READY)
	$(PYTEST) -m "not slow"

slow-test: $(READY)
	$(PYTEST) -m slow

lint: $(READY)
	cargo $(PINNED) fmt --check
	cargo $(PINNED) clippy --quiet --all-targets --all-features -- -D warnings
	$(RUN) -m ruff check .
	$(RUN) -m ruff check --preview --select PLW1514 . # for Windows, text files name their encoding
	$(RUN) -m ruff format --check .
	$(BIN)/codespell

types: $(READY)
	$(RUN) -m mypy
	$(RUN) -m mypy.stubtest fdsl._core

docs: $(READY)
	$(RUN) docs/build.py

# Zig links against the glibc of manylinux2014, whatever the machine has. maturin looks for the
# package ziglang in the Python that comes first. The unwinder must be the system's, not Zig's: up to
# 3.13, Python ends daemon threads with pthread_exit, which unwinds them with the system's.
wheel: $(READY)
	PATH="$(abspath $(BIN)):$$PATH" $(RUN) -m maturin build --release --locked --out dist $(MANYLINUX)

# About 11 minutes on one core. The same command continues a stopped run.
weights: $(READY)
	$(RUN) examples/pretrain.py --preset resnet10s --out weights --resume auto
	$(RUN) examples/model_card.py weights

# After a change of Cargo.toml's dependencies.
licenses:
	cargo about generate --locked --features python --config licenses/about.toml \
		--output-file licenses/THIRD-PARTY.txt licenses/about.hbs
	sed -i 's/[[:blank:]]*$$//' licenses/THIRD-PARTY.txt

bench: $(READY)
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(RUN) benches/run.py

# Every access to memory of what is unsafe, by Miri (rustup component add --toolchain nightly miri).
miri:
	RUSTFLAGS="-Ctarget-feature=+avx2" cargo +nightly miri test --lib -- simd surface:: small_image

format: $(READY)
	cargo $(PINNED) fmt
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

# One sentence instead of a traceback where a tool is missing.
tools:
	@command -v cargo >/dev/null || \
		{ echo "cargo was not found: install Rust from https://rustup.rs, then run make again." >&2; exit 1; }
	@command -v $(PYTHON) >/dev/null || test -x $(RUN) || \
		{ echo "$(PYTHON) was not found: install Python 3.10 or later, or name it with PYTHON=…" >&2; exit 1; }

$(RUN): | tools
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "fdsl needs Python 3.10 or later; $(PYTHON) is older. Name another with PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Again when the package has changed. It is editable: Python files need no new install.
$(READY): pyproject.toml constraints.txt Cargo.toml Cargo.lock $(shell find rust -name '*.rs') \
		| tools $(RUN)
	@echo "Installing fdsl, torch and the tools into $(VENV): minutes the first time."
	$(RUN) -m pip install --disable-pip-version-check --constraint constraints.txt \
		--editable '.[study,export,trainers,dev,docs]'
	@touch $@

# Not the rest of runs/, which holds your own runs.
clean:
	rm -rf target dist site runs/demo
