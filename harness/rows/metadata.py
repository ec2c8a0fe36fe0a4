"""What a project says of itself: its name, the Pythons that it supports, and its requirements. No code of it runs.

pyproject.toml (PEP 621 and PEP 735) says it, or the PKG-INFO of a source distribution. A project whose build computes
its requirements says it only in the wheel: `harness.init` builds that.
"""

import email
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name as canonical

from harness.rows.matrix_file import MatrixError, read_toml

OF_EXTRA = re.compile(r"""^(?:(?P<more>.+?)\s+and\s+)?extra\s*==\s*["'](?P<extra>[^"']+)["']$""")


@dataclass(frozen=True)
class Metadata:
    """The metadata of a project. `None`: only its build knows this."""

    name: str
    requires_python: str = ""
    dependencies: tuple[str, ...] | None = ()
    extras: dict[str, tuple[str, ...]] | None = field(default_factory=dict)
    groups: dict[str, tuple[Any, ...]] = field(default_factory=dict)  # of a group: requirements, and other groups

    def required(self, extras: Sequence[str] = (), groups: Sequence[str] = ()) -> list[Requirement]:
        """What the project requires, with some extras and groups.

        Raises:
            MatrixError: There is no such extra or group.
        """
        return list(self._expanded([*(self.dependencies or ()), *self._of(extras), *self._of_groups(groups)]))

    def _of(self, extras: Iterable[str]) -> list[str]:
        known: dict[str, Any] = {canonical(name): lines for name, lines in (self.extras or {}).items()}
        return [line for extra in extras for line in _lookup(known, canonical(extra), "extra")]

    def _of_groups(self, groups: Iterable[str]) -> list[str]:
        known: dict[str, Any] = {canonical(name): lines for name, lines in self.groups.items()}
        found: list[str] = []
        for group in groups:
            for line in _lookup(known, canonical(group), "dependency group"):
                found += self._of_groups([line["include-group"]]) if isinstance(line, dict) else [line]
        return found

    def _expanded(self, lines: Iterable[str]) -> Iterable[Requirement]:
        """The requirements. One of the project itself stands for its extras."""
        for line in lines:
            requirement = requirement_of(line, "pyproject.toml")
            if canonical(requirement.name) == canonical(self.name):
                yield from self._expanded(self._of(sorted(requirement.extras)))
            else:
                yield requirement


def read(root: Path) -> Metadata:
    """The metadata of the project below `root`.

    Raises:
        MatrixError: pyproject.toml can't be read.
    """
    file = root / "pyproject.toml"
    tables = read_toml(file) if file.is_file() else {}
    about = tables.get("project")
    groups = {name: tuple(lines) for name, lines in tables.get("dependency-groups", {}).items()}
    written = of_core(root / "PKG-INFO")
    if about is None or "name" not in about:
        return Metadata(**{**vars(written or Metadata(root.name, "", None, None)), "groups": groups})
    dynamic = about.get("dynamic", ())
    lines = tuple(about.get("dependencies", ()))
    extras = {name: tuple(lines) for name, lines in about.get("optional-dependencies", {}).items()}
    return Metadata(
        about["name"],
        about.get("requires-python", written.requires_python if written else ""),
        (written.dependencies if written else None) if "dependencies" in dynamic else lines,
        (written.extras if written else None) if "optional-dependencies" in dynamic else extras,
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
        found = OF_EXTRA.match(marker.strip())
        if found is None:
            dependencies.append(line)
        else:
            more = "; " + found["more"] if found["more"] else ""
            extras.setdefault(found["extra"], []).append(words.strip() + more)
    return Metadata(
        fields.get("Name", ""),
        fields.get("Requires-Python", ""),
        tuple(dependencies),
        {name: tuple(lines) for name, lines in extras.items()},
    )


def in_file(file: Path) -> list[str]:
    """The requirements in a file of pip, and in the files that it includes. Options are left out.

    Raises:
        MatrixError: The file can't be read, or it includes itself.
    """
    return list(_in_file(file, ()))


def _in_file(file: Path, within: tuple[Path, ...]) -> Iterable[str]:
    if file in within:
        raise MatrixError("{} includes itself.".format(file))
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise MatrixError("{} can't be read: {}.".format(file, error.strerror)) from error
    for raw in text.replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*", "", raw).strip()
        included = re.match(r"(?:-r|--requirement)[\s=]*(\S+)", line)
        if included:
            yield from _in_file(file.parent / included[1], (*within, file))
        elif line and not line.startswith("-"):
            yield re.sub(r"\s--hash[=\s]\S+", "", line)


def requirement_of(line: str, where: str) -> Requirement:
    """The requirement in a line.

    Raises:
        MatrixError: It isn't one.
    """
    try:
        return Requirement(line)
    except InvalidRequirement:
        message = "{}: expected requirements such as numpy<2, and got `{}`."
        raise MatrixError(message.format(where, line)) from None


def _lookup(known: dict[str, Any], name: str, what: str) -> Any:
    if name not in known:
        choice = "it has {}".format(", ".join(sorted(known))) if known else "it has none"
        message = "matrix.toml, project: the project has no {} `{}`: {}."
        raise MatrixError(message.format(what, name, choice))
    return known[name]
