"""What the tests do outside of this process: files that they write, programs that they run, and waiting for others."""

import functools
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def write(root, files):
    """Write the `files`, `{name: text}`, below `root`. Returns `root`."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def run(*command, **options):
    """Run a program in the checkout, or with other options of `subprocess.run`. Its output is text."""
    usual = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.run(list(map(str, command)), **{**usual, "check": False, **options})  # noqa: PLW1510


def python(*words, **env):
    """Run this Python in the checkout, with more environment variables. It can import the harness."""
    return run(sys.executable, *words, env={**os.environ, "PYTHONPATH": str(ROOT), **env})


def run_pytest(folder, plugins, *args, **env):
    """Run pytest in a folder with pytest-xdist and plugins of the harness. Its variables are those of no other run."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("EQX_", "JAX_", "PYTEST_"))}
    loaded = [word for plugin in (*plugins, "xdist") for word in ("-p", plugin)]
    return run(
        *[sys.executable, "-m", "pytest", *loaded, "-p", "no:cacheprovider", *args],
        cwd=folder,
        env={**inherited, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **env},
        stderr=subprocess.STDOUT,
    )


def git_in(folder):
    """A function that runs git in a folder, as a user whose name needs no settings."""
    return functools.partial(run, "git", "-c", "user.name=x", "-c", "user.email=x@example.org", cwd=folder, check=True)


PATIENCE_S = 600  # a test fails only if something never happens, and not if the machine is busy


def wait_until(true, process=None):
    """Wait for what another process does. The test fails if `process` ends before."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)


def is_running(pid):
    """Whether the process exists and isn't a zombie."""
    try:
        return Path("/proc/{}/stat".format(pid)).read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
