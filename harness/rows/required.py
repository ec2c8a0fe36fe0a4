"""What a cell installs besides JAX: the requirements of the project and of its suite."""

from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as canonical

from harness.rows import metadata
from harness.rows.matrix_file import project
from harness.rows.project import Project
from harness.system.paths import ROOT

OF_JAX = ("jax", "jaxlib")  # the row pins these, whatever the project requires
TOOLS = ("pytest", "pytest-xdist")  # what runs any suite
ON_LINUX = {
    "os_name": "posix",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}


def suite_requires(root: Path = ROOT, what: Project | None = None, python: str | None = None) -> tuple[str, ...]:
    """The requirements of the project below `root` and of its suite, without JAX.

    With a Python: only what that needs on Linux, without the markers that say so.

    Raises:
        MatrixError: A file can't be read, or the project lacks an extra or a group.
    """
    what = project() if what is None else what
    more = (*what.requires, *(line for file in what.requirements for line in metadata.in_file(root / file)))
    found = metadata.read(root).required(what.extras, what.groups)
    found += [metadata.requirement_of(line, "matrix.toml, project") for line in more]
    if python is not None:
        found = on_python(python, found)
        for one in found:
            one.marker = None
    lines = {str(one) for one in found if canonical(one.name) not in OF_JAX}
    lines |= {tool for tool in TOOLS if tool not in {canonical(one.name) for one in found}}
    return tuple(sorted(lines, key=str.lower))


def on_python(python: str, requirements: Iterable[Requirement]) -> list[Requirement]:
    """Those of the requirements that count for a Python on Linux."""
    here = {**ON_LINUX, "python_version": python, "python_full_version": python + ".0", "extra": ""}
    return [one for one in requirements if one.marker is None or one.marker.evaluate(here)]
