# Two commands do everything on a fresh machine: `make demo` shows the main job, `make test` runs all tests.

# Programs that stand in for others of the same name, and come with a way to install themselves.
TOOLKIT := container-hooks container-hooks-runtime container-hooks-ctk

.PHONY: help all demo test torture fuzz mutation bench lint unit format clean

PYTHON ?= python3
export PYTHON
BIN := .venv/bin
# How many processes run tests: one more than most machines have cores, since many tests wait for something.
JOBS ?= 3

help:
	@echo "make demo    install into .venv and run real containers with hooks, with an explanation"
	@echo "make test    install into .venv, then lint, types, and all tests"
	@echo "make all     fill bin/ with $(TOOLKIT)"
	@echo "make torture all attacks and faults at full amounts, into docs/torture.md; ROWS=\"KEY...\" runs some of them"
	@echo "make fuzz    feed our readers with bytes that fuzzers make up; SECONDS=N for each, TARGETS=\"NAME...\" tries some"
	@echo "make mutation MODULE=NAME change a module of mutation/modules.toml and tell what no test notices"
	@echo "make bench   what the wrapper costs, as one table"
	@echo "make lint    the static checks alone"
	@echo "make unit    the tests that start no container"
	@echo "make format  format the code"
	@echo "make clean   remove what the others made"

all:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11; name another one: make all PYTHON=python3.12" >&2; exit 3; }
	@$(PYTHON) tools/programs.py bin $(TOOLKIT)

demo:
	@tools/setup demo
	@$(BIN)/python demo/demo.py

test:
	@tools/setup test
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -q -n $(JOBS) -m "not slow"

# The rows to run, such as ROWS="races soak", all of them if empty; and how many of them, or of their parts, at a time.
ROWS ?=
LANES ?= 3

torture:
	@tools/setup fuzz
	@$(BIN)/python -m torture.run --jobs $(LANES) $(if $(ROWS),--row $(ROWS))

# Which readers to try, such as TARGETS="config rule", all of them if empty; and how long each.
TARGETS ?=
SECONDS ?= 60

fuzz:
	@tools/setup fuzz
	@$(BIN)/python -m fuzz --seconds $(SECONDS) $(TARGETS)

# What to change, such as MODULE=wrapper/plan or MODULE=execution, and how much of it.
MODULE ?= replace
EVERY ?= 1

mutation:
	@tools/setup test
	@[ -x mutation/.venv/bin/cosmic-ray ] || { $(PYTHON) -m venv mutation/.venv && mutation/.venv/bin/python -m pip -q install -r mutation/requirements.txt; }
	@nice -n 15 mutation/.venv/bin/python mutation/mutate.py --every $(EVERY) $(MODULE) && told=0 || told=1; \
	$(BIN)/python mutation/page.py > docs/mutation.md; exit $$told

bench:
	@tools/setup test
	@$(BIN)/python bench/bench.py
	@$(BIN)/python bench/injector.py
	@$(BIN)/python bench/nri.py
	@$(BIN)/python bench/engines.py

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
	rm -rf bin .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find src tests -name __pycache__ -type d -exec rm -rf {} +
