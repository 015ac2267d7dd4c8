# What people and CI run. `make setup` needs the network once; after that everything works offline.
# Plain sh and GNU make 3.81 (macOS) are enough.

PYTHON ?= python3
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
SHOP := examples/shop
USERS_DB := examples/users_db
NATIVE := $(shell find native -name '*.rs' -o -name Cargo.toml)
BUILT := $(VENV)/.built

# The binding crate asks this interpreter how to build, also where cargo is called without maturin.
export PYO3_PYTHON := $(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The linters of workflows, at versions whose rules are known. They are fetched when they are first needed.
ACTIONLINT := 1.7.10
ZIZMOR := 1.32.0
WORKFLOWS := $(wildcard .github/workflows/*.yml docs/examples/*.yml)
ACTIONS := action.yml report/action.yml

.PHONY: help setup perf demo-regression shop-baseline test check fmt lint lint-workflows bench bench-frameworks
.PHONY: bench-database clean

help:
	@echo "make setup            make $(VENV) and build the package into it (only what changed)"
	@echo "make perf             measure the example app and compare it with this hardware's baseline"
	@echo "make demo-regression  the same with a planted slowdown: ends red, as it should"
	@echo "make test             all tests: Rust, Python, the example's"
	@echo "make check            what CI checks besides: format, lints, docs, types, the stub"
	@echo "make fmt / lint       format the code / only the lints, those of the workflows too"
	@echo "make bench            the benchmarks of the project itself"
	@echo "make bench-frameworks beside other frameworks (SECONDS=30 of load a row, in ROUNDS=6); docs/benchmarks.md"
	@echo "make bench-database   the same with PostgreSQL, beside FastAPI and Axum"
	@echo "make clean            remove what was built (not $(VENV), not baselines)"

setup: $(BUILT)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(BUILT): $(BIN)/python pyproject.toml Cargo.toml Cargo.lock $(NATIVE)
	@test -x $(BIN)/maturin || $(BIN)/python -m pip install --quiet 'maturin>=1.9,<2'
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --extras dev
	@touch $@

shop-baseline: setup
	@cd $(SHOP) && profile=$$($(BIN)/pytest-fastr profile --slug) && \
	if [ -d "baselines/$$profile" ]; then \
		echo "Comparing with the baseline of this hardware: $(SHOP)/baselines/$$profile"; \
	else \
		echo "This hardware ($$profile) has no baseline yet: storing three sessions first (git ignores them)."; \
		for session in 1 2 3; do \
			$(BIN)/python -m pytest --perf --perf-update tests/perf || { rm -rf "baselines/$$profile"; exit 1; }; \
		done; \
	fi

perf: shop-baseline
	@cd $(SHOP) && $(BIN)/python -m pytest --perf tests/perf

demo-regression: shop-baseline
	@echo "Planting 20 % more work in GET /search: the build below is meant to end red."
	@cd $(SHOP) && SHOP_SLOWDOWN=/search:20 $(BIN)/python -m pytest --perf tests/perf; code=$$?; \
	if [ $$code -eq 1 ]; then \
		echo "Red, as intended: this target fails with pytest's exit code, as a real build would."; \
	else \
		echo "Not the red build that was intended: pytest ended with $$code."; \
	fi; \
	exit $$code

test: setup
	cargo test --locked
	$(BIN)/python -m pytest
	cd $(SHOP) && $(BIN)/python -m pytest
	cd $(USERS_DB) && $(BIN)/python -m pytest

check: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --allowlist tests/stubtest_allowlist.txt pytest_fastr._native

lint: setup
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(BIN)/ruff check
	@$(MAKE) --no-print-directory lint-workflows

# Without network or Go this says what it leaves out and goes on; in CI (`CI` is set) that is a failure.
lint-workflows: $(BIN)/python
	@test -x $(BIN)/actionlint || \
		GOBIN=$(BIN) go install github.com/rhysd/actionlint/cmd/actionlint@v$(ACTIONLINT) || \
		{ echo "actionlint is left out: 'go install' cannot have it here (is Go there, and the network?)." >&2; \
		test -z "$$CI"; }
	@test -x $(BIN)/zizmor || $(BIN)/python -m pip install --quiet 'zizmor==$(ZIZMOR)' || \
		{ echo "zizmor is left out: pip cannot install it here (is the network there?)." >&2; test -z "$$CI"; }
	@if test -x $(BIN)/actionlint; then $(BIN)/actionlint $(WORKFLOWS); fi
	@if test -x $(BIN)/zizmor; then $(BIN)/zizmor --offline --quiet --no-progress $(WORKFLOWS) $(ACTIONS); fi

fmt: setup
	cargo fmt --all
	$(BIN)/ruff check --select I --fix
	$(BIN)/ruff format

bench: setup
	$(BIN)/python -m pytest benchmarks --benchmark-only
	$(BIN)/python benchmarks/engine_vs_uvicorn.py

# Further options in ARGS, such as ARGS="--only ours-face,axum"; `python -m published --help` has them.
SECONDS ?= 30
ROUNDS ?= 6
ARGS ?=

bench-frameworks bench-database: setup
	PYTHONPATH=benchmarks:$(USERS_DB) $(BIN)/python -m published $(@:bench-%=%) --seconds $(SECONDS) --rounds $(ROUNDS) $(ARGS)

clean:
	rm -rf target dist .pytest_cache .mypy_cache .ruff_cache .benchmarks $(BUILT)
	find pytest_fastr tests benchmarks examples -name __pycache__ -prune -exec rm -rf {} +
	rm -f pytest_fastr/_native*.so
