"""The command `init`: write a matrix.toml, whose comments say what was found and why each row is there."""

import datetime
import json
import subprocess
import textwrap
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as canonical

from harness.init import choice, dates, layout, requirements
from harness.init.choice import Choice
from harness.init.layout import Layout
from harness.init.requirements import Requirements
from harness.locks import index
from harness.locks.index import IndexUnreachable
from harness.rows import matrix_file
from harness.rows.required import OF_JAX
from harness.system.errors import WrongUsage
from harness.system.files import write_whole
from harness.system.paths import MATRIX_NAME
from harness.system.program import typed

HEAD = """\
What is tested: {name}, on each of these releases of JAX. `{command}` wrote this file from what it found. \
Change it as you like.
"""
TIERS = "# tier  pr: for every change. nightly, the default: every night. canary: the same, and it never fails a run.\n"


def init(
    root: Path,
    force: bool = False,
    package: str = "",
    tests: Sequence[str] = (),
    run: requirements.Run = subprocess.run,
    opener: index.Opener = urllib.request.urlopen,
) -> Path:
    """Write the matrix.toml of the project below `root`.

    Args:
        root: The folder of the project.
        force: Replace the file if it is there already.
        package: The package to test, if there are several.
        tests: Where the tests are, if they can't be found.

    Returns:
        The path of the file.

    Raises:
        WrongUsage: The file is there already, or `root` has no project with tests.
        CannotGoOn: The project must be built to know what it requires, and that fails.
    """
    path = root / MATRIX_NAME
    if path.exists() and not force:
        raise WrongUsage("{} is there already. To replace it: {}".format(path, layout.typed_init(root, "--force")))
    if not root.is_dir():
        raise WrongUsage("There is no folder {}.".format(root))
    found = requirements.find(root, run)
    required = found.all(root)
    parts = layout.find(root, found.about.name, package, tests, [one.name for one in required])
    known = matrix_file.known()
    claimed = requirements.claim(required)
    rows, notes = choice.choose(known, claimed, found.about.requires_python)
    if claimed is None:
        notes.insert(0, "It doesn't require JAX itself. Each cell installs JAX anyway.")
    oldest = min(day for day in (known.release[row.jax].as_of for row in rows) if day is not None)
    later: Mapping[str, datetime.date] = {}
    try:
        later = dates.not_before(required, oldest, opener)
    except IndexUnreachable as error:
        notes.append("Which requirements are newer than the dates of the rows isn't known: {}".format(error))
    write_whole(path, text(found, parts, rows, notes, later, claims(required, found)))
    return path


def claims(required: Iterable[Requirement], found: Requirements) -> str:
    lines = dict.fromkeys(str(one) for one in required if canonical(one.name) in OF_JAX)
    claimed = [*lines] or ["no JAX"]
    if found.about.requires_python:
        claimed.append("Python {}".format(found.about.requires_python))
    return "It claims {} ({}).".format(", ".join(claimed), found.told_by)


def text(
    found: Requirements,
    parts: Layout,
    rows: Sequence[Choice],
    notes: Sequence[str],
    later: Mapping[str, datetime.date],
    claimed: str,
) -> str:
    """The text of the file."""
    head = [HEAD.format(name=found.about.name, command=typed("init")), claimed, *notes]
    lines = [*map(comment, head), "#\n", TIERS, "\nrow = [\n"]
    lines += ["    {{ {} }},  # {}\n".format(keys(row), row.why) for row in rows]
    lines += ["]\n\n[project]\n", *project(found, parts, later)]
    return "".join(lines)


def keys(row: Choice) -> str:
    pairs = [("jax", row.jax), ("python", row.python), ("tier", "" if row.tier == "nightly" else row.tier)]
    return ", ".join("{} = {}".format(key, json.dumps(value)) for key, value in pairs if value)


def project(found: Requirements, parts: Layout, later: Mapping[str, datetime.date]) -> Iterator[str]:
    """The lines of the table `[project]`."""
    yield line("package", parts.package)
    yield from map(comment, parts.notes)
    if parts.installed:
        yield "installed = true\n"
    if parts.tests != ("tests",):
        yield line("tests", parts.tests)
    if parts.suite:
        yield comment("What a cell copies: the tests, and what configures pytest. Add what they read besides.")
        yield line("suite", parts.suite)
    if parts.runner == "unittest":
        yield comment("The tests use unittest or absltest, and nothing mentions pytest. pytest can run them.")
        yield line("runner", parts.runner)
    for key, value in (("extras", found.extras), ("groups", found.groups), ("requirements", found.files)):
        if value:
            yield line(key, value)
    if found.told_by == requirements.BUILD:
        yield comment("What the project and its tests require. Only its build knows: if it changes, change this too.")
    if found.lines:
        yield line("requires", found.lines)
    elif not (found.extras or found.groups or found.files):
        yield comment("Nothing says what the tests need. pytest is always there, and `requires = [...]` adds more.")
    if later:
        yield comment("It needs releases that are newer than the dates in some rows. For these the day here counts.")
        yield "not_before = {{ {} }}\n".format(", ".join("{} = {}".format(*item) for item in sorted(later.items())))


def line(key: str, value: "str | Sequence[str]") -> str:
    """A key with a string or a list of strings. JSON writes them as TOML does."""
    if isinstance(value, str):
        return "{} = {}\n".format(key, json.dumps(value, ensure_ascii=False))
    items = [json.dumps(item, ensure_ascii=False) for item in value]
    one = "{} = [{}]\n".format(key, ", ".join(items))
    return one if len(one) <= 120 else "{} = [\n{}]\n".format(key, "".join("    {},\n".format(item) for item in items))


def comment(sentence: str) -> str:
    return textwrap.fill(sentence.strip(), 119, initial_indent="# ", subsequent_indent="# ") + "\n"
