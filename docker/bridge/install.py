"""Install an old JAX, jaxlib 0.4.13, and the bridge between the two into an environment.

    python docker/bridge/install.py --python ENV/bin/python --jax 0.2.18

The environment must exist: make it with `python -m venv` or `uv venv`. uv fetches the packages if it is on the PATH,
else the pip of the environment does. This script runs on Python 3.8 and later.

A `.pth` file activates the bridge. This script removes it first and writes it last. Without it the old JAX can't be
imported. So a failed or interrupted installation can't be mistaken for a complete one.

Exit status: 0 if JAX is installed and runs, 2 if this JAX or environment isn't supported, 3 if the installation failed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from jax_bridge import releases

HERE = Path(__file__).resolve().parent
PACKAGE = HERE / "jax_bridge"
REQUIREMENTS = HERE / "requirements.txt"

ACTIVATE = "import jax_bridge; jax_bridge.wait_for_jaxlib()"

# This code runs in the environment, isolated from the caller's folder and variables. It prints what is there, as JSON.
PROBE = """
import importlib.util, json, sys, sysconfig
def version(name):
    try:
        import importlib.metadata
        return importlib.metadata.version(name)
    except ImportError:  # PackageNotFoundError is an ImportError. Python 3.7 has no such module, and is refused later.
        return None
print(json.dumps({
    "python": sys.version_info[:2],
    "site_packages": sysconfig.get_paths()["purelib"],
    "has_pip": importlib.util.find_spec("pip") is not None,
    "jax": version("jax"),
    "jaxlib": version("jaxlib"),
}))
"""

# This code checks that JAX runs. It activates the bridge itself, because the `.pth` file isn't written yet.
CHECK = (
    ACTIVATE
    + """
import logging
logging.disable(logging.WARNING)  # JAX warns that there is no GPU
import jax, jax.numpy as jnp
assert jax_bridge.active(), "the bridge is not active"
assert jax.__version__ == {jax!r}, "this is jax " + jax.__version__
assert jax.jit(lambda x: x + 1)(jnp.arange(3)).tolist() == [1, 2, 3], "jit gives wrong numbers"
print("jax {{0.jax}} runs on jaxlib {{0.jaxlib}}, across the bridge".format(jax_bridge.facts()))
"""
)


class Refused(Exception):
    """The bridge doesn't support this JAX or this environment. Exit status 2."""


class SetupFailed(Exception):
    """The installation failed. Exit status 3."""


Run = Callable[..., "subprocess.CompletedProcess[str]"]
Which = Callable[[str], Optional[str]]


class Environment(NamedTuple):
    """What is installed in the environment of the interpreter `python`."""

    python: str
    python_version: Sequence[int]
    site_packages: Path
    has_pip: bool
    jax: Optional[str]
    jaxlib: Optional[str]


def install(
    python: str, jax: str, only_bridge: bool = False, run: Run = subprocess.run, which: Which = shutil.which
) -> None:
    """Install JAX and the bridge into an environment.

    Args:
        python: The interpreter of the environment.
        jax: The release of JAX.
        only_bridge: JAX and jaxlib are installed already. Install the bridge only.
        run: Used in place of `subprocess.run`.
        which: Used in place of `shutil.which`.

    Raises:
        Refused: The bridge doesn't support this JAX or this environment. The message is for the user.
        SetupFailed: The installation failed. The message is for the user.
    """
    refuse_release(jax)
    environment = look_into(python, run)
    refuse_environment(environment, jax, only_bridge)
    commands = [] if only_bridge else install_commands(environment, jax, which)

    activation = environment.site_packages / "jax_bridge.pth"
    try:
        remove(activation)
        for command in commands:
            call(command, run)
        copy_package(environment.site_packages)
        call([python, "-I", "-c", CHECK.format(jax=jax)], run, env=dict(os.environ, JAX_PLATFORMS="cpu"))
        write_whole(activation, ACTIVATE + "\n")
    except OSError as error:
        raise SetupFailed(
            "Writing to the environment failed: {}. Fix that, and run this again.".format(error)
        ) from error


