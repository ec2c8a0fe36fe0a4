"""The engine: its error messages are understood, and docker is called correctly.

The messages are real output of docker, the engine, BuildKit and pip. Those about GPUs come from public bug reports.
"""

import ast
import re
import threading

import pytest

from harness.containers import docker_errors, engine
from harness.containers.docker_errors import DockerError
from harness.locks.package_source import Source
from harness.results import Outcome
from harness.system.paths import ROOT

HERE, NOT_RUN, UNAVAILABLE = "unix:///run/docker.sock", Outcome.NOT_RUN, Outcome.UNAVAILABLE
DIAL = (
    'error during connect: Get "http://docker.example.com/v1.24/version": command [ssh -- gpu docker system '
    "dial-stdio] has exited with exit status 255, please make sure the URL is valid, and Docker 18.09 or later is "
    "installed on the remote host: stderr="
)
SHIM = (
    "Error response from daemon: failed to create shim task: OCI runtime create failed: runc create failed: unable to "
    "start container process: "
)
HOOK = (
    SHIM + "error during container init: error running hook #0: error running hook: exit status 1, stdout: , stderr: "
    "Auto-detected mode as 'legacy'\nnvidia-container-cli: "
)
RETRYING = (
    "#4 7.942 WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after "
    "connection broken by "
)
NO_MATCH = (
    "#4 7.948 ERROR: Could not find a version that satisfies the requirement jax==0.12.0.1 (from versions: none)\n"
    "#4 7.971 ERROR: No matching distribution found for jax==0.12.0.1"
)
FAILED = "\n#4 ERROR: executor failed running [/bin/sh -c pip install --quiet x]: exit code: 1\n------\n"
URLLIB = "'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7ff905b84690>: "

