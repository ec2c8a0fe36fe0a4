"""The table `[project]` of matrix.toml: all that is particular to the project that is tested."""

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal, get_args

from harness.system.paths import ROOT

Backend = Literal["cpu", "cuda", "tpu"]
BACKENDS: tuple[str, ...] = get_args(Backend)
# What configures pytest, and the tests that are above it. A suite has those of them that the project has.
CONFIGURATION = ("conftest.py", "pytest.ini", "pyproject.toml", "setup.cfg", "tox.ini")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A figure that each cell measures, and that has a column of the table."""

    key: str  # in `Result.measures`
    program: str  # a Python program of the suite, which prints the figures as JSON
    title: str
    meaning: str
    far: float  # a figure is flagged if it is more than `far` times the median of the other rows

    def explained(self, flag: str) -> str:
        message = "{}: {}. {}: more than {:g} times the median of the others."
        return message.format(self.title, self.meaning, flag, self.far)


@dataclass(frozen=True, kw_only=True)
class Project:
    """What is tested, and how. All paths are relative to the folder of matrix.toml."""

    package: str  # the name to import
    built_from: tuple[str, ...] = (".",)  # what the wheel is built from; by default all files but generated ones
    # Pinned packages with hashes that build the wheel. By default its backend gets the newest ones that it allows.
    build_constraints: str = ""
    # The tests, as pytest takes them: folders, files, or names of packages if the tests are `installed`.
    tests: tuple[str, ...] = ("tests",)
    installed: bool = False  # the tests are in the package: those that the wheel installs run
    # What a cell copies: the tests, and what they read. By default the tests, and the files that configure pytest.
    suite: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()  # parts of the suite that no cell reads
    # "unittest": pytest also collects what unittest does, and absl's flags have their defaults.
    runner: Literal["pytest", "unittest"] = "pytest"
    arguments: tuple[str, ...] = ()  # more arguments of pytest
    backends: tuple[Backend, ...] = ("cpu",)  # those of a row that names none
    # How many devices JAX has in a cell on the CPU. Tests of sharding need several. The proof of place counts them.
    cpu_devices: int = 1

    # What the tests need besides what the wheel requires: extras, dependency groups (PEP 735), files of requirements,
    # and requirements. If only a build says what the wheel requires, `requires` has that too.
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    # Packages of which the tests need newer releases than the index had on the dates in some rows. For them this date
    # applies instead, if it is later.
    not_before: dict[str, datetime.date] = field(default_factory=dict)

    page_parts: tuple[str, ...] = ()  # regular expressions: what the tests read of a Markdown page; none: all of it
    plugins: tuple[str, ...] = ()  # pytest plugins that the tests need; `here` loads no others
    repeatable: tuple[str, ...] = ()  # pytest's arguments for which two runs do the same; a bisection adds them
    versions: tuple[str, ...] = ()  # packages whose versions a result lists, besides JAX and pytest
    table: str = ""  # the page in which the table is drawn
    summary: str = ""  # the page in which its summary is drawn
    speed: tuple[str, ...] = ()  # a program that `here --check` runs, and its arguments
    measure: tuple[Measure, ...] = ()

    def __post_init__(self) -> None:
        if self.cpu_devices < 1:
            raise ValueError("key `cpu_devices`: expected at least 1, and got {}.".format(self.cpu_devices))
        tests = () if self.installed else tuple(test.partition("::")[0] for test in self.tests)
        copied = {"built_from": self.built_from, "build_constraints": (self.build_constraints,)}
        for key, paths in {**copied, "tests": tests, "suite": self.suite}.items():
            for path in map(PurePath, paths):
                if path.is_absolute() or ".." in path.parts:  # its copy would be outside of the folder of the copies
                    message = "key `{}`: expected what is below the folder of matrix.toml, and got `{}`."
                    raise ValueError(message.format(key, path))
        for part in self.page_parts:
            try:
                re.compile(part)
            except re.error as error:
                message = "key `page_parts`: expected regular expressions, and got `{}`: {}."
                raise ValueError(message.format(part, error)) from None
        if not self.suite:
            object.__setattr__(self, "suite", (*tests, *CONFIGURATION))

    def pytest(self, part: Sequence[str] = ()) -> tuple[str, ...]:
        """The arguments of pytest that choose the tests and say how they run. `part` are more arguments.

        If `part` names tests, only those run. If it has only options, such as `-k`, they choose among all tests.
        """
        installed = ("--pyargs",) * self.installed
        # unittest's own pattern, and pytest's. `absl_flags` is a plugin in docker/inside.
        collected = ("-o", "python_files=test*.py *_test.py", "-p", "absl_flags") * (self.runner == "unittest")
        tests = () if any(map(self._names_tests, part)) else self.tests
        return (*collected, *self.arguments, *installed, *tests, *part)

    def _names_tests(self, argument: str) -> bool:
        """Whether an argument of pytest names tests. If not, it is an option, or the value of one."""
        place = argument.partition("::")[0]
        if self.installed:
            packages = {one.partition(".")[0] for one in (self.package, *self.tests)}
            return place.partition(".")[0] in packages
        below = any(PurePath(place).is_relative_to(test.partition("::")[0]) for test in self.tests)
        return not argument.startswith("-") and (below or bool(place) and (ROOT / place).exists())

    @property
    def record(self) -> str:
        """The file of the published record, beside the page that is drawn from it."""
        return self.table.removesuffix(".md") + ".json" if self.table else "matrix.json"

    @property
    def programs(self) -> dict[str, list[str]]:
        """The programs that measure, each with the names of its figures."""
        return {one.program: [each.key for each in self.measure if each.program == one.program] for one in self.measure}
