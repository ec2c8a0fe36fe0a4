"""The table `[project]` of matrix.toml: all that is particular to the project that is tested."""

import datetime
from dataclasses import dataclass, field


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
    """What is tested, and how. All paths are relative to the checkout."""

    package: str  # the name to import, and the folder of its source
    built_from: tuple[str, ...]  # what the wheel is built from
    suite: tuple[str, ...]  # the tests, and what they read: they run in a copy of it
    left_out: tuple[str, ...] = ()  # parts of the suite that no cell reads
    page_parts: tuple[str, ...] = ()  # regular expressions: what the tests read of a Markdown page; none: all of it
    tests: tuple[str, ...] = ("tests",)  # pytest's arguments that name the tests
    extras: tuple[str, ...] = ()  # the extras of pyproject.toml that the tests need
    # Packages of which the tests need newer releases than the index had on the dates in some rows. For them this date
    # applies instead, if it is later.
    not_before: dict[str, datetime.date] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()  # pytest plugins that the tests need; `here` loads no others
    repeatable: tuple[str, ...] = ()  # pytest's arguments for which two runs do the same; a bisection adds them
    versions: tuple[str, ...] = ()  # packages whose versions a result lists, besides JAX and pytest
    table: str = ""  # the page in which the table is drawn
    summary: str = ""  # the page in which its summary is drawn
    speed: tuple[str, ...] = ()  # a program that `here --check` runs, and its arguments
    measure: tuple[Measure, ...] = ()

    @property
    def record(self) -> str:
        """The file of the published record, beside the page that is drawn from it."""
        return self.table.removesuffix(".md") + ".json" if self.table else "matrix.json"

    @property
    def programs(self) -> dict[str, list[str]]:
        """The programs that measure, each with the names of its figures."""
        return {one.program: [each.key for each in self.measure if each.program == one.program] for one in self.measure}
