# `make` without arguments lists the targets. It needs only make, and a Python with pip and venv.

PYTHON ?= python3
ARGS ?=
CELL ?=
JOBS ?=
RERUN ?=

CODE := equinox examples tests docs docker harness benchmarks toxfile.py

# There are two environments. `.venv` has the newest JAX and all that a developer needs. `.venv-harness` has the tools that
# run the matrix. harness/in_venv.py makes them, and makes one again if its requirements change. Each cell of the matrix
# has an environment of its own.
VENV := .venv
IN_VENV := $(PYTHON) -I harness/in_venv.py $(VENV)
RUN := $(IN_VENV) python -m
HARNESS_VENV := .venv-harness
HARNESS := $(PYTHON) -I harness/in_venv.py $(HARNESS_VENV) python -m harness

NAMES = $(foreach name,$(CELL),'$(name)')
# `harness here` runs the suite with the JAX that PYTHON has, and installs nothing. `make test-gpu` uses it if no Docker
# engine answers, unless the user names cells, a tier or a place: these belong to the matrix.
HERE = $(PYTHON) -m harness here
export PYTHONSAFEPATH :=  # if it were set, `python -m harness` would not look into this folder
MATRIX_IS_MEANT = $(CELL)$(TIER)$(JOBS)$(RERUN)$(filter-out auto,$(WHERE))
# `exec` replaces the shell by the command, so that a signal reaches the command.
HERE_OR_CELLS = if $(if $(MATRIX_IS_MEANT),false,$(HERE) $(1) --fits); then exec $(HERE) $(1); fi; exec $(RUN_CELLS) --backend $(1) $(or $(NAMES),--tier $(TIER_OF_ALL))
TIER_OF_ALL = $(or $(TIER),nightly)
RUN_CELLS = $(HARNESS) run $(if $(WHERE),--where $(WHERE)) $(if $(JOBS),--jobs $(JOBS)) $(if $(RERUN),--rerun $(RERUN))

LOCK_TOOL = $(PYTHON) -I harness/in_venv.py $(HARNESS_VENV) uv pip compile --quiet --upgrade --universal --generate-hashes

# The variables that each target uses. make refuses a variable that the target doesn't use.
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
  `make $(target)` doesn't use $(name). These targets do: $(strip $(call TAKERS,$(name))). Leave it out, or choose one of them)))

.DEFAULT_GOAL := help
.PHONY: help test lint format docs site demo bench matrix cell test-cpu test-gpu test-tpu test-here device-check image shell-cpu shell-gpu shell-tpu table bisect lock lock-tools verify-locks doctor clean

help:  ## List the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1@\2/p' Makefile | awk -F@ '{ printf "%-20s%s\n", $$1, $$2 }'
	@echo
	@echo '  PYTHON=python3.12      the Python to use: 3.10 or later; 3.8 or later for test, lint and demo'
	@echo '  ARGS="-k tree_at -x"   arguments for pytest, or for the demo'
	@echo '  TIER=nightly           all JAX releases; TIER=pr: those of a pull request; TIER=canary: also the nightly build'
	@echo '  CELL=py311-jax0.4.30-cpu, or CELL="py311-*"'
	@echo '  WHERE=container        in a container; WHERE=host: on this host; WHERE=auto: in a container if an engine answers'
	@echo '  JOBS=2                 how many cells run at the same time'
	@echo '  RERUN=failed           run failed cells again even if nothing has changed; RERUN=all: run all cells again'

test:  ## Run the tests on the newest JAX for this Python
	exec $(RUN) pytest -n auto --maxprocesses 4 $(ARGS)

lint:  ## Check style, formatting, types, docstrings, words, and that the library is valid Python 3.7
	exec $(RUN) ruff check $(CODE)
	exec $(RUN) ruff format --check $(CODE)
	exec $(RUN) mypy
	exec $(RUN) mypy --python-version 3.10 harness toxfile.py
	exec $(RUN) mypy --python-version 3.10 benchmarks
	exec $(RUN) pyright --level error
	exec $(RUN) pytest -q tests/typing
	exec $(RUN) pytest -q -k python_37 tests/test_package.py
	exec $(RUN) pytest -q tests/test_docstrings.py tests/lint
	exec $(IN_VENV) python tests/lint/words.py

format:  ## Format the code, and correct what ruff can correct
	exec $(RUN) ruff check --fix $(CODE)
	exec $(RUN) ruff format $(CODE)

docs:  ## Write docs/api.md from the docstrings, and the table of docs/old-jax.md
	$(IN_VENV) python docs/api_page.py
	exec $(IN_VENV) python docs/since_table.py

