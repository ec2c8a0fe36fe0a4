"""What a project says of itself: its name, the Pythons that it supports, and its requirements. No code of it runs.

pyproject.toml (PEP 621 and PEP 735) says it, or the PKG-INFO of a source distribution. A project whose build computes
its requirements says it only in the wheel: `harness.init` builds that.
"""

import email
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name as canonical

from harness.rows.matrix_file import MatrixError, read_toml

OF_EXTRA = re.compile(r"""(?:(.+?)\s+and\s+)?extra\s*==\s*["']([^"']+)["'](?:\s+and\s+(.+))?""")


@dataclass(frozen=True)
class Metadata:
    """The metadata of a project. `None`: only its build knows this."""

    name: str
    requires_python: str = ""
    dependencies: Sequence[str] | None = ()
    extras: Mapping[str, Sequence[str]] | None = field(default_factory=dict)
    groups: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # of a group: requirements, and other groups

    def required(self, extras: Sequence[str] = (), groups: Sequence[str] = ()) -> list[Requirement]:
        """What the project requires, with some extras and groups.

        Raises:
            MatrixError: There is no such extra or group, or it includes itself.
        """
        asked = [*self._lines("extra", extras), *self._lines("dependency group", groups)]
        try:
            return list(self._expanded([*(self.dependencies or ()), *asked]))
        except RecursionError:
            raise MatrixError("pyproject.toml: an extra or a dependency group includes itself.") from None

    def _lines(self, what: str, names: Iterable[str]) -> Iterator[Any]:
        found = (self.extras or {}) if what == "extra" else self.groups
        known = {canonical(name): lines for name, lines in found.items()}
        for name in names:
            if canonical(name) not in known:
                choice = ", ".join(sorted(known)) or "none"
                message = "matrix.toml, project: the project has no {} `{}`: it has {}."
                raise MatrixError(message.format(what, canonical(name), choice))
            yield from known[canonical(name)]

    def _expanded(self, lines: Iterable[Any]) -> Iterator[Requirement]:
        """The requirements. A table names another group, and a requirement of the project itself its extras."""
        for line in lines:
            if isinstance(line, dict):
                yield from self._expanded(self._lines("dependency group", line.values()))
                continue
            requirement = requirement_of(line, "pyproject.toml")
            if canonical(requirement.name) == canonical(self.name):
                yield from self._expanded(self._lines("extra", sorted(requirement.extras)))
            else:
                yield requirement


def read(root: Path) -> Metadata:
    """The metadata of the project below `root`.

    Raises:
        MatrixError: pyproject.toml can't be read.
    """
    file = root / "pyproject.toml"
    tables = read_toml(file) if file.is_file() else {}
    about, groups = tables.get("project", {}), tables.get("dependency-groups", {})
    written = of_core(root / "PKG-INFO") or Metadata(root.name, "", None, None)
    if "name" not in about:
        return replace(written, groups=groups)
    dynamic = about.get("dynamic", ())
    return Metadata(
        about["name"],
        about.get("requires-python", written.requires_python),
        written.dependencies if "dependencies" in dynamic else about.get("dependencies", ()),
        written.extras if "optional-dependencies" in dynamic else about.get("optional-dependencies", {}),
        groups,
    )


def of_core(file: Path) -> Metadata | None:
    """The metadata in a PKG-INFO or METADATA file. `None`: there is no such file, or it doesn't tell all."""
    if not file.is_file():
        return None
    fields = email.message_from_string(file.read_text(encoding="utf-8", errors="replace"))
    lines: list[str] = fields.get_all("Requires-Dist", [])
    if not lines and file.name == "PKG-INFO":  # older setuptools wrote the requirements to another file
        return None
    dependencies: list[str] = []
    extras: dict[str, list[str]] = {name: [] for name in fields.get_all("Provides-Extra", [])}
    for line in lines:
        words, _, marker = line.partition(";")
        found = OF_EXTRA.fullmatch(marker.strip())
        if found is None:
            dependencies.append(line)
        else:
            others = " and ".join(filter(None, (found[1], found[3])))
            extras.setdefault(found[2], []).append("; ".join(filter(None, (words.strip(), others))))
    return Metadata(fields.get("Name", ""), fields.get("Requires-Python", ""), dependencies, extras)


def in_file(file: Path, within: tuple[Path, ...] = ()) -> list[str]:
    """The requirements in a file of pip, and in the files that it includes. Options are left out.

    `within` are the files that include it.

    Raises:
        MatrixError: The file can't be read, includes itself, or has a line that is no requirement.
    """
    if file in within:
        raise MatrixError("{} includes itself.".format(file))
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise MatrixError("{} can't be read: {}.".format(file, error.strerror)) from error
    except UnicodeDecodeError as error:
        raise MatrixError("{} can't be read: {}.".format(file, error)) from error
    found: list[str] = []
    for raw in text.replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*", "", raw).strip()
        included = re.match(r"(?:-r|--requirement)[\s=]*(\S+)", line)
        if included:
            found += in_file(file.parent / included[1], (*within, file))
        elif line and not line.startswith("-"):
            found.append(re.sub(r"\s--hash[=\s]\S+", "", line))
            requirement_of(found[-1], str(file))
    return found


def requirement_of(line: str, where: str) -> Requirement:
    """The requirement in a line.

    Raises:
        MatrixError: It isn't one.
    """
    try:
        return Requirement(line)
    except InvalidRequirement:
        raise MatrixError("{}: expected requirements such as numpy<2, and got `{}`.".format(where, line)) from None