def refuse_release(jax: str) -> None:
    try:
        refusal = releases.refuses_jax(jax)
    except ValueError as error:
        raise Refused(str(error)) from None
    if refusal is not None:
        raise Refused(refusal)


def look_into(python: str, run: Run) -> Environment:
    try:
        done = run([python, "-I", "-c", PROBE], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise Refused("`{}` fails (exit status {}): is it Python 3.8 or later?".format(python, done.returncode))
    except OSError as error:
        message = "`{}` can't be run: {}. Pass the interpreter of an environment to --python, as in ENV/bin/python."
        raise Refused(message.format(python, error.strerror)) from None
    found: Dict[str, Any] = json.loads(done.stdout)
    return Environment(
        python, found["python"], Path(found["site_packages"]), found["has_pip"], found["jax"], found["jaxlib"]
    )


def refuse_environment(environment: Environment, jax: str, only_bridge: bool) -> None:
    major, minor = environment.python_version
    refusal = releases.refuses_python((major, minor), jax)
    if refusal is not None:
        raise Refused(refusal)
    if only_bridge and (environment.jax, environment.jaxlib) != (jax, releases.JAXLIB):
        message = (
            "--only-bridge expects jax {} and jaxlib {} in the environment, and found {} and {}. Install them first."
        )
        raise Refused(message.format(jax, releases.JAXLIB, environment.jax or "none", environment.jaxlib or "none"))


def install_commands(environment: Environment, jax: str, which: Which) -> List[List[str]]:
    """The commands that fetch the packages."""
    uv = which("uv")
    build: List[str] = []
    if uv is not None:
        installer = [uv, "pip", "install", "--quiet", "--python", environment.python]
    elif environment.has_pip:
        installer = [environment.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        build = ["--use-pep517"]  # uv's default; the index has these releases of JAX as source only
    else:
        message = "There is no uv on the PATH, and no pip in the environment of `{}`. Install one: {} -m ensurepip"
        raise Refused(message.format(environment.python, environment.python))
    return [
        [*installer, "--only-binary", ":all:", "-r", str(REQUIREMENTS)],
        # Without its dependencies: its own jaxlib isn't in the index, and requirements.txt pins the others.
        [*installer, *build, "--no-deps", "jax==" + jax],
    ]


def call(command: Sequence[str], run: Run, **options: Any) -> None:
    """Run a command. Its output goes to the terminal."""
    try:
        done = run(command, check=False, **options)
    except OSError as error:
        raise SetupFailed("`{}` can't be run: {}.".format(command[0], error.strerror)) from error
    if done.returncode != 0:
        shown = " ".join(part if "\n" not in part else "'...'" for part in command)
        message = "This command failed with exit status {}; its output is above:\n  {}\nThe bridge isn't active there."
        raise SetupFailed(message.format(done.returncode, shown))


def copy_package(site_packages: Path) -> None:
    """Copy the package to a temporary name, then rename it, so that a half copy is never seen."""
    target = site_packages / PACKAGE.name
    with tempfile.TemporaryDirectory(prefix=".jax_bridge-", dir=str(site_packages)) as folder:
        copy = Path(folder) / PACKAGE.name
        shutil.copytree(str(PACKAGE), str(copy), ignore=shutil.ignore_patterns("__pycache__"))
        remove(target)
        os.replace(str(copy), str(target))


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it either doesn't exist or is complete."""
    unfinished = path.with_name(path.name + ".unfinished")  # Python ignores this name when it starts
    unfinished.write_text(text, encoding="utf-8")
    os.replace(str(unfinished), str(path))


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(str(path))
    elif path.exists() or path.is_symlink():
        path.unlink()


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n", 1)[0], epilog="Exit status: 0 installed, 2 refused, 3 failed."
    )
    parser.add_argument("--python", required=True, help="the interpreter of the environment, as in ENV/bin/python")
    parser.add_argument("--jax", required=True, help="the release of JAX, as in 0.2.18")
    parser.add_argument("--only-bridge", action="store_true", help="JAX and jaxlib are installed already, from a lock")
    options = parser.parse_args(argv)
    try:
        install(options.python, options.jax, options.only_bridge)
    except Refused as error:
        print(error, file=sys.stderr)
        return 2
    except SetupFailed as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
