"""What to say when this Python lacks the tools that the harness needs. Imports the standard library only."""

import sys
from pathlib import Path
from typing import NoReturn


def report_and_exit(error: ModuleNotFoundError) -> NoReturn:
    """Name the missing tool and the command that installs it, then exit with status 3.

    If a module of the harness itself is missing, the checkout is incomplete. Then the error is raised again.
    """
    if (error.name or "").partition(".")[0] in ("harness", "inside"):
        raise error
    message = (
        "This Python ({0}) has no `{1}`. This command makes an environment with all the tools, and runs there: "
        "{0} docker/in_venv.py .venv-harness python docker/{2}"
    )
    print(message.format(sys.executable, error.name, Path(sys.argv[0]).name), file=sys.stderr)
    sys.exit(3)
