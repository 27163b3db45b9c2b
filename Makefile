# Everything a checkout needs. `make demo` and `make test` work on a bare machine with Python 3.11 or newer, its
# venv module, git and make. Stamp files below .venv keep a second `make` from installing again.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Two test processes: one per core of the smallest machine we care for. `make test PYTEST_WORKERS=0` runs in one.
PYTEST_WORKERS ?= 2
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

RUN_STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help venv demo test check static format bench picture constraints clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "agentui needs Python 3.11 or newer, and '$(PYTHON)' is not: try  make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' has no venv module: install it first (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A newer package list or version pin means: install again. Source files do not, the install is editable.
$(RUN_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --constraint constraints.txt --editable .
	@$(BIN)/python -m compileall -q app widgets  # else the first start compiles it all, and with PYTHONDONTWRITEBYTECODE every one
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -m compileall -q app widgets
	@touch $@ $(RUN_STAMP)

venv: $(DEV_STAMP) ## .venv with agentui (editable) and all development tools

demo: $(RUN_STAMP) ## the dashboard on a simulated model and a scratch project
	@$(BIN)/agentui --demo

test: $(DEV_STAMP) ## all tests; those that need Docker, Pi, tmux or another tool that is not here skip with a reason
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile

static: $(DEV_STAMP) ## lint, format, types and import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

check: static test ## what must be green before a commit

format: $(DEV_STAMP) ## format the code and fix what can be fixed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(DEV_STAMP) ## measured ratios against a bare Textual program (some minutes; let the machine rest)
	$(BIN)/python -m benchmarks.run $(ARGS)

picture: $(DEV_STAMP) ## docs/dashboard.svg, drawn from a replayed run
	$(BIN)/python scripts/make-picture.py docs/dashboard.svg

constraints: $(DEV_STAMP) ## pin the versions that .venv holds now
	$(BIN)/python scripts/freeze-constraints.py > constraints.txt.new
	mv constraints.txt.new constraints.txt
	@touch $(DEV_STAMP) $(RUN_STAMP)

clean: ## remove .venv and everything that tools left behind
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache snapshot_report.html
	find app widgets tests benchmarks scripts -type d -name __pycache__ -prune -exec rm -rf {} +
