# `make` alone lists what there is. Nothing needs to be installed first but Python, with pip and venv, and make.

PYTHON ?= python3
ARGS ?=
CELL ?=
JOBS ?=
RERUN ?=

CODE := equinox examples tests docker benchmarks toxfile.py

# Two environments: one has the newest JAX and all to develop with, the other the tools that run the matrix, whose cells
# have environments of their own.
VENV := .venv
RUN := $(VENV)/bin/python -m
DEVELOPING := --editable '.[test,lint]' 'jax[cpu]' -r docker/requirements.txt
HARNESS_VENV := .venv-harness
HARNESS := $(HARNESS_VENV)/bin/python docker
TOOLS := -r docker/requirements.txt

# An environment is made anew when what it is made from changes: the interpreter, the project's dependencies, the tools.
# Its mark is written last, so that one whose making was interrupted is never taken for a whole one.
MADE_FROM := { $(PYTHON) -c 'import sys; print(sys.version, sys.prefix)'; sed '/^\[tool\./,$$d' pyproject.toml; cat docker/requirements.txt; }
HASH := $(firstword $(shell { $(MADE_FROM); echo "$(DEVELOPING)"; } 2>&1 | cksum))
READY := $(VENV)/ready-$(HASH)
HARNESS_READY := $(HARNESS_VENV)/ready-$(HASH)
, := ,
CHOOSE := { echo >&2 'Choose another Python, with pip and venv: make PYTHON=python3.12'; exit 2; }
AT_LEAST = $(PYTHON) -c 'import sys; sys.version_info >= ($(1)) or sys.exit("$(2), and this is Python " + sys.version.split()[0] + ".")' || $(CHOOSE)
HAS_VENV = $(PYTHON) -c 'import ensurepip, venv' || $(CHOOSE)

NAMES = $(foreach name,$(CELL),'$(name)')
# What the Python has itself: run with nothing to install, and what `make test-gpu` is about where no engine answers.
# Whoever names cells, a tier, or a place, means the matrix.
HERE = $(PYTHON) docker/here.py --backend
HERE_OR_CELLS = if $(if $(CELL)$(TIER)$(filter-out auto,$(WHERE)),false,$(HERE) $(BACKEND) --fits); then $(HERE) $(BACKEND); else
RUN_CELLS = $(HARNESS)/run.py $(if $(WHERE),--where $(WHERE)) $(if $(JOBS),--jobs $(JOBS)) $(if $(RERUN),--rerun $(RERUN))

.DEFAULT_GOAL := help
.PHONY: help test lint format demo bench matrix cell cells test-cpu test-gpu test-tpu test-here image shell-cpu shell-gpu shell-tpu table bisect lock verify-locks doctor clean

help:  ## List the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1@\2/p' Makefile | awk -F@ '{ printf "%-20s%s\n", $$1, $$2 }'
	@echo
	@echo '  PYTHON=python3.12      which Python to use: 3.10 or later; 3.8 will do for test, lint and demo, not for bench'
	@echo '  ARGS="-k tree_at -x"   what to pass on to pytest, or to the demo'
	@echo '  TIER=nightly           every JAX in the list; TIER=pr: those of a pull request; TIER=canary: that of tonight, too'
	@echo '  CELL=py311-jax0.4.30-cpu, or CELL="py311-*"'
	@echo '  WHERE=container        in a container, wherever the Docker engine is; WHERE=host: here; WHERE=auto: as can be'
	@echo '  JOBS=2                 how many cells side by side'
	@echo '  RERUN=failed           run what failed again, though nothing has changed; RERUN=all: everything'

test: $(READY)  ## Run the tests on the newest JAX that the Python allows
	$(RUN) pytest -n auto --maxprocesses 4 $(ARGS)

lint: $(READY)  ## Check style, formatting, types, and that every file is of the Python that it must run on
	$(RUN) ruff check $(CODE)
	$(RUN) ruff format --check $(CODE)
	$(RUN) mypy
	$(RUN) mypy --python-version 3.10 docker/harness docker/matrix.py docker/run.py docker/here.py toxfile.py
	$(RUN) mypy --python-version 3.10 benchmarks
	$(RUN) pytest -q -k python_37 tests/test_package.py

format: $(READY)  ## Format the code, and mend what can be mended by itself
	$(RUN) ruff check --fix $(CODE)
	$(RUN) ruff format $(CODE)

demo: $(READY)  ## Train a recurrent network on spirals, and draw what it learnt
	$(VENV)/bin/python examples/train_rnn.py $(ARGS)

