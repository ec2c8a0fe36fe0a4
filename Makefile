# `make` alone lists what there is. Nothing needs to be installed first but Python, with pip and venv, and make.

PYTHON ?= python3
ARGS ?=
CELL ?=
JOBS ?=
RERUN ?=

CODE := equinox examples tests docs docker benchmarks toxfile.py

# Two environments: one has the newest JAX and all to develop with, the other the tools that run the matrix, whose cells
# have environments of their own. docker/in_venv.py makes them, and makes one again when what it is made from changes.
VENV := .venv
IN_VENV := $(PYTHON) -I docker/in_venv.py $(VENV)
RUN := $(IN_VENV) python -m
HARNESS_VENV := .venv-harness
HARNESS := $(PYTHON) -I docker/in_venv.py $(HARNESS_VENV) python docker

NAMES = $(foreach name,$(CELL),'$(name)')
# What the Python has itself: run with nothing to install, and what `make test-gpu` is about where no engine answers.
# Whoever names cells, a tier, or a place, means the matrix.
HERE = $(PYTHON) docker/here.py --backend
MATRIX_IS_MEANT = $(CELL)$(TIER)$(JOBS)$(RERUN)$(filter-out auto,$(WHERE))
# `exec`, here and below: a shell that waited for the command would take the signal that is to end the command.
HERE_OR_CELLS = if $(if $(MATRIX_IS_MEANT),false,$(HERE) $(1) --fits); then exec $(HERE) $(1); fi; exec $(RUN_CELLS) --backend $(1) $(or $(NAMES),--tier $(TIER_OF_ALL))
TIER_OF_ALL = $(or $(TIER),nightly)
RUN_CELLS = $(HARNESS)/run.py $(if $(WHERE),--where $(WHERE)) $(if $(JOBS),--jobs $(JOBS)) $(if $(RERUN),--rerun $(RERUN))

LOCK_TOOL = $(PYTHON) -I docker/in_venv.py $(HARNESS_VENV) uv pip compile --quiet --upgrade --universal --generate-hashes

# What a target takes, of the variables below: what it doesn't take would be passed over, and is refused.
VARIABLES := ARGS BACKEND BAD CELL GOOD JOBS LIMIT_S RERUN TEST TIER WHERE
TAKES_test := ARGS
TAKES_demo := ARGS
TAKES_bench := ARGS
TAKES_matrix := BACKEND JOBS RERUN TIER WHERE
TAKES_cell := CELL JOBS RERUN WHERE
TAKES_test-cpu := CELL JOBS RERUN TIER WHERE
TAKES_test-gpu := $(TAKES_test-cpu)
TAKES_test-tpu := $(TAKES_test-cpu)
TAKES_test-here := ARGS BACKEND
TAKES_device-check := BACKEND LIMIT_S
TAKES_image := CELL
TAKES_shell-cpu := CELL
TAKES_shell-gpu := CELL
TAKES_shell-tpu := CELL
TAKES_bisect := ARGS BAD GOOD TEST
TAKES_lock := CELL
TAKES_verify-locks := CELL

