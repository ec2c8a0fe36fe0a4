"""The environment of the peers. It has the same Python and JAX as ours."""

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from speed import process
from speed.contestants import Contestant

REQUIREMENTS = process.ROOT / "benchmarks" / "peers.txt"
ENVIRONMENT = process.ROOT / ".bench" / "peers"


def python(peer: Contestant, console: Console) -> str:
    """The Python of the environment. The environment is made if there is none for these requirements and this JAX."""
    same = ["{}=={}".format(name, version(name)) for name in ("jax", "jaxlib", "numpy", "optax")]
    wanted = "\n".join([sys.version, *same, REQUIREMENTS.read_text()])
    mark, interpreter = ENVIRONMENT / "made-from.txt", ENVIRONMENT / "bin" / "python"
    if mark.exists() and mark.read_text() == wanted:
        return str(interpreter)
    console.print("Making an environment for the peers in {}.".format(ENVIRONMENT))
    try:
        uv("venv", "--clear", "--quiet", "--python", sys.executable, str(ENVIRONMENT))
        uv("pip", "install", "--quiet", "--python", str(interpreter), "-r", str(REQUIREMENTS), *same)
    except (OSError, subprocess.CalledProcessError) as error:
        raise process.WorkerFailed("No environment for {}: {}".format(peer.name, error)) from None
    mark.write_text(wanted)
    return str(interpreter)


def uv(*arguments: str) -> None:
    """Run uv: the one beside this Python, where harness/requirements.txt installs it, or the one on PATH."""
    program = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if program is None:
        raise OSError("uv isn't installed. Run `pip install uv`")
    subprocess.run([program, *arguments], check=True)
