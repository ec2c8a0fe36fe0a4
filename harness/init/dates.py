"""Find the requirements that are newer than the dates of the rows."""

import datetime
import urllib.request
from collections.abc import Iterable

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as canonical

from harness.locks import index, lock_file
from harness.rows.required import OF_JAX


def not_before(
    requirements: Iterable[Requirement], day: datetime.date, opener: index.Opener = urllib.request.urlopen
) -> dict[str, datetime.date]:
    """For each package of which no release from before `day` is allowed: the day of the first allowed one.

    Raises:
        IndexUnreachable: The package index can't be read.
    """
    bounded: dict[str, Requirement] = {
        canonical(one.name): one for one in requirements if str(one.specifier) and canonical(one.name) not in OF_JAX
    }
    found = lock_file.ask_all(lambda name: first_allowed(bounded[name], opener), bounded)
    return {name: uploaded for name, uploaded in found.items() if uploaded is not None and uploaded > day}


def first_allowed(requirement: Requirement, opener: index.Opener) -> datetime.date | None:
    """The day of the first release that a requirement allows. `None`: the index has none, or doesn't say."""
    releases = index.releases(requirement.name, opener)
    days = [one.uploaded for one in releases if not one.yanked and requirement.specifier.contains(one.version)]
    return min((day for day in days if day is not None), default=None)
