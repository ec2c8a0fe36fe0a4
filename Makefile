# `make` alone lists what there is. Nothing needs to be installed first but Python, with pip and venv, and make.

PYTHON ?= python3
ARGS ?=

VENV := .venv
RUN := $(VENV)/bin/python -m
INSTALL := --editable '.[test,lint]' 'jax[cpu]'
CODE := equinox examples tests docker

# The environment is made anew when what it is made from changes: the interpreter, or the project's dependencies. Its
# mark is written last, so that one whose making was interrupted is never taken for a whole one.
MADE_FROM := { $(PYTHON) -c 'import sys; print(sys.version, sys.prefix)'; sed '/^\[tool\./,$$d' pyproject.toml; }
READY := $(VENV)/ready-$(firstword $(shell { $(MADE_FROM); echo "$(INSTALL)"; } 2>&1 | cksum))
CHOOSE := { echo >&2 'Choose another Python, 3.8 or later, with pip and venv: make PYTHON=python3.12'; exit 2; }

.DEFAULT_GOAL := help
.PHONY: help test lint format demo clean

help:  ## List the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1@\2/p' Makefile | awk -F@ '{ printf "%-16s%s\n", $$1, $$2 }'
	@echo
	@echo '  PYTHON=python3.12      which Python to use, 3.8 or later'
	@echo '  ARGS="-k tree_at -x"   what to pass on to pytest, or to the demo'

test: $(READY)  ## Run the tests on the newest JAX that the Python allows
	$(RUN) pytest -n auto --maxprocesses 4 $(ARGS)

lint: $(READY)  ## Check style, formatting, types, and that every file is Python 3.7
	$(RUN) ruff check $(CODE)
	$(RUN) ruff format --check $(CODE)
	$(RUN) mypy
	$(RUN) pytest -q -k python_37 tests/test_package.py

format: $(READY)  ## Format the code, and mend what can be mended by itself
	$(RUN) ruff check --fix $(CODE)
	$(RUN) ruff format $(CODE)

demo: $(READY)  ## Train a recurrent network on spirals, and draw what it learnt
	$(VENV)/bin/python examples/train_rnn.py $(ARGS)

clean:  ## Remove the environment, and everything else that was made
	rm -rf $(VENV) build dist spirals.png .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

$(READY):
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 8) or sys.exit("JAX needs Python 3.8 or later, and this is " + sys.version.split()[0] + ".")' || $(CHOOSE)
	@$(PYTHON) -c 'import ensurepip, venv' || $(CHOOSE)
	@echo "Making $(VENV) with the newest JAX for $$($(PYTHON) --version). This takes a minute or two."
	@rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --upgrade pip
	$(RUN) pip install --quiet $(INSTALL)
	@touch $@
