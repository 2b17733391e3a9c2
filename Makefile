# Everything a checkout can do, from nothing but python3 (3.11 or later), cargo, make and a C compiler.
#
# The virtual environment (.venv) and cargo's target folder are made on first use and used again after.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUST_SOURCES := Cargo.toml Cargo.lock $(shell find crates -type f)

.PHONY: help demo test check bench bench-guard fuzz build clean

help:
	@echo "make demo    a tour in the terminal: round trips, speed, and a malicious pickle met"
	@echo "make test    all tests"
	@echo "make check   formatting, lints, docs and types, of Rust and Python"
	@echo "make bench   speed beside C pickle and others: all of it takes about 20 minutes (less with ROUNDS=3)"
	@echo "make bench-guard  count instructions, and compare with the stored counts (needs valgrind)"
	@echo "make fuzz    a longer run of the randomised tests"
	@echo "make build   the environment and the native module"
	@echo "make clean   remove what the other targets made"

# The environment, everything torshi's tests and checks use in it, and torshi itself as an editable package.
# Its output is shown only where something went wrong.
$(VENV)/built: pyproject.toml $(RUST_SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit("torshi needs Python 3.11 or later") if sys.version_info < (3, 11) else None'
	@echo "building (a minute or two the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/maturin || $(BIN)/python -m pip install --quiet --disable-pip-version-check "maturin>=1.9,<2"
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/maturin develop --release --locked --extras demo,test,science,dev \
	  >$(VENV)/build.log 2>&1 || { cat $(VENV)/build.log; exit 1; }
	@touch $@

build: $(VENV)/built

demo: build
	@$(BIN)/python examples/demo.py

test: build
	cargo test --locked --quiet -p torshi-core -p torshi-file -p torshi-scan
	$(BIN)/python -m pytest --quiet
	@echo "make test: everything passed"

check: build
	cargo fmt --all --check
	PYO3_PYTHON="$(CURDIR)/$(BIN)/python" cargo clippy --locked --quiet --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet --no-deps -p torshi-core -p torshi-file -p torshi-scan
	PYO3_PYTHON="$(CURDIR)/$(BIN)/python" cargo test --locked --quiet -p torshi-python
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest torshi --allowlist tests/stubtest-allowlist.txt --ignore-unused-allowlist --ignore-disjoint-bases --mypy-config-file pyproject.toml
	@echo "make check: everything passed"

# The peers, read from the extra of that name: installing torshi[bench] would build torshi once more. Without them the
# benchmarks run as well, and name what is missing.
$(VENV)/bench: pyproject.toml | $(VENV)/built
	@$(BIN)/python -c 'import tomllib; print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["bench"]))' \
	  >$(VENV)/bench.txt
	@if $(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(VENV)/bench.txt; then touch $@; \
	  else echo "some peers could not be installed: they are left out"; fi

ROUNDS ?= 10
FIGURES := target/bench

bench: build $(VENV)/bench
	@mkdir -p $(FIGURES)
	$(BIN)/python benchmarks/speed.py --suite all --rounds $(ROUNDS) --json $(FIGURES)/speed.json --markdown $(FIGURES)/speed.md
	$(BIN)/python benchmarks/files.py --rounds $(ROUNDS) --json $(FIGURES)/files.json --markdown $(FIGURES)/files.md
	$(BIN)/python benchmarks/store.py --rounds $(ROUNDS) --json $(FIGURES)/store.json --markdown $(FIGURES)/store.md
	$(BIN)/python benchmarks/floors.py --rounds $(ROUNDS) --json $(FIGURES)/floors.json --markdown $(FIGURES)/floors.md
	$(BIN)/python benchmarks/check_speed.py --json $(FIGURES)/check.json --markdown $(FIGURES)/check.md
	$(BIN)/python benchmarks/plot.py $(FIGURES)/speed.json $(FIGURES)/speed.svg
	@echo "make bench: tables and a picture are in $(FIGURES)"

bench-guard: build
	$(BIN)/python benchmarks/guard.py

fuzz: build
	TORSHI_FUZZ=1 $(BIN)/python -m pytest --quiet tests/test_fuzz.py
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -W ignore -m science.fuzz_state --mutants 20000

clean:
	rm -rf $(VENV) target dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f python/torshi/_native*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
