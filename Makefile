# Needs Python >= 3.11, git and make; everything else goes into .venv. `make help` lists the targets.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test lint format constraints clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
# arguments for pytest, e.g. make test PYTEST_FLAGS="-k shift"
PYTEST_FLAGS ?=
JOBS ?= 2
# with one thread each, JOBS processes share the cores instead of fighting for them
THREADS := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

venv: $(VENV)/.for-dev  ## make .venv with neurocca and all its tools

demo: $(VENV)/.for-use  ## simulate a small study and analyse it; the report lands in demo-output
	$(BIN)/neurocca demo demo-output

test: lint  ## check style, types, tests and notebooks
	$(THREADS) $(BIN)/python -m pytest -n $(JOBS) $(PYTEST_FLAGS)
	$(THREADS) $(BIN)/python -m pytest --nbmake --nbmake-timeout=600 notebooks

lint: $(VENV)/.for-dev  ## check style, architecture, types and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/codespell

format: $(VENV)/.for-dev  ## format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch first, by its pin: left to itself pip would take the newest torch, which is another and larger build
$(VENV)/.for-use: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing neurocca into $(VENV): some minutes the first time"
	@$(PIP) install -c constraints.txt torch
	@$(PIP) install -c constraints.txt -e ".[annex]"
	@touch $@

$(VENV)/.for-dev: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing neurocca into $(VENV): some minutes the first time"
	@$(PIP) install -c constraints.txt torch
	@$(PIP) install -c constraints.txt -e ".[annex,dev]"
	@touch $(VENV)/.for-use $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	    { echo "neurocca needs Python >= 3.11, which $(PYTHON) is not: try make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "$(PYTHON) cannot make virtual environments: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }

constraints: $(BIN)/python  ## pin anew what pip resolves today; `make constraints TORCH=2.14.0` moves torch
	@set -eu; env=$$(mktemp -d); trap 'rm -rf "$$env"' EXIT; \
	$(PYTHON) -m venv "$$env"; \
	"$$env/bin/pip" install -qq "torch==$(TORCH)"; \
	"$$env/bin/pip" install -qq ".[annex,dev]"; \
	{ sed -n '/^#/p' constraints.txt; "$$env/bin/pip" freeze --exclude neurocca | sed -E 's/\+[A-Za-z0-9.]+$$//'; } \
	    > "$$env/constraints.txt"; \
	cp "$$env/constraints.txt" constraints.txt

clean:  ## remove .venv, caches and the demo's output
	rm -rf $(VENV) demo-output build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
