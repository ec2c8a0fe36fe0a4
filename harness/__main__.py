"""`python -m harness`: start the command line. Old Pythons can read this file.

From another folder, name the folder of this file instead: `python CHECKOUT/harness`. If this Python lacks the tools of
the harness, the command runs in `.venv-harness`, which has them.
"""

import sys
from pathlib import Path

if not __package__:  # Python was started with the name of the folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from harness import in_venv
from harness.system import pipes
from harness.system.paths import HOME

TOOLS = ".venv-harness"


def start() -> int:
    if sys.version_info < (3, 10):  # noqa: UP036
        sys.stderr.write("The harness needs Python 3.10 or later, and this is {}.\n".format(sys.version.split()[0]))
        return 3
    try:
        from harness import command_line  # noqa: PLC0415  (this file runs on Pythons that can't read it)

        return command_line.start(sys.argv[1:])
    except ModuleNotFoundError as error:
        if Path(sys.prefix).name == TOOLS or (error.name or "").startswith("harness"):
            raise
    return in_venv.main([TOOLS, "python", str(HOME / "harness"), *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(pipes.quietly(start))
