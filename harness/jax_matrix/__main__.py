"""The command `jax-matrix`, also as `python -m jax_matrix`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import command_line
from harness.system import pipes


def main() -> int:
    """Do the command that the arguments name. Returns the exit status."""
    return pipes.quietly(lambda: command_line.start(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
