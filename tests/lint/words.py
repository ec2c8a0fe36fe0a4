"""Find misspelt words, and for turns that plain English doesn't use: `python tests/lint/words.py [FILE ...]`.

Without files, it reads every file that Git knows. It prints `file:line`, what stands there, and what to write instead.
The exit status is 1 if it found anything.
"""

import pathlib
import re
import subprocess
import sys

TURNS = pathlib.Path(__file__).with_name("turns.txt")
# The list itself, texts of other people, and files that tools write.
NOT_OURS = re.compile(r"tests/lint/turns\.txt|LICENSE|locks/.*|docs/matrix\.json|.*\.lock|.*-constraints\.txt")


def read_turns(text):
    """The turns in `text`, a file like `turns.txt`: `[(pattern, turn, what to write instead), ...]`."""
    pairs = [line.split(" -> ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    return [(_pattern(turn), turn, instead) for turn, instead in pairs]


def _pattern(turn):
    """What matches `turn`, also where a line ends within it. The next line of a comment starts with `#`."""
    return re.compile(r"\b" + r"[\s#]+".join(map(re.escape, turn.split())) + r"\b", re.IGNORECASE)


def find_turns(text, turns):
    """Where `text` uses one of `turns`: `[(line, turn, what to write instead), ...]` in the order of the lines."""
    found = [
        (text.count("\n", 0, match.start()) + 1, turn, instead)
        for pattern, turn, instead in turns
        for match in pattern.finditer(text)
    ]
    return sorted(found)


def texts(paths):
    """`(path, text)` for each of our files among `paths` that is text."""
    for path in paths:
        try:
            if not NOT_OURS.fullmatch(path):
                yield path, pathlib.Path(path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, IsADirectoryError, FileNotFoundError):
            pass  # a picture, or a file that was removed and is still known to Git


def main(paths):
    if not paths:
        listed = subprocess.run(["git", "ls-files", "-z"], stdout=subprocess.PIPE, check=True).stdout
        paths = listed.decode().split("\0")
    ours = dict(texts(paths))
    turns = read_turns(TURNS.read_text(encoding="utf-8"))
    found = False
    for path, text in ours.items():
        for line, turn, instead in find_turns(text, turns):
            found = True
            print("{}:{}: `{}`. Write instead: {}.".format(path, line, turn, instead))
    misspelt = subprocess.run([sys.executable, "-m", "codespell_lib", *ours], check=False).returncode
    return int(found or misspelt != 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
