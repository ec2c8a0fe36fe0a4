"""Find what a project requires, and which of its extras, groups and files its tests need."""

import os
import re
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name as canonical

from harness.rows import metadata, read_toml
from harness.rows.metadata import Metadata
from harness.rows.required import OF_JAX
from harness.source import fingerprint, hashing, suite, wheel
from harness.system.errors import CannotGoOn, WrongUsage
from harness.system.program import GET_TOOLS
from harness.system.uv import uv_path

Run = Callable[..., "subprocess.CompletedProcess[str]"]
BUILD = "a build of the project"
OF_TESTS = re.compile(r"tests?|testing|unit-?tests?")
OF_DEVELOPMENT = re.compile(r"dev|develop|development|ci")


@dataclass(frozen=True)
class Requirements:
    """What a project says that it requires."""

    about: Metadata
    told_by: str  # the file that says it
    extras: tuple[str, ...]
    groups: tuple[str, ...]
    files: tuple[str, ...]
    lines: tuple[str, ...]  # what no file tells the harness

    def all(self, root: Path) -> list[Requirement]:
        """All that a cell installs, and JAX."""
        found = self.about.required(self.extras, self.groups)
        lines = [*self.lines, *(line for file in self.files for line in metadata.in_file(root / file))]
        return found + [metadata.requirement_of(line, self.told_by) for line in lines]


def find(root: Path, run: Run = subprocess.run) -> Requirements:
    """What the project below `root` requires. If only its build knows, it is built.

    Raises:
        WrongUsage: It isn't a project that can be built.
        CannotGoOn: It must be built, and that fails.
    """
    if not any((root / name).is_file() for name in ("pyproject.toml", "setup.py", "setup.cfg")):
        message = "{} is no project that can be built: it has no pyproject.toml and no setup.py. Give its folder."
        raise WrongUsage(message.format(root))
    file = root / "pyproject.toml"
    tables = read_toml(file) if file.is_file() else {}
    about = metadata.read(root)
    told_by = "pyproject.toml" if "project" in tables else "PKG-INFO"
    if about.dependencies is None or about.extras is None:
        about, told_by = replace(built(root, run), groups=about.groups), BUILD
    for form in (OF_TESTS, OF_DEVELOPMENT):
        extras, groups = chosen(about.extras or {}, form), chosen(about.groups, form)
        files, lines = tuple(files_of_tests(root, form)), tuple(poetry(tables, form))
        if extras or groups or files or lines:
            break
    found = Requirements(about, told_by, extras, groups, files, lines)
    if claim(found.all(root)) is None:
        found = replace(found, extras=extras + extra_with_jax(about))
    if told_by == BUILD:  # the harness doesn't build it each time
        more = tuple(map(str, about.required(found.extras)))
        return replace(found, about=replace(about, dependencies=(), extras={}), extras=(), lines=lines + more)
    return found


def extra_with_jax(about: Metadata) -> tuple[str, ...]:
    """The extra with JAX of a project that leaves the choice to its users. Those with JAX for a GPU don't count."""
    for name in about.extras or ():
        of_jax = [one for one in about.required([name]) if canonical(one.name) in OF_JAX]
        if of_jax and all(one.extras <= {"cpu"} for one in of_jax):
            return (name,)
    return ()


def chosen(named: Mapping[str, Any], form: "re.Pattern[str]") -> tuple[str, ...]:
    return tuple(name for name in named if form.fullmatch(canonical(name)))


def files_of_tests(root: Path, form: "re.Pattern[str]") -> Iterator[str]:
    """Files of requirements whose name says what they are for, such as requirements/requirements-test.txt."""
    for path in sorted({*root.glob("*.txt"), *root.glob("requirements/*.txt"), *root.glob("test*/requirements*.txt")}):
        words = re.split(r"[-_.\s]", path.stem.lower())
        in_tests = path.parent.name.startswith("test") and form is OF_TESTS
        is_list = path.parent.name == "requirements" or any(word.startswith("requirement") for word in words)
        if is_list and (in_tests or any(form.fullmatch(word) for word in words)):
            yield path.relative_to(root).as_posix()


