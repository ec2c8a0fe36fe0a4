"""The tools of the harness may not be here, in which case nothing else of it can be imported."""

import sys
from pathlib import Path
from typing import NoReturn


def leave(error: ModuleNotFoundError) -> NoReturn:
    """Say what is lacking, with the next move. A module of the harness itself is no tool: the checkout lacks it."""
    if (error.name or "").partition(".")[0] in ("harness", "inside"):
        raise error
    message = (
        "This Python ({0}) has no `{1}`. In an environment with all the tools, which is made where there is none: "
        "{0} docker/in_venv.py .venv-harness python docker/{2}"
    )
    print(message.format(sys.executable, error.name, Path(sys.argv[0]).name), file=sys.stderr)
    sys.exit(3)