site:  ## Build a site of the pages, with all docstrings, in site/
	exec $(PYTHON) -I harness/in_venv.py .venv-site python -m mkdocs build --strict

demo:  ## Train a recurrent network on spirals, and draw the result
	exec $(IN_VENV) python examples/train_rnn.py $(ARGS)

bench:  ## Measure the speed of the library; ARGS=--peers: also of other libraries, see benchmarks/
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("The benchmarks need Python 3.10 or later.")'
	exec $(IN_VENV) python benchmarks/run.py $(ARGS)

matrix: TIER ?= pr
matrix: BACKEND ?= cpu
matrix:  ## Run the tests on several JAX releases, each in its own environment, on the CPU; or BACKEND=cuda, tpu
	exec $(RUN_CELLS) --tier $(TIER) --backend $(BACKEND)

cell:  ## Run one cell of the matrix, or all cells that match a pattern: make cell CELL=...
	@test -n '$(CELL)' || { echo >&2 'Name a cell: make cell CELL=py311-jax0.4.30-cpu. There are:'; $(HARNESS) list >&2; exit 2; }
	exec $(RUN_CELLS) $(NAMES)

test-cpu test-gpu test-tpu: WHERE ?= auto

test-cpu:  ## Run all cells on the CPU, in containers if a Docker engine answers, and otherwise on this host
	exec $(RUN_CELLS) --backend cpu $(or $(NAMES),--tier $(TIER_OF_ALL))

test-gpu:  ## The same on an NVIDIA GPU; without an engine, test the JAX of PYTHON if it supports GPUs
	@$(call HERE_OR_CELLS,cuda)

test-tpu:  ## The same on a TPU
	@$(call HERE_OR_CELLS,tpu)

test-here: BACKEND ?= cpu
test-here:  ## Run the tests with the JAX that PYTHON has, and install nothing; BACKEND=cpu, cuda or tpu
	exec $(HERE) $(BACKEND) $(if $(ARGS),-- $(ARGS))

device-check: BACKEND ?= cuda
device-check: LIMIT_S ?= 480
device-check:  ## Within LIMIT_S=480 seconds, prove that tests run on the device, run the suite, measure the speed
	exec $(HERE) $(BACKEND) --check --limit-s $(LIMIT_S)

image:  ## Build the image of a cell: make image CELL=...; without CELL, the newest cell on the CPU
	exec $(HARNESS) image $(NAMES)

shell-cpu:  ## Open a shell in the image of the newest cell on the CPU, with this folder; or CELL=...
	exec $(HARNESS) shell --backend cpu $(NAMES)

shell-gpu:  ## The same with an NVIDIA GPU
	exec $(HARNESS) shell --backend cuda $(NAMES)

shell-tpu:  ## The same with a TPU
	exec $(HARNESS) shell --backend tpu $(NAMES)

table:  ## Draw the results: on the screen, in docs/matrix.md and README.md, and as the page results/index.html
	exec $(HARNESS) table

bisect:  ## Find the JAX release that broke a test: make bisect TEST=tests/test_x.py::test_y GOOD=0.6.2 BAD=0.8.3
	exec $(HARNESS) bisect '$(TEST)' --good '$(GOOD)' --bad '$(BAD)' $(ARGS)

lock:  ## Resolve the packages of each cell as of its date, and write locks
	exec $(HARNESS) lock $(NAMES)

lock-tools:  ## Lock the newest releases of the tools: of the matrix, of the builds, and of the audit of workflows
	exec $(LOCK_TOOL) --python-version 3.10 harness/requirements.txt --output-file harness/requirements.lock
	exec $(LOCK_TOOL) --python-version 3.8 docker/build-constraints.in --output-file docker/build-constraints.txt
	exec $(LOCK_TOOL) --python-version 3.8 docker/wheel-constraints.in --output-file docker/wheel-constraints.txt
	exec $(LOCK_TOOL) --python-version 3.12 .github/zizmor.in --output-file .github/zizmor.txt

verify-locks:  ## List files in the locks that can no longer be downloaded
	exec $(HARNESS) verify $(NAMES)

doctor:  ## Show what this machine has (Pythons, containers, accelerators), and what each backend needs
	exec $(HARNESS) doctor

clean:  ## Remove the environments and all generated files except the results
	@$(PYTHON) -I harness/in_venv.py --remove
	rm -rf build dist site cnn.png ensemble.png spirals.png transformer.png vae.png checkpoint.safetensors spirals.safetensors .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +
