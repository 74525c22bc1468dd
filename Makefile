# Two commands need nothing but Python 3.11 or newer and make: `make demo` and `make test`.
# Each makes .venv on its first run and finds it ready on the next; PYTHON=... says which interpreter to take.

BIN := .venv/bin

# Without PYTHON the one that .venv has, else the newest that really runs: a shim can be on the PATH and still fail.
PYTHONS := $(or $(PYTHON),$(BIN)/python python3.14 python3.13 python3.12 python3.11 python3 python)
USABLE := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))

define venv
	@for python in $(PYTHONS); do \
	    if "$$python" -c '$(USABLE)' >/dev/null 2>&1; then exec "$$python" tools/bootstrap.py $(1); fi; \
	done; \
	echo "Buoy needs Python 3.11 or newer with its venv module; none of these is: $(PYTHONS)." >&2; \
	echo "Name one with: make $@ PYTHON=/path/to/python3" >&2; \
	exit 1
endef

.PHONY: help demo test check tools sidecar-wheel mutants bench bench-soak fuzz generate format clean test-pythons
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

demo: ## a service calls a faulty provider for about 20 s; then the truth table (DEMO_ARGS=...)
	$(call venv)
	@rm -rf build/demo
	$(BIN)/buoy demo --out build/demo $(DEMO_ARGS)
	$(BIN)/python -m tests.support.judge build/demo

test: ## all tests, and how much of the code they reach (PYTEST_ARGS=... for some of them, without the measuring)
	$(call venv,test)
	@$(BIN)/python tools/servers.py
ifdef PYTEST_ARGS
	$(BIN)/python -m pytest $(PYTEST_ARGS)
else
	@rm -rf build/coverage && mkdir -p build/coverage
	$(BIN)/coverage run -m pytest
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/coverage report --include='*/buoy/policies/*' --fail-under=100
endif

check: ## form, types, floors, and whether the generated files are fresh
	$(call venv,dev)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m tools.generate --check

tools: ## the collector, Prometheus and Alertmanager, built once into ~/.cache/buoy (TOOLS=promtool for some; some 15 min)
	$(call venv)
	@$(BIN)/python -m tools.binaries $(TOOLS)

sidecar-wheel: ## the wheel buoy-sidecar, with the collector built for this platform, in dist/
	$(call venv)
	@$(BIN)/python -m tools.binaries.wheel

mutants: ## break the decisions in every small way: a test must notice each (MUTANTS=breaker for one module; some 15 min)
	$(call venv,dev)
	$(BIN)/python -m tools.mutants $(MUTANTS)

bench: ## CPU per decision; CPU per call above raw aiohttp, beside what one composes instead of Buoy (BENCH_ARGS=...)
	$(call venv,test)
	$(BIN)/python -m tests.benchmarks.decisions
	$(BIN)/python -m tests.benchmarks.cost $(BENCH_ARGS)

bench-soak: ## a million calls, and whether memory stays flat (SOAK_ARGS="--calls 100000" for fewer)
	$(call venv,test)
	$(BIN)/python -m tests.benchmarks.soak $(SOAK_ARGS)

fuzz: ## throw changed bytes at all that reads foreign ones, a target at a time (FUZZ_SECONDS=20 each, FUZZ=location ...)
	$(call venv,fuzz)
	$(BIN)/python -m tests.fuzz --seconds $(or $(FUZZ_SECONDS),20) $(FUZZ)

generate: ## write the generated files anew
	$(call venv,dev)
	$(BIN)/python -m tools.generate

format: ## put the code into form, and mend what ruff can mend
	$(call venv,dev)
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

test-pythons: ## the tests against the built wheel, on every Python from 3.11 to 3.14 that is here
	$(call venv,dev)
	$(BIN)/python -m tools.pythons $(PYTEST_ARGS)

clean: ## remove everything that these commands made
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
