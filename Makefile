# `make` prints what can be made. Everything happens in .venv; nothing is installed elsewhere, except that
# `make test`, as root on Debian, installs the mosquitto broker, spin and Chromium if they are missing (see .ci/tools).

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The interpreter for .venv: python3 if it is new enough, else the newest found. It must be able to make a venv
# with pip in it, which Debian's python3 cannot without the package python3-venv. `make PYTHON=...` decides otherwise.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
# Worker processes of pytest. Two is what the smallest machine has, and keeps brokers and daemons apart enough.
JOBS ?= 2
SEED ?=
QUICK ?=
ARGS ?=

# A release with the database of before; the newest is installed as the tests' own.
OLD_HCOM := 0.7.24

BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest
TESTED := .venv/.test
DEVELOPED := .venv/.dev
WORKERS := -n $(JOBS) --dist loadgroup

.PHONY: help
help: ## print the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(TESTED) ## make .venv with the program and what its tests need

.PHONY: demo
demo: venv ## two real daemons, a disconnect, writes on both sides, convergence; under a minute
	@$(BIN)/hcom-replica demo

.PHONY: test
test: venv ## run all tests, on private brokers
	@.ci/tools
	@$(PYTEST) $(WORKERS) $(ARGS)

.PHONY: check
check: $(DEVELOPED) ## format, lint, types, import rules, unit tests; under a minute
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(PYTEST) $(WORKERS) -q -m "not slow" tests/unit

.PHONY: fix
fix: $(DEVELOPED) ## format, and repair what ruff can repair
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: sim
sim: venv ## run the simulator; SEED=42 repeats a run, ARGS="--devices 5 --loss 0.3" adds options
	@$(BIN)/hcom-replica simulate $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: search
search: venv ## search random schedules for a seed that breaks the promise; COUNT=100000, ARGS="--first 5000 --full"
	@$(BIN)/python -m tests.simulation.search $(if $(COUNT),--count $(COUNT)) $(ARGS)

.PHONY: fuzz
fuzz: venv ## hostile bytes for every decoder, on all processors; COUNT=1000000, ARGS="--seed 7 --target head"
	@$(BIN)/python -m tests.fuzz.run $(if $(COUNT),--count $(COUNT)) $(ARGS)

.PHONY: coverage
coverage: venv ## run the tests of the core, and fail when one of its branches was not taken
	@$(BIN)/python -m coverage erase
	@SHORT_SCHEDULES=400 $(BIN)/python -m coverage run -m pytest $(WORKERS) --timeout 600 -q tests/unit tests/property tests/simulation $(ARGS)
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report

.PHONY: bench
bench: venv ## measure throughput, catch-up, latency and bytes beside raw LMDB and raw MQTT
	@$(BIN)/hcom-replica bench $(ARGS)

.PHONY: bench-docs
bench-docs: venv ## measure everything, peers too, about ten minutes on an idle machine, and renew the docs page and its plots
	@$(BIN)/hcom-replica bench --peers --json $(ARGS) >.venv/measured.json || [ $$? = 1 ]
	@mv .venv/measured.json bench/measured.json
	@$(BIN)/python -m bench.page

.PHONY: model
model: ## check the protocol's formal models and their mutants with spin; QUICK=1 for the small sizes
	@$(or $(PYTHON),python3) specs/model/check.py $(if $(QUICK),--quick) $(ARGS)

.PHONY: ci
ci: check test ## what continuous integration runs: check and test

.venv/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer that can make a venv was found" >&2; \
		echo "hint: install one (Debian: apt install python3-venv), or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "making .venv with $$($(PYTHON) --version)"
	@"$(PYTHON)" -m venv --clear .venv

$(TESTED): .venv/pyvenv.cfg pyproject.toml
	@$(PIP) install --editable '.[test]'
	@$(PIP) install --no-deps --upgrade --target .venv/hcom-$(OLD_HCOM) hcom==$(OLD_HCOM) || echo "no hcom $(OLD_HCOM) here"
	@touch $@

$(DEVELOPED): $(TESTED)
	@$(PIP) install --editable '.[dev]'
	@touch $@