SAID = {
    "no permission": (
        "permission denied while trying to connect to the Docker daemon socket at " + HERE + ': Get "http://%2Frun'
        '%2Fdocker.sock/v1.24/version": dial unix /run/docker.sock: connect: permission denied',
        NOT_RUN,
        [HERE, "usermod -aG docker"],
    ),
    "no engine": (
        "Cannot connect to the Docker daemon at " + HERE + ". Is the docker daemon running?",
        NOT_RUN,
        [HERE, "systemctl start docker", "DOCKER_HOST"],
    ),
    "no such host": (
        'error during connect: Get "http://nohost.invalid:2375/v1.24/version": dial tcp: lookup nohost.invalid on '
        "10.0.0.1:53: no such host",
        NOT_RUN,
        ["nohost.invalid", "DOCKER_HOST"],
    ),
    "ssh: no such host": (
        DIAL + "ssh: Could not resolve hostname gpu: Name or service not known\n",
        NOT_RUN,
        ["Could not resolve hostname gpu", "ssh HOST docker version"],
    ),
    "ssh: refused": (
        DIAL + "ssh: connect to host 127.0.0.1 port 22: Connection refused\n",
        NOT_RUN,
        ["port 22: Connection refused"],
    ),
    "ssh: no key": (DIAL + "me@gpu: Permission denied (publickey).\n", NOT_RUN, ["Permission denied (publickey)"]),
    "ssh: no docker there": (DIAL + "bash: docker: command not found\n", NOT_RUN, ["doesn't answer"]),
    "no context (20.10)": (
        'unable to resolve docker endpoint: context "nope" does not exist',
        NOT_RUN,
        ["`nope`", "docker context ls"],
    ),
    "no context (28)": (
        'Failed to initialize: unable to resolve docker endpoint: context "nope": context not found: open /home/me/'
        ".docker/contexts/meta/ca37/meta.json: no such file or directory",
        NOT_RUN,
        ["`nope`", "docker context ls"],
    ),
    "no buildx": (
        "ERROR: BuildKit is enabled but the buildx component is missing or broken.\n       Install the buildx",
        NOT_RUN,
        ["docker-buildx"],
    ),
    "no buildx, of which an option is meant": (
        "unknown flag: --format\nSee 'docker --help'.\n\nUsage:  docker [OPTIONS] COMMAND\n",
        NOT_RUN,
        ["docker-buildx"],
    ),
    "no NVIDIA runtime": (
        'time="2026-11-22T19:59:58Z" level=error msg="error waiting for container: context canceled"\nError response '
        'from daemon: could not select device driver "" with capabilities: [[gpu]]',
        NOT_RUN,
        ["NVIDIA Container Toolkit", "restart"],
    ),
    "no NVIDIA runtime (29)": (
        "Error response from daemon: failed to discover GPU vendor from CDI: no known GPU vendor found",
        NOT_RUN,
        ["NVIDIA Container Toolkit"],
    ),
    "no driver": (
        HOOK + "initialization error: nvml error: driver not loaded: unknown.",
        NOT_RUN,
        ["driver not loaded", "nvidia-smi"],
    ),
    "no driver library": (
        HOOK + "initialization error: load library failed: libnvidia-ml.so.1: cannot open shared object file: no such "
        "file or directory: unknown",
        NOT_RUN,
        ["libnvidia-ml.so.1", "nvidia-smi"],
    ),
    "old driver": (
        HOOK + "requirement error: unsatisfied condition: cuda>=11.8, please update your driver to a newer version, or "
        "use an earlier cuda container: unknown.",
        Outcome.UNSUPPORTED,
        ["cuda>=11.8", "update the driver"],
    ),
    "toolkit under an engine without root": (
        HOOK + "mount error: failed to add device rules: unable to find any existing device filters attached to the "
        "cgroup: bpf_prog_query(BPF_CGROUP_DEVICE) failed: operation not permitted: unknown",
        NOT_RUN,
        ["bpf_prog_query", "no-cgroups=true", "restart the engine"],
    ),
    "toolkit of an engine without root under one with it": (
        "Failed to initialize NVML: Unknown Error\n",
        NOT_RUN,
        ["no-cgroups=false"],
    ),
    "no control groups": (
        SHIM + "unable to apply cgroup configuration: mkdir /sys/fs/cgroup/docker: read-only file system: unknown",
        NOT_RUN,
        ["control groups", "delegate"],
    ),
    "no pids controller": (
        "Error response from daemon: cgroups: cannot find cgroup mount destination: unknown",
        NOT_RUN,
        ["control groups"],
    ),
    "no engine without root": (
        "Cannot connect to the Docker daemon at unix:///run/user/1000/docker.sock. Is the docker daemon running?",
        NOT_RUN,
        ["systemctl --user start docker"],
    ),
    "no nvidia-smi": (
        SHIM + 'exec: "nvidia-smi": executable file not found in $PATH: unknown',
        NOT_RUN,
        ["NVIDIA Container Toolkit"],
    ),
    "--privileged refused": (
        SHIM + "unable to apply caps: operation not permitted: unknown",
        NOT_RUN,
        ["--privileged", "TPU VM"],
    ),
    "limits refused": (
        SHIM + "error during container init: error setting rlimits for ready process: error setting rlimit type 8: "
        "operation not permitted: unknown",
        NOT_RUN,
        ["--privileged", "rlimit"],
    ),
    "disk full, in a step": (
        "#4 9.1 ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device" + FAILED,
        UNAVAILABLE,
        ["No space left on device", "prune"],
    ),
    "disk full, in the engine": (
        "#9 ERROR: failed to copy files: copy file range failed: no space left on device",
        UNAVAILABLE,
        ["prune"],
    ),
    "killed for memory": (
        "#4 0.142 Killed\n#4 ERROR: executor failed running [/bin/sh -c pip install x]: exit code: 137",
        UNAVAILABLE,
        ["memory"],
    ),
    "killed for memory (28)": (
        '#4 ERROR: process "/bin/sh -c pip install x" did not complete successfully: exit code: 137',
        UNAVAILABLE,
        ["memory"],
    ),
    "out of memory": ("#5 0.163 MemoryError" + FAILED, UNAVAILABLE, ["memory"]),
    "no registry": (
        'failed to do request: Head "https://registry.example/v2/nosuch/image/manifests/1": dial tcp: lookup '
        "registry.example on 10.0.0.1:53: no such host",
        UNAVAILABLE,
        ["registry.example", "network"],
    ),
    "no registry, for a container": (
        "Unable to find image 'nosuch:image' locally\nError response from daemon: Get \"https://registry.example/v2/"
        '": dial tcp: lookup registry.example on 10.0.0.1:53: no such host',
        UNAVAILABLE,
        ["registry.example"],
    ),
    "no base": (
        "#3 ERROR: registry.example/library/python:3.99-slim-bookworm: not found",
        UNAVAILABLE,
        ["python:3.99-slim-bookworm", "matrix.toml"],
    ),
    "no base (28)": (
        "ERROR: failed to solve: python:3.99-slim: failed to resolve source metadata for "
        "registry.example/library/python:3.99-slim: registry.example/library/python:3.99-slim: not found",
        UNAVAILABLE,
        ["python:3.99-slim", "matrix.toml"],
    ),
    "no repository": (
        "pull access denied, repository does not exist or may require authorization: server message: "
        "insufficient_scope: authorization failed",
        UNAVAILABLE,
        ["matrix.toml"],
    ),
    "too many requests": (
        "#3 ERROR: pulling from host registry.example failed with status code [manifests 20.10]: 429 Too Many Requests",
        UNAVAILABLE,
        ["docker login"],
    ),
    "no index": (
        RETRYING
        + URLLIB
        + "Failed to establish a new connection: [Errno -2] Name or service not known')': /simple/jax/\n"
        + NO_MATCH
        + FAILED,
        UNAVAILABLE,
        ["Name or service not known", "network"],
    ),
    "index of an unknown CA": (
        RETRYING
        + "'SSLError(SSLError(136, '[X509: NO_CERTIFICATE_OR_CRL_FOUND] no certificate or crl found (_ssl.c:4168)'))"
        "': /simple/six/\n" + NO_MATCH + FAILED,
        UNAVAILABLE,
        ["SSL_CERT_FILE"],
    ),
    "no such release": (NO_MATCH + FAILED, UNAVAILABLE, ["jax==0.12.0.1", "verify-locks CELL=the-cell", "the.lock"]),
    "another file": (
        "#5 1.012 ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated"
        + FAILED,
        UNAVAILABLE,
        ["the.lock", "make lock CELL=the-cell"],
    ),
}


