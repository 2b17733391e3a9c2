# Everything a checkout can do, from nothing but python3 (3.11 or later), cargo, make and a C compiler.
#
# The virtual environment (.venv) and cargo's target folder are made on first use and used again after.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUST_SOURCES := Cargo.toml Cargo.lock $(shell find crates -name '*.rs' -o -name '*.toml')

.PHONY: help demo test check bench fuzz build clean

help:
	@echo "make demo    a tour in the terminal: round trips, speed, and a malicious pickle met"
	@echo "make test    all tests"
	@echo "make check   formatting, lints and types, of Rust and Python"
	@echo "make bench   speed beside C pickle"
	@echo "make fuzz    a longer run of the randomised tests"
	@echo "make build   the environment and the native module"
	@echo "make clean   remove what the other targets made"

# The environment with torshi installed in it as an editable package; this also builds the native module.
$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("torshi needs Python 3.11 or later") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "maturin>=1.9,<2"
	VIRTUAL_ENV= PATH="$(CURDIR)/$(BIN):$$PATH" PYO3_PYTHON="$(CURDIR)/$(BIN)/python" \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable ".[dev]"
	@touch $@ $(VENV)/built

$(VENV)/built: $(VENV)/installed $(RUST_SOURCES)
	VIRTUAL_ENV="$(CURDIR)/$(VENV)" PYO3_PYTHON="$(CURDIR)/$(BIN)/python" $(BIN)/maturin develop --release --locked --quiet
	@touch $@

build: $(VENV)/built

demo: build
	@$(BIN)/python examples/demo.py

test: build
	cargo test --locked --quiet -p torshi-core
	$(BIN)/python -m pytest --quiet
	@echo "make test: everything passed"

check: build
	cargo fmt --all --check
	PYO3_PYTHON="$(CURDIR)/$(BIN)/python" cargo clippy --locked --quiet --workspace --all-targets -- -D warnings
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest torshi --allowlist tests/stubtest-allowlist.txt --ignore-unused-allowlist --ignore-disjoint-bases
	@echo "make check: everything passed"

bench: build
	$(BIN)/python bench/speed.py

fuzz: build
	TORSHI_FUZZ=1 $(BIN)/python -m pytest --quiet tests/test_fuzz.py

clean:
	rm -rf $(VENV) target dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f python/torshi/_native*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
