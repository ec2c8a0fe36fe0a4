"""Find the package of a project, its tests, and how they run."""

import configparser
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name as canonical

from harness.rows import read_toml
from harness.rows.project import CONFIGURATION
from harness.system.errors import WrongUsage
from harness.system.program import typed

TEST_FOLDERS = ("tests", "test", "testing", "unittests", "unit_tests")
OTHER_FOLDERS = {*TEST_FOLDERS, "benchmarks", "build", "dist", "doc", "docs", "example", "examples", "locks"}
OTHER_FOLDERS |= {"notebooks", "requirements", "results", "scripts", "site", "tools"}
NATIVE = ("CMakeLists.txt", "meson.build", "Cargo.toml", "*.pyx", "*.c", "*.cc", "*.cpp", "*.cu", "*.rs")
OF_DEVICES = r"device_count\(|host_platform_device_count|n_cpu_devices"
OF_UNITTEST = r"^(?:import unittest|from (?:unittest|absl\.testing|absl) import)"


@dataclass(frozen=True)
class Layout:
    """Where the parts of a project are. The paths are relative to its folder."""

    package: str
    tests: tuple[str, ...]
    installed: bool  # the tests are in the package
    suite: tuple[str, ...]  # what to copy; empty: the default
    runner: str
    notes: tuple[str, ...]  # what the author should know


def find(
    root: Path, name: str, package: str = "", tests: Sequence[str] = (), requirements: Sequence[str] = ()
) -> Layout:
    """Find the parts of the project below `root`.

    Args:
        root: The folder of the project.
        name: The name of the distribution.
        package: The package to test. By default the one that bears the name of the distribution, or the only one.
        tests: The folders or files of the tests. By default they are searched.
        requirements: The names of what the tests require.

    Raises:
        WrongUsage: There is no such package, or there are no tests.
    """
    source = find_package(root, name, package)
    import_name = source.stem if source.suffix == ".py" else source.name
    found = [check_exists(root, one) for one in tests] or find_tests(root, source)
    # A copy of a folder that holds the package would be tested instead of the wheel.
    found = list(dict.fromkeys(source if one in source.parents else one for one in found))
    outside = [one for one in found if source not in (one, *one.parents)]
    installed = not outside
    paths = [one.relative_to(root).as_posix() for one in outside or found]
    notes = []
    native = find_native(root, source)
    if native:
        notes.append("It has a native extension ({}). So it is built for each Python.".format(native))
    if installed:
        notes.append("The tests are in the package. Those that its wheel installs run.")
    elif len(outside) < len(found):
        notes.append("There are tests in the package too. They are left out.")
    texts = [read(file) for one in outside or found for file in (*test_files(one), *one.rglob("conftest.py"))]
    if any(re.search(OF_DEVICES, text) for text in texts):
        notes.append("The tests count devices. On the CPU there is one, and `cpu_devices = 8` makes more.")
    for name in ("conftest.py", "src/conftest.py"):
        if installed and (root / name).is_file():
            notes.append("They don't see {}, which no wheel holds. Move it into the package.".format(name))
    return Layout(
        import_name,
        tuple(map(module, paths)) if installed else tuple(paths),
        installed,
        () if installed else whole_suite(root, paths),
        find_runner(root, outside or found, requirements),
        tuple(notes),
    )


def typed_init(root: Path, *options: str) -> str:
    """The command `init` for the project below `root`, as a user of the current folder types it."""
    return typed("init", *([] if root == Path.cwd() else [shlex.quote(str(root))]), *options)


def find_package(root: Path, name: str, package: str) -> Path:
    """The folder or the file of the package to test."""
    known = {path.stem if path.suffix == ".py" else path.name: path for path in packages(root, package or name)}
    listed = ", ".join(sorted(known)) or "none"
    if package:
        if package not in known:
            message = "There is no package `{}` in {}. Packages there: {}."
            raise WrongUsage(message.format(package, root, listed))
        return known[package]
    same = [path for found, path in known.items() if canonical(found) == canonical(name)]
    folders = [path for path in known.values() if path.is_dir()]
    if len(same or folders) == 1:
        return (same or folders)[0]
    message = "Which package of {} is tested? It has: {}. Name one: {}"
    raise WrongUsage(message.format(root, listed, typed_init(root, "--package", "NAME")))


def packages(root: Path, wanted: str) -> Iterator[Path]:
    """The packages and modules at the top, and then those in the folder `src`.

    Those whose names are usual for other things, such as `tools`, are left out, except for the one that is wanted.
    """
    for path in [*sorted(root.glob("*")), *sorted(root.glob("src/*"))]:
        if path.name in OTHER_FOLDERS and canonical(path.name) != canonical(wanted):
            continue
        if path.name in ("setup.py", "conftest.py", "noxfile.py") or is_test(path):
            continue
        if path.suffix == ".py" or (path / "__init__.py").is_file():
            yield path


