# make demo   the main job in a few minutes: find categories, pre-train, fine-tune, compare
# make test   build, lint, type checks, Rust and Python tests
# make wheel  a wheel for Python 3.10 and later, in dist/
# make bench  measures everything beside its peers: benches/RESULTS.md (a quarter of an hour)
#
# An environment that exists can be named instead of made anew (its torch is kept):
#   make test VENV=path/to/venv
# and so can the Python that makes one:  make demo PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
RUN = $(BIN)/python
READY = $(VENV)/.fdsl-ready

.PHONY: demo test lint types rust-test python-test wheel bench miri format tools clean
.DELETE_ON_ERROR:

demo: $(READY)
	@$(RUN) examples/demo.py --out demo

test: lint types rust-test python-test

lint: $(READY)
	cargo fmt --check
	cargo clippy --quiet --all-targets --all-features -- -D warnings
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(READY)
	$(RUN) -m mypy
	$(RUN) -m mypy.stubtest fdsl._core

rust-test: tools
	cargo test --quiet

python-test: $(READY)
	$(RUN) -m pytest

wheel: $(READY)
	$(RUN) -m maturin build --release --out dist

bench: $(READY)
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(RUN) benches/run.py

# Every access to memory of what is unsafe, by Miri (rustup component add --toolchain nightly miri).
miri:
	RUSTFLAGS="-Ctarget-feature=+avx2" cargo +nightly miri test --lib -- simd canvas::tests small_picture

format: $(READY)
	cargo fmt
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

# Installed anew when the package changed; editable, so Python files need no new install.
$(READY): pyproject.toml Cargo.toml Cargo.lock $(shell find rust -name '*.rs') | tools $(RUN)
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[study,export,dev]'
	@touch $@

clean:
	rm -rf target dist demo
