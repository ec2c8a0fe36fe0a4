# The image of a cell on a TPU VM. libtpu is in the lock. Run it with the device nodes of the chips (see
# harness/containers/devices.py), or with `--privileged`. Only one process at a time can use a chip: see
# docker/inside/workers.py.

# The default arguments make the newest cell. `python -m harness image --print-args CELL` prints others:
#   python -m harness image --print-args CELL | sed 's/^/--build-arg=/' | tr '\n' '\0' | xargs -0 docker build -f docker/tpu.Dockerfile .
ARG CELL=py313-jax0.12.0.1-tpu
ARG BASE=python:3.13-slim-bookworm
ARG INSTALL="--no-deps --require-hashes -r /locks/py313-jax0.12.0.1-tpu.txt"
ARG INSTALL_FIRST=
ARG AS_OF=2026-11-15
ARG BRIDGE=
ARG EXPECT='{"cell": "py313-jax0.12.0.1-tpu", "python": "3.13", "jax": "0.12.0.1", "jaxlib": "0.12.0.1", "backend": "tpu", "bridge": false, "package": "equinox", "versions": ["optax", "chex", "hypothesis", "matplotlib"], "measures": {"benchmarks/in_cells/loop_speed.py": ["loop_ratio"], "benchmarks/in_cells/dispatch_speed.py": ["dispatch_in_100", "dispatch_in_out_100", "train_step_100"]}}'
ARG LOCK=
ARG REVISION=
# Paths in the context: the files of the harness, what the wheel is built from, the packages that build it, and the suite.
ARG HARNESS=.
ARG BUILT_FROM="equinox pyproject.toml README.md LICENSE"
ARG BUILD_CONSTRAINTS=docker/wheel-constraints.txt
ARG SETUPTOOLS_SCM_PRETEND_VERSION=
ARG SUITE="tests examples docs benchmarks/in_cells pyproject.toml README.md"

FROM ${BASE} AS base

# --- The same in all three files, up to the next such line: tests/harness/test_image.py compares them ---

# The user, and the settings of pip. Downloads go to a cache of the builder, never into a layer. The build takes
# optional secrets for a mirror: pip.conf, apt.conf and apt.sources, and ca.pem with its CA. No layer holds them.
FROM base AS python
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN useradd --create-home --uid 1000 cell
ARG HARNESS
COPY ${HARNESS}/docker/build-constraints.txt /locks/

# The wheel. If its builders are pinned, the same source gives the same wheel, byte for byte. If not, pip fetches what the
# project asks for. There is no git here. A backend that reads the version from git takes it from the last argument.
FROM python AS wheel
ARG BUILT_FROM
ARG BUILD_CONSTRAINTS
ARG SETUPTOOLS_SCM_PRETEND_VERSION
RUN --mount=type=cache,target=/var/cache/pip --mount=type=bind,target=/mnt \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem \
    export PIP_CACHE_DIR=/var/cache/pip PIP_CERT="$(ls /run/secrets/ca.pem 2>/dev/null)" \
 && mkdir /source && cd /mnt && cp --recursive --parents ${BUILT_FROM} /source && cd /source \
 && { [ -z "${BUILD_CONSTRAINTS}" ] || pip install --quiet --require-hashes --requirement "/mnt/${BUILD_CONSTRAINTS}"; } \
 && pip wheel --quiet --no-deps ${BUILD_CONSTRAINTS:+--no-build-isolation} --wheel-dir /wheel .

# The environment, from the lock. No compiler is needed: only an old JAX has no wheel, and it is pure Python. Its build
# tools are in another folder, which is removed. A nightly JAX is installed first, from its own index, because pip would
# merge two indexes.
FROM python AS dependencies
RUN python -m venv /opt/cell
ENV PATH=/opt/cell/bin:$PATH
ARG CELL
ARG INSTALL_FIRST
ARG INSTALL
ARG AS_OF
COPY locks/${CELL}*.txt /locks/
RUN --mount=type=cache,target=/var/cache/pip \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem \
    export PIP_CACHE_DIR=/var/cache/pip PIP_CERT="$(ls /run/secrets/ca.pem 2>/dev/null)" \
 && pip install --quiet --require-hashes --requirement /locks/build-constraints.txt --target /opt/builders \
 && { [ -z "${INSTALL_FIRST}" ] || pip install --progress-bar=off ${INSTALL_FIRST}; } \
 && PYTHONPATH=/opt/builders pip install --progress-bar=off --use-pep517 --no-build-isolation ${INSTALL} \
 && rm -r /opt/builders
ARG BRIDGE
ARG HARNESS
RUN --mount=type=bind,target=/mnt \
    [ -z "${BRIDGE}" ] \
 || python "/mnt/${HARNESS}/docker/bridge/install.py" --only-bridge --python /opt/cell/bin/python --jax "${BRIDGE}"

# For development: the same dependencies, with git and make. The user mounts the source. `make test` makes its own
# environment in the source folder. `python -m pytest` tests the source with the dependencies of the cell.
FROM dependencies AS dev
RUN --mount=type=secret,id=apt.conf,target=/etc/apt/apt.conf \
    --mount=type=secret,id=apt.sources,target=/etc/apt/sources.list.d/debian.sources \
    --mount=type=secret,id=ca.pem,mode=0444 \
    echo "Acquire::https::CAInfo \"$(ls /run/secrets/ca.pem 2>/dev/null)\";" > /tmp/apt.conf \
 && export APT_CONFIG=/tmp/apt.conf \
 && apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git make openssh-client \
 && rm -rf /tmp/apt.conf /var/lib/apt/lists/*
USER 1000

# The cell: the wheel and the suite, without the source tree. harness/source/suite.py has the same layout.
FROM dependencies AS cell
ARG BASE
ARG CELL
RUN --mount=type=bind,from=wheel,source=/wheel,target=/mnt pip install --quiet --no-deps --no-index /mnt/*.whl
RUN install -d -o cell -g cell /suite /results
ARG HARNESS
COPY ${HARNESS}/docker/inside /plugins
USER 1000
WORKDIR /suite
ARG SUITE
RUN --mount=type=bind,target=/mnt cd /mnt && cp --recursive --parents ${SUITE} /suite
ARG EXPECT
ENV EQX_CELL=${CELL} \
    EQX_EXPECT="${EXPECT}" \
    EQX_PROGRESS=/results/progress.json \
    EQX_REPORT=/results/report.json \
    MPLBACKEND=agg \
    PYTHONNOUSERSITE=1 \
    PYTHONPATH=/plugins \
    XLA_PYTHON_CLIENT_PREALLOCATE=false
CMD ["python", "-m", "pytest", "-p", "proof_of_place", "-p", "cell_report", "-p", "workers", "-n", "auto", "--rootdir=/suite", "--junitxml=/results/junit.xml", "tests"]
ARG LOCK
ARG REVISION
LABEL org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.title="${CELL}" \
      harness.cell="${CELL}" \
      harness.expect="${EXPECT}" \
      harness.lock="${LOCK}"

# --- For this backend only ---

# Each process has its own chips. A killed process leaves libtpu's lock file, which must not block others.
ENV JAX_PLATFORMS=tpu,cpu JAX_PLATFORM_NAME=tpu ALLOW_MULTIPLE_LIBTPU_LOAD=true