GIVEN := $(foreach name,$(VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
REFUSED = $(filter-out $(TAKES_$(1)),$(GIVEN))
TAKERS = $(foreach target,$(sort $(TAKING)),$(if $(filter $(1),$(TAKES_$(target))),$(target)))
TAKING := $(patsubst TAKES_%,%,$(filter TAKES_%,$(.VARIABLES)))
$(foreach target,$(or $(MAKECMDGOALS),help),$(foreach name,$(firstword $(call REFUSED,$(target))),$(error \
  `make $(target)` does nothing with $(name). These take it: $(strip $(call TAKERS,$(name))). Leave it out, or choose one of them)))

.DEFAULT_GOAL := help
.PHONY: help test lint format docs demo bench matrix cell test-cpu test-gpu test-tpu test-here device-check image shell-cpu shell-gpu shell-tpu table bisect lock lock-tools verify-locks doctor clean

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

test:  ## Run the tests on the newest JAX that the Python allows
	exec $(RUN) pytest -n auto --maxprocesses 4 $(ARGS)

lint:  ## Check style, formatting, types, and that every file is of the Python that it must run on
	exec $(RUN) ruff check $(CODE)
	exec $(RUN) ruff format --check $(CODE)
	exec $(RUN) mypy
	exec $(RUN) mypy --python-version 3.10 docker/harness docker/matrix.py docker/run.py docker/here.py docker/in_venv.py toxfile.py
	exec $(RUN) mypy --python-version 3.10 benchmarks
	exec $(RUN) pyright --level error
	exec $(RUN) pytest -q tests/typing
	exec $(RUN) pytest -q -k python_37 tests/test_package.py
	exec $(RUN) pytest -q tests/test_docstrings.py

format:  ## Format the code, and mend what can be mended by itself
	exec $(RUN) ruff check --fix $(CODE)
	exec $(RUN) ruff format $(CODE)

docs:  ## Write docs/api.md from the docstrings
	exec $(IN_VENV) python docs/api_page.py

demo:  ## Train a recurrent network on spirals, and draw what it learnt
	exec $(IN_VENV) python examples/train_rnn.py $(ARGS)

bench:  ## Measure the speed of a filtered call, and of all the rest; ARGS=--peers beside others, see benchmarks/
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("The speed is measured by Python 3.10 or later.")'
	exec $(IN_VENV) python benchmarks/run.py $(ARGS)

matrix: TIER ?= pr
matrix: BACKEND ?= cpu
matrix:  ## Run the tests on JAX after JAX, each in its own environment, on the CPU; BACKEND=cuda, tpu
	exec $(RUN_CELLS) --tier $(TIER) --backend $(BACKEND)

cell:  ## Run one cell of the matrix, or those that a pattern matches: make cell CELL=...
	@test -n '$(CELL)' || { echo >&2 'Which? make cell CELL=py311-jax0.4.30-cpu. There are:'; $(HARNESS)/matrix.py list >&2; exit 2; }
	exec $(RUN_CELLS) $(NAMES)

test-cpu test-gpu test-tpu: WHERE ?= auto

test-cpu:  ## Run the cells of a backend, in containers where a Docker engine answers, else here: CPU,
	exec $(RUN_CELLS) --backend cpu $(or $(NAMES),--tier $(TIER_OF_ALL))

test-gpu:  ## ... NVIDIA GPU; without an engine, on the JAX for it that the Python has itself, if there is one,
	@$(call HERE_OR_CELLS,cuda)

test-tpu:  ## ... TPU, likewise
	@$(call HERE_OR_CELLS,tpu)

test-here: BACKEND ?= cpu
test-here:  ## Run the tests on what the Python has itself; nothing is installed: make test-here BACKEND=cuda; cpu, tpu
	exec $(HERE) $(BACKEND) $(if $(ARGS),-- $(ARGS))

device-check: BACKEND ?= cuda
device-check: LIMIT_S ?= 480
device-check:  ## Show all that the device here can, within LIMIT_S=480 seconds: that it is used, the whole suite, and the speed
	exec $(HERE) $(BACKEND) --check --limit-s $(LIMIT_S)

image:  ## Build the image of a cell: make image CELL=...; the newest one on the CPU, if none is named
	exec $(HARNESS)/run.py --image-only $(or $(NAMES),--backend cpu)

shell-cpu:  ## Open a shell in the image of a cell, with this folder: the newest on the CPU, or CELL=...
	exec $(HARNESS)/run.py --shell --backend cpu $(NAMES)

shell-gpu:  ## ... with an NVIDIA GPU
	exec $(HARNESS)/run.py --shell --backend cuda $(NAMES)

shell-tpu:  ## ... with a TPU
	exec $(HARNESS)/run.py --shell --backend tpu $(NAMES)

table:  ## Draw what the cells gave: here, in docs/matrix.md and README.md, and as the page results/index.html
	exec $(HARNESS)/matrix.py table

bisect:  ## Find the JAX release that broke a test: make bisect TEST=tests/test_x.py::test_y GOOD=0.6.2 BAD=0.8.3
	exec $(HARNESS)/matrix.py bisect '$(TEST)' --good '$(GOOD)' --bad '$(BAD)' $(ARGS)

lock:  ## Resolve each cell as the package index stood at its date, with hashes
	exec $(HARNESS)/matrix.py lock $(NAMES)

lock-tools:  ## Lock the tools of the matrix, and what audits the workflows, to the newest, with hashes
	exec $(LOCK_TOOL) --python-version 3.10 docker/requirements.txt --output-file docker/requirements.lock
	exec $(LOCK_TOOL) --python-version 3.8 docker/build-constraints.in --output-file docker/build-constraints.txt
	exec $(LOCK_TOOL) --python-version 3.8 docker/wheel-constraints.in --output-file docker/wheel-constraints.txt
	exec $(LOCK_TOOL) --python-version 3.12 .github/zizmor.in --output-file .github/zizmor.txt

verify-locks:  ## Say what of the locks can no longer be fetched
	exec $(HARNESS)/matrix.py verify-locks $(NAMES)

doctor:  ## Say what is here - Pythons, containers, accelerators - and what each backend would need
	exec $(HARNESS)/matrix.py doctor

clean:  ## Remove the environments, and everything else that was made but the results
	@$(PYTHON) -I docker/in_venv.py --remove
	rm -rf build dist spirals.png .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +
