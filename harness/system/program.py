"""How a user types a command of the harness, for messages that name the next move."""

from harness.system.paths import HOME

# The wheel keeps the files of the harness in the package `jax_matrix`; see harness/hatch_build.py.
INSTALLED = HOME.name == "jax_matrix"
PROGRAM = "jax-matrix" if INSTALLED else "python -m harness"
GET_TOOLS = "Install jax-matrix again" if INSTALLED else "Install the tools: pip install -r harness/requirements.lock"


def typed(*words: str) -> str:
    """The command with these arguments, as in "python -m harness lock py311-jax0.4.30-cpu"."""
    return " ".join((PROGRAM, *words))