bench: $(READY)  ## Measure the speed of a filtered call, and of all the rest; ARGS=--peers beside others, see benchmarks/
	@$(call AT_LEAST,3$(,) 10,The speed is measured by Python 3.10 or later)
	$(VENV)/bin/python benchmarks/run.py $(ARGS)

matrix: TIER ?= pr
matrix: $(HARNESS_READY)  ## Run the tests on JAX after JAX, each in its own environment, on the CPU
	$(RUN_CELLS) --tier $(TIER) --backend cpu

cell: $(HARNESS_READY)  ## Run one cell of the matrix, or those that a pattern matches: make cell CELL=...
	@test -n '$(CELL)' || { echo >&2 'Which? make cell CELL=py311-jax0.4.30-cpu. There are:'; $(HARNESS)/matrix.py list >&2; exit 2; }
	$(RUN_CELLS) $(NAMES)

test-cpu cells: TIER ?= nightly
test-cpu cells: WHERE ?= auto

test-cpu: BACKEND := cpu
test-cpu: cells  ## Run the cells of a backend, in containers where a Docker engine answers, else here: CPU,

test-gpu: BACKEND := cuda
test-gpu:  ## ... NVIDIA GPU; without an engine, on the JAX for it that the Python has itself, if there is one,
	@$(HERE_OR_CELLS) $(MAKE) --no-print-directory cells BACKEND=$(BACKEND); fi

test-tpu: BACKEND := tpu
test-tpu:  ## ... TPU, likewise
	@$(HERE_OR_CELLS) $(MAKE) --no-print-directory cells BACKEND=$(BACKEND); fi

cells: $(HARNESS_READY)
	$(RUN_CELLS) --backend $(BACKEND) $(or $(NAMES),--tier $(TIER))

test-here: BACKEND ?= cpu
test-here:  ## Run the tests on what the Python has itself; nothing is installed: make test-here BACKEND=cuda; cpu, tpu
	$(HERE) $(BACKEND) $(if $(ARGS),-- $(ARGS))

image: $(HARNESS_READY)  ## Build the image of a cell: make image CELL=...; the newest one on the CPU, if none is named
	$(HARNESS)/run.py --image-only $(or $(NAMES),--backend cpu)

shell-cpu: $(HARNESS_READY)  ## Open a shell in the image of a cell, with this folder: the newest on the CPU, or CELL=...
	$(HARNESS)/run.py --shell $(or $(NAMES),--backend cpu)

shell-gpu: $(HARNESS_READY)  ## ... with an NVIDIA GPU
	$(HARNESS)/run.py --shell $(or $(NAMES),--backend cuda)

shell-tpu: $(HARNESS_READY)  ## ... with a TPU
	$(HARNESS)/run.py --shell $(or $(NAMES),--backend tpu)

table: $(HARNESS_READY)  ## Draw what the cells gave: here, in README.md, and as the page results/index.html
	$(HARNESS)/matrix.py table

bisect: $(HARNESS_READY)  ## Find the JAX release that broke a test: make bisect TEST=tests/test_x.py::test_y GOOD=0.6.2 BAD=0.8.3
	$(HARNESS)/matrix.py bisect '$(TEST)' --good '$(GOOD)' --bad '$(BAD)' $(ARGS)

lock: $(HARNESS_READY)  ## Resolve each cell as the package index stood at its date, with hashes
	$(HARNESS)/matrix.py lock $(NAMES)

verify-locks: $(HARNESS_READY)  ## Say what of the locks can no longer be fetched
	$(HARNESS)/matrix.py verify-locks $(NAMES)

doctor: $(HARNESS_READY)  ## Say what is here - Pythons, containers, accelerators - and what each backend would need
	$(HARNESS)/matrix.py doctor

clean:  ## Remove the environments, and everything else that was made but the results
	rm -rf $(VENV) $(HARNESS_VENV) .tox .bench build dist spirals.png .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

$(READY):
	@$(call AT_LEAST,3$(,) 8,JAX needs Python 3.8 or later)
	@$(HAS_VENV)
	@echo "Making $(VENV) with the newest JAX for $$($(PYTHON) --version). This takes a minute or two."
	@rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --upgrade pip
	$(RUN) pip install --quiet $(DEVELOPING)
	@touch $@

$(HARNESS_READY):
	@$(call AT_LEAST,3$(,) 10,The matrix is run by Python 3.10 or later)
	@$(HAS_VENV)
	@echo "Making $(HARNESS_VENV) with the tools of the matrix for $$($(PYTHON) --version)."
	@rm -rf $(HARNESS_VENV)
	$(PYTHON) -m venv $(HARNESS_VENV)
	$(HARNESS_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(HARNESS_VENV)/bin/python -m pip install --quiet $(TOOLS)
	@touch $@
