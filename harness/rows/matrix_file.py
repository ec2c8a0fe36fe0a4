"""Read `docker/matrix.toml`, and check all of it: its keys, their types and their values."""

import datetime
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from harness.rows.toml_schema import TABLES, Checker, Table, read_toml

BACKENDS = ("cpu", "cuda", "tpu")
# A run of one tier includes the tiers before it. A canary cell tests unreleased software, so it can't make a run fail.
TIERS = ("pr", "nightly", "canary")
FLOATING = ("latest", "nightly")  # the values of `jax` that name no release: such a cell has no lock

# The keys of each kind of table, with the type of their values. A key that ends with `?` is optional.
BACKEND = {"platform": str, "base": str}
SUPPORTS = {"compute_capability?": list, "driver?": str, "generations?": list}
INSTALL = {
    "requires": list,
    "requirements?": str,
    "stands_in_for?": str,
    "find_links?": list,
    "index_url?": str,
    "prerelease?": bool,
    "base?": str,
    **SUPPORTS,
}
CAP = {"jax": str, "requires": list, "why": str}
USE = {"install": str, "libtpu?": str, **SUPPORTS}  # in a row: how one backend installs JAX
ROW = {"jax": str, "python": str, "tier": str, **{backend + "?": dict for backend in BACKENDS}}
LOCKED_ROW = {**ROW, "jaxlib": str, "as_of": datetime.date}


class Matrix(Checker):
    """The tables of the file.

    Raises:
        MatrixError: The file can't be read, or it isn't valid.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        tables = read_toml(path)
        self.table("", tables, {"backend": dict, "install": dict, "cap?": TABLES, "row": TABLES})
        self.backends: dict[str, Table] = tables["backend"]
        self.installs: dict[str, dict[str, Table]] = tables["install"]
        self._caps: list[dict[str, Any]] = tables.get("cap", [])
        self._rows: list[dict[str, Any]] = tables["row"]

        self.table("backend", self.backends, dict.fromkeys(BACKENDS, dict))
        self.table("install", self.installs, dict.fromkeys(BACKENDS, dict))
        for backend in BACKENDS:
            self.table("backend.{}".format(backend), self.backends[backend], BACKEND)
            ways = self.installs[backend]
            self.table("install.{}".format(backend), ways, dict.fromkeys(ways, dict))
            for name, way in ways.items():
                self._check_install("install.{}.{}".format(backend, name), way, ways)
        for number, cap in enumerate(self._caps, 1):
            self._check_cap("cap {}".format(number), cap)
        for place, row in self.rows():
            self._check_row(place, row)

    def rows(self) -> Iterator[tuple[str, Table]]:
        """Each row, with a text that tells where it is in the file."""
        for number, row in enumerate(self._rows, 1):
            yield "row {} (jax {})".format(number, row.get("jax", "unknown")), row

    def caps(self, jax: str) -> tuple[str, ...]:
        """The requirements that a release of JAX has but doesn't declare."""
        if jax in FLOATING:
            return ()
        fitting = [cap for cap in self._caps if SpecifierSet(cap["jax"]).contains(jax, prereleases=True)]
        return tuple(line for cap in fitting for line in cap["requires"])

    def requirements(self, file: str) -> tuple[str, ...]:
        """The lines of a requirements file, without comments."""
        lines = (self.path.parent / file).read_text(encoding="utf-8").splitlines()
        return tuple(line for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines) if line)

    def _check_install(self, place: str, way: Table, ways: Table) -> None:
        self.table(place, way, INSTALL)
        self._check_capability(place, way)
        if "stands_in_for" in way:
            self.choice(place, "stands_in_for", way["stands_in_for"], ways)
        if "requirements" in way and not (self.path.parent / way["requirements"]).is_file():
            message = "key `requirements`: expected a file in the folder of the matrix, and there is no `{}`."
            raise self.error(place, message.format(way["requirements"]))

    def _check_cap(self, place: str, cap: Table) -> None:
        self.table(place, cap, CAP)
        try:
            SpecifierSet(cap["jax"])
        except InvalidSpecifier:
            message = "key `jax`: expected bounds such as >=0.4.9,<0.4.16, and got `{}`."
            raise self.error(place, message.format(cap["jax"])) from None
        for line in cap["requires"]:
            self.requirement(place, line)

    def _check_row(self, place: str, row: Table) -> None:
        self.table(place, row, ROW if row.get("jax") in FLOATING else LOCKED_ROW)
        self.choice(place, "tier", row["tier"], TIERS)
        if not re.fullmatch(r"3\.\d+", row["python"]):
            raise self.error(
                place, "key `python`: expected a version such as 3.11, and got `{}`.".format(row["python"])
            )
        if row["jax"] not in FLOATING:
            for key in ("jax", "jaxlib"):
                self._check_version(place, key, row[key])
        uses = [backend for backend in BACKENDS if backend in row]
        if not uses:
            raise self.error(place, "expected at least one of {}, and there is none.".format(", ".join(BACKENDS)))
        for backend in uses:
            where = "{}, {}".format(place, backend)
            self.table(where, row[backend], USE)
            self.choice(where, "install", row[backend]["install"], self.installs[backend])
            self._check_capability(where, row[backend])

    def _check_version(self, place: str, key: str, value: str) -> None:
        try:
            Version(value)
        except InvalidVersion:
            raise self.error(place, "key `{}`: expected a version, and got `{}`.".format(key, value)) from None

    def _check_capability(self, place: str, table: Table) -> None:
        bounds = table.get("compute_capability", ["", ""])
        if len(bounds) != 2 or not all(re.fullmatch(r"(\d+\.\d)?", bound) for bound in bounds):
            message = (
                'key `compute_capability`: expected two bounds such as ["5.2", "9.0"], and got {}. An empty string '
                "means no bound."
            )
            raise self.error(place, message.format(bounds))

    def requirement(self, place: str, line: str) -> str:
        try:
            Requirement(line)
        except InvalidRequirement:
            raise self.error(place, "expected requirements such as numpy<2, and got `{}`.".format(line)) from None
        return line