def poetry(tables: Mapping[str, Any], form: "re.Pattern[str]") -> list[str]:
    """The requirements of poetry's own groups, which no metadata has."""
    tool = tables.get("tool", {}).get("poetry", {})
    groups = {name: group.get("dependencies", {}) for name, group in tool.get("group", {}).items()}
    groups.setdefault("dev", {}).update(tool.get("dev-dependencies", {}))
    return [
        line
        for name, lines in groups.items()
        if form.fullmatch(canonical(name))
        for line in (poetry_line(package, wanted) for package, wanted in lines.items() if package != "python")
    ]


def poetry_line(package: str, wanted: "str | Mapping[str, Any] | Sequence[Any]") -> str:
    """The requirement for a package, from what poetry's table says of it.

    It allows any version for a path or a repository, for a list of tables (one for each Python), and for bounds that
    only poetry can read, such as `^1 || ^2`.
    """
    if not isinstance(wanted, (str, Mapping)):
        return package
    table = {"version": wanted} if isinstance(wanted, str) else wanted
    extras = "[{}]".format(",".join(table["extras"])) if table.get("extras") else ""
    bounds = ",".join(map(poetry_bounds, table.get("version", "*").split(",")))
    try:
        SpecifierSet(bounds)
    except InvalidSpecifier:
        bounds = ""
    return package + extras + bounds


def poetry_bounds(text: str) -> str:
    """`^1.2` allows what doesn't change the first number that isn't 0, and `~1.2` what doesn't change the second."""
    text = text.strip()
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    if re.match(r"\^|~(?!=)", text) and numbers:
        fixed = next((i for i, number in enumerate(numbers) if number), len(numbers) - 1)
        last = fixed if text[0] == "^" else min(1, len(numbers) - 1)
        above = [*numbers[:last], numbers[last] + 1]
        return ">={},<{}".format(text[1:].strip(), ".".join(map(str, above)))
    if text in ("", "*"):
        return ""
    return text if text[0] in "<>=!~" else "==" + text


def built(root: Path, run: Run) -> Metadata:
    """The metadata of the wheel. Its backend builds it, from a copy, because some backends write beside the source.

    Raises:
        CannotGoOn: It can't be built.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy, folder = Path(scratch, root.name), Path(scratch, "made")
        suite.copy_files(hashing.files_below(root, ["."], fingerprint.NOT_SOURCE), root, copy)
        command = [uv_path() or "uv", "build", "--quiet", "--wheel", "--out-dir", str(folder), str(copy)]
        env = {**os.environ, **wheel.version_of_tag(root)}
        try:
            done = run(command, env=env, capture_output=True, text=True, check=False)
        except OSError as error:
            raise CannotGoOn("There is no uv here: {}. {}.".format(error, GET_TOOLS)) from error
        wheels = list(folder.glob("*.whl"))
        if done.returncode != 0 or not wheels:
            message = (
                "Only a build says what this project requires, and it fails. Make it work:\n  uv build --wheel {}\n{}"
            )
            raise CannotGoOn(message.format(root, done.stderr.strip()))
        with zipfile.ZipFile(wheels[0]) as opened:
            (name,) = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
            found = metadata.of_core(Path(opened.extract(name, scratch)))
        assert found is not None
        return found


def claim(requirements: Iterable[Requirement]) -> SpecifierSet | None:
    """The releases of JAX that a project claims to run on. `None`: it doesn't require JAX itself."""
    of_jax = [one for one in requirements if canonical(one.name) == "jax"]
    of_jax = of_jax or [one for one in requirements if canonical(one.name) == "jaxlib"]
    if not of_jax:
        return None
    return SpecifierSet(",".join(str(one.specifier) for one in of_jax if str(one.specifier)))
