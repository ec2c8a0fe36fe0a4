"""The tools of the harness may not be here, in which case nothing else of it can be imported."""

import sys
from pathlib import Path
from typing import NoReturn


def leave(error: ModuleNotFoundError) -> NoReturn:
    """Say what is lacking, with the next move. A module of the harness itself is no tool: the checkout lacks it."""
    if (error.name or "").partition(".")[0] in ("harness", "inside"):
        raise error
    message = (
        "This Python ({}) has no `{}`. `make doctor` makes one with all the tools: .venv-harness/bin/python docker/{}"
    )
    print(message.format(sys.executable, error.name, Path(sys.argv[0]).name), file=sys.stderr)
    sys.exit(3)
