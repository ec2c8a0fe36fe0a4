"""Messages name a command as the user types it: `jax-matrix` if it is installed, and else `python -m harness`."""

import ast
from collections.abc import Iterator
from pathlib import Path

from harness.system.paths import HOME
from harness.system.program import PROGRAM, typed

BY_HAND = "python -m harness"
FILES = [path for path in (HOME / "harness").rglob("*.py") if path.name not in ("program.py", "hatch_build.py")]


def texts(file: Path) -> Iterator[str]:
    """The strings of a file that aren't docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_no_message_names_the_command_by_hand() -> None:
    assert FILES
    for file in [*FILES, HOME / "toxfile.py"]:
        assert not [text for text in texts(file) if BY_HAND in text], file


def test_in_a_checkout_the_command_is_the_module() -> None:
    assert PROGRAM == BY_HAND and typed("lock", "x") == "python -m harness lock x"
