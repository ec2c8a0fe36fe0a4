"""Run the suite with the JAX that this Python has. Nothing is installed, and no environment is made.

    python3 docker/here.py --backend cuda
    python3 docker/here.py --backend cuda -- -k tree_at
    python3 docker/here.py --backend cuda --check --limit-s 480

This is for a machine without a Docker engine and without a package index. The script needs only what the suite needs.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Optional, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.system import pipes

# The package that lets JAX use a backend.
JAX_FOR = {
    "cpu": r"jaxlib==.*",
    "cuda": r"jax-cuda\d+-plugin==.*|jaxlib==.*\+cuda.*",
    "tpu": r"libtpu(-nightly)?==.*",
}
TARGETS = {"cpu": "test-cpu", "cuda": "test-gpu", "tpu": "test-tpu"}
INSTALL = {"cpu": "jax[cpu]", "cuda": "jax[cuda13]", "tpu": "jax[tpu]"}
ASK_S = 60  # an engine behind ssh may be slow

EPILOG = """\
Exit status: 0 all passed; 1 a test failed, or the tests ran on another device; 2 wrong usage; 3 it can't run here,
because a device or a package is missing; 130 after Ctrl-C.
"""


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", choices=sorted(JAX_FOR), required=True, help="the device that runs the tests")
    parser.add_argument(
        "--fits",
        action="store_true",
        help="run nothing; the exit status is 0 if no Docker engine answers and this Python has a JAX for the backend",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="also run the negative control of the proof of place and the benchmarks, within a time limit",
    )
    parser.add_argument("--limit-s", type=seconds, default=480, help="the limit of --check in seconds: %(default)s")
    parser.add_argument("args", nargs="*", metavar="ARG", help="an argument for pytest; no result is written then")
    options = parser.parse_args(argv)
    if options.fits:
        return 0 if fits(options.backend) else 1
    if sys.version_info < (3, 10):  # older Pythons can read this file, too
        return refuse("The harness needs Python 3.10 or later, and this is {}.".format(sys.version.split()[0]))
    try:
        from harness.run import device_check, installed_jax  # noqa: PLC0415  (pytest may be missing)
    except ModuleNotFoundError as error:
        command = "{} -m pip install pytest pytest-xdist".format(sys.executable)
        return refuse("This Python has no `{}`, which comes with pytest. Install it: {}".format(error.name, command))
    if jax_for(options.backend) is None:
        message = (
            "This Python ({0}) has no JAX for {1}. Install it, {0} -m pip install '{2}', or choose another Python."
        )
        return refuse(message.format(sys.executable, options.backend, INSTALL[options.backend]))
    if options.check:
        return device_check.run(options.backend, options.limit_s)
    return installed_jax.run(options.backend, options.args)


def seconds(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) == 0:
        raise argparse.ArgumentTypeError("expected a number of seconds, and got {!r}".format(text))
    return float(text)


def refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return 3


def fits(backend: str) -> bool:
    """Whether `make test-gpu` and similar commands should use this Python's JAX. If so, the reason is printed."""
    jax = jax_for(backend)
    no_engine = None if jax is None else why_no_engine()
    if no_engine is None:
        return False
    message = (
        "Using {} of {}, because no Docker engine answers ({}). `make {} WHERE=host` runs the cells of the matrix."
    )
    print(message.format(jax, sys.executable, no_engine, TARGETS[backend]), flush=True)
    return True


def jax_for(backend: str) -> Optional[str]:
    """The installed package that lets JAX use the backend, such as "jaxlib==0.11.2".

    It is `None` if there is no such package, or if this Python is too old.
    """
    if sys.version_info < (3, 10):
        return None
    from importlib.metadata import distributions  # noqa: PLC0415  (Python 3.7 doesn't have it)

    names = (
        "{}=={}".format(re.sub("[-_.]+", "-", found.metadata["Name"]).lower(), found.version)
        for found in distributions()
        if "Name" in found.metadata  # an interrupted pip leaves folders without a name
    )
    return next((name for name in names if re.fullmatch(JAX_FOR[backend], name)), None)


def why_no_engine() -> Optional[str]:
    """Say why no Docker engine answers, in docker's words.

    It is `None` if an engine answers. It is also `None` if the user names an engine: then the engine must be used.
    """
    if "DOCKER_HOST" in os.environ or "DOCKER_CONTEXT" in os.environ:
        return None
    program = shutil.which("docker")
    if program is None:
        return "there is no `docker` on the PATH"
    try:
        if b"podman" in ask(program, "--version").stdout.lower():
            return "`docker` is Podman here"
        done = ask(program, "version", "--format", "{{.Server.Version}}")
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return said[-1] if said else "`docker version` failed, and printed nothing"


def ask(*command: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_S, check=False)


if __name__ == "__main__":
    sys.exit(pipes.quietly(main))