SOURCE = Source("the.lock", cure="make lock CELL=the-cell", lost="verify-locks CELL=the-cell, of the.lock")


@pytest.mark.parametrize("name", SAID)
def test_a_known_error_is_explained(name):
    """The explanation is one line. It quotes the important part of the output and names the next move."""
    said, outcome, expected = SAID[name]
    understood = docker_errors.understand(said, **vars(SOURCE))
    assert understood is not None and understood.outcome is outcome
    for words in expected:
        assert words in str(understood)
    assert "\n" not in str(understood) and len(str(understood)) < 400


def test_every_rule_is_needed():
    """Each rule is the first that fits some message, so no rule hides another."""
    patterns = [pattern for rules in docker_errors.RULES.values() for pattern in rules]
    first = {
        next(each for each in patterns if re.search(each, docker_errors.plain(said), re.IGNORECASE | re.MULTILINE))
        for said, *_ in SAID.values()
    }
    assert first == set(patterns)


@pytest.mark.parametrize("said", ["", "3 passed", "#5 DONE 0.4s"])
def test_other_output_is_not_explained(said):
    assert docker_errors.understand(said) is None


def explained_phrases():
    """The messages in the table of docs/containers.md. A message is cut where the table has `...`."""
    page = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
    lines = page.split("| It says | Do |\n|---|---|\n")[1].split("\n\n")[0].splitlines()
    return [phrase for line in lines for phrase in re.split("; |: ", line.split(" | ")[0].strip("| "))]


def test_what_the_page_explains_is_said():
    """Each message in the table is in the code. `...` stands for text that is filled in or follows."""
    said = set()
    for file in [*(ROOT / "harness").glob("**/*.py"), *(ROOT / "docker" / "inside").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                said.add(re.sub("`?{.*?}`?", "...", node.value))
    said = "\n".join(said)
    assert [phrase for phrase in explained_phrases() if phrase.removesuffix("...").strip() not in said] == []


def test_failed_step():
    """Only the output of the failed step is returned, even if steps ran in parallel."""
    said = (
        "#4 0.1 four\n#5 0.2 five\n#5 ERROR: exit code: 1\n#4 0.3 four\n#4 CANCELED\n------\n > [2/2] RUN x:\n------\n"
    )
    assert docker_errors.failed_step(said) == "five\nERROR: exit code: 1"


def test_ask(docker):
    docker.answer("version", out="27.0\n")
    assert engine.ask("version", "--format", "x") == "27.0"
    docker.answer("version", status=1, err="what nobody has heard of\n")
    with pytest.raises(DockerError, match="what nobody has heard of"):
        engine.ask("version")


@pytest.mark.parametrize(
    "endpoint, local", [("unix:///run/docker.sock", True), ("ssh://me@gpu", False), ("tcp://127.0.0.1:2375", False)]
)
def test_is_local(docker, endpoint, local):
    docker.answer("context", out=endpoint + "\n")
    assert engine.is_local() is local


def test_checkout(tmp_path, monkeypatch):
    """The id of a checkout stays the same. Every other checkout has another id, even a copy of the folder."""
    monkeypatch.setattr(engine, "WORK", tmp_path)
    mine = engine.checkout()
    assert engine.checkout() == mine
    monkeypatch.setattr(engine, "ROOT", tmp_path)
    assert engine.checkout() != mine
    monkeypatch.undo()
    monkeypatch.setattr(engine, "WORK", tmp_path / "other")
    assert engine.checkout() != mine


def test_a_container_is_removed_after_an_error(docker, tmp_path):
    with (tmp_path / "log").open("wb") as log, pytest.raises(ZeroDivisionError):
        with engine.container("image", log=log, cancel=threading.Event()) as name:
            assert docker.containers == [name]
            raise ZeroDivisionError
    assert docker.containers == []


def test_build_is_buildkit(docker, tmp_path, monkeypatch):
    """Older versions of docker use the classic builder by default, so BuildKit is asked for."""
    monkeypatch.setattr(engine, "program", lambda: "env")
    monkeypatch.delenv("DOCKER_BUILDKIT", raising=False)
    with (tmp_path / "log").open("wb") as log:
        completed = engine.follow(log=log, cancel=threading.Event())
    assert "DOCKER_BUILDKIT=1\n" in completed.output


def test_podman_is_refused(docker):
    """With the package podman-docker, `docker` is Podman. It answers at first, but later steps would fail."""
    docker.answer("--version", out="podman version 5.4.0\n")
    with pytest.raises(DockerError, match="is Podman.*--where host"):
        engine.check()
