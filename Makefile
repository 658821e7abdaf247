# Two commands do everything on a fresh machine: `make demo` shows the main job, `make test` runs all tests.
.PHONY: help demo test bench lint unit format clean

PYTHON ?= python3
export PYTHON
BIN := .venv/bin
# Tests that one process runs; runc and crun start within milliseconds, so two suit two cores.
JOBS ?= 2

help:
	@echo "make demo    install into .venv and run real containers with hooks, with an explanation"
	@echo "make test    install into .venv, then lint, types, and all tests"
	@echo "make bench   what the wrapper costs, as one table"
	@echo "make lint    the static checks alone"
	@echo "make unit    the tests that start no container"
	@echo "make format  format the code"
	@echo "make clean   remove what the others made"

demo:
	@tools/setup demo
	@$(BIN)/python demo/demo.py

test:
	@tools/setup test
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -q -n $(JOBS) -m "not slow"

bench:
	@tools/setup test
	@$(BIN)/python bench/bench.py

lint:
	@tools/setup test
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	@said=$$($(BIN)/lint-imports --no-cache) || { echo "$$said"; exit 1; }

unit:
	@tools/setup test
	$(BIN)/python -m pytest -q -n $(JOBS) -m "not runtime and not slow" tests/unit tests/architecture tests/conformance tests/cli tests/docs

format:
	@tools/setup test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --quiet .

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find src tests -name __pycache__ -type d -exec rm -rf {} +
