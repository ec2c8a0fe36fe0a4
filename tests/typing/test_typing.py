"""Type checkers say of the uses of the library what is written beside them.

The `*_cases.py` files aren't run. A wrong use has a comment with the rules that each checker names for its line:

    jitted("a")  # error: mypy[arg-type] pyright[reportArgumentType]

No other line has an error. `assert_type` says what the type of a value is. `make lint` runs this file, because it has
the checkers. The cells of the matrix don't have them, so this folder isn't copied to a cell.
"""

import glob
import json
import os
import re
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CASES = sorted(glob.glob(os.path.join(HERE, "*_cases.py")))


def _expected(checker):
    """`{"file.py:12": rules}` for all lines with an error, as the comments say."""
    found = {}
    for path in CASES:
        with open(path, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                comment = re.search(r"# error: .*\b{}\[(.+?)\]".format(checker), line)
                if comment:
                    found["{}:{}".format(os.path.basename(path), number)] = set(comment.group(1).split(","))
    return found


def _run(*command):
    pytest.importorskip(command[0], reason="{} is not installed: `make lint` has it".format(command[0]))
    done = subprocess.run(
        [sys.executable, "-m", *command, *CASES],
        cwd=ROOT,
        env=dict(os.environ, MYPYPATH=ROOT),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def _mypy():
    # Without the options of pyproject.toml, which hide the types of JAX: those are for the library itself.
    options = ["--config-file=", "--strict", "--follow-imports=silent", "--cache-dir=.mypy_cache/typing"]
    for line in _run("mypy", *options, "--output=json").splitlines():
        error = json.loads(line)
        if error["severity"] == "error":
            yield error["file"], error["line"], error["code"], error["message"]


def _pyright():
    for error in json.loads(_run("pyright", "--pythonpath=" + sys.executable, "--outputjson"))["generalDiagnostics"]:
        if error["severity"] == "error":
            yield error["file"], error["range"]["start"]["line"] + 1, error["rule"], error["message"]


@pytest.mark.parametrize("checker, errors", [("mypy", _mypy), ("pyright", _pyright)], ids=["mypy", "pyright"])
def test_type_checkers_say_what_is_expected(checker, errors):
    """Each wrong use is an error of the rule beside it, and no other line has an error."""
    rules, messages = {}, {}
    for path, line, rule, message in errors():
        place = "{}:{}".format(os.path.basename(path), line)
        rules.setdefault(place, set()).add(rule)
        messages.setdefault(place, []).append("{} [{}]".format(message, rule))
    expected = _expected(checker)
    differ = sorted(place for place in rules.keys() | expected.keys() if rules.get(place) != expected.get(place))
    assert not differ, "\n".join("{}: {}".format(place, messages.get(place, "no error")) for place in differ)


def test_every_wrong_use_is_an_error_of_both():
    """No comment names one type checker only."""
    assert len(_expected("mypy")) > 50
    assert _expected("mypy").keys() == _expected("pyright").keys()