def find_native(root: Path, source: Path) -> str:
    """The first file of a native extension. An empty string: there is none."""
    folders = [root, source] if source.is_dir() else [root]
    for pattern in NATIVE:
        for folder in folders:
            found = sorted(folder.rglob(pattern) if folder == source else folder.glob(pattern))
            if found:
                return found[0].relative_to(root).as_posix()
    setup = root / "setup.py"
    extension = setup.is_file() and re.search(r"\bext_modules\b|\bExtension\(", read(setup))
    return "setup.py" if extension else ""


def find_tests(root: Path, source: Path) -> list[Path]:
    """The folders and files of the tests, where pytest's settings or custom place them.

    Raises:
        WrongUsage: There are none.
    """
    configured = pytest_settings(root).get("testpaths", ())
    words = configured.split() if isinstance(configured, str) else configured
    patterns = [word for word in words if Path(word).parts and not Path(word).is_absolute()]
    found = [path for pattern in patterns for path in sorted(root.glob(pattern)) if any(test_files(path))]
    for name in () if found else TEST_FOLDERS:
        if any(test_files(root / name)):
            found = [root / name]
            break
    if not found and source.is_dir() and any(test_files(source)):
        found = [source]
    found = found or [path for path in sorted(root.glob("*.py")) if is_test(path)]
    if found:
        return found
    message = (
        "There are no tests in {}: no file test_*.py or *_test.py in a folder `tests`, in {} or beside it. If they are "
        "elsewhere, name their folder: {}. Some source distributions leave their "
        "tests out. Then use a checkout of the project."
    )
    raise WrongUsage(message.format(root, source.relative_to(root), typed_init(root, "--tests", "FOLDER")))


def check_exists(root: Path, name: str) -> Path:
    path = Path(os.path.normpath(root / name))
    if root not in path.parents:
        raise WrongUsage("Expected tests below {}, and got {}: a cell copies only what is there.".format(root, path))
    if not any(test_files(path)):
        raise WrongUsage("There are no tests in {}: no file test_*.py or *_test.py.".format(path))
    return path


def test_files(path: Path) -> Iterator[Path]:
    """The test files at and below a path."""
    found = [path] if path.is_file() else sorted(path.rglob("*.py"))
    return filter(is_test, found)


def is_test(path: Path) -> bool:
    return path.suffix == ".py" and (path.stem.startswith("test") or path.stem.endswith("_test"))


def module(path: str) -> str:
    """The name of the module or package at a path."""
    return path.removeprefix("src/").removesuffix(".py").replace("/", ".")


def whole_suite(root: Path, tests: Sequence[str]) -> tuple[str, ...]:
    """What to copy: the top folders of the tests, because a conftest.py there counts for them.

    Returns:
        Nothing if the tests are at the top. The default is enough then.
    """
    tops = tuple(dict.fromkeys(test.split("/")[0] for test in tests))
    return () if tops == tuple(tests) else (*tops, *(name for name in CONFIGURATION if (root / name).is_file()))


def find_runner(root: Path, tests: Sequence[Path], requirements: Sequence[str]) -> str:
    """The runner is unittest if the tests use it, or absltest, and nothing mentions pytest."""
    texts = [read(file) for path in tests for file in test_files(path)]
    settings = [root / "conftest.py", *(file for path in tests for file in path.rglob("conftest.py"))]
    of_pytest = (
        any(re.search(r"^\s*(?:import|from) pytest\b", text, re.MULTILINE) for text in texts)
        or any(canonical(name).startswith("pytest") for name in requirements)
        or bool(pytest_settings(root))
        or any(file.is_file() for file in settings)
    )
    of_unittest = any(re.search(OF_UNITTEST, text, re.MULTILINE) for text in texts)
    return "unittest" if of_unittest and not of_pytest else "pytest"


def pytest_settings(root: Path) -> Mapping[str, Any]:
    """pytest's settings, from the first file that has some."""
    for name, section in (("pytest.ini", "pytest"), ("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(root / name, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):  # tox.ini may have a form of its own
            continue
        if parser.has_section(section):
            return dict(parser[section]) or {"": ""}
    file = root / "pyproject.toml"
    tool = read_toml(file).get("tool", {}) if file.is_file() else {}
    settings = tool.get("pytest", {})
    return dict(settings.get("ini_options", settings))


def read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")
