"""Print one line per installed package: `python -m inventory`. Environments with equal lines hold equal files.

A line has the name, the version, and a hash of the installer's list, which has the hash of each file.
"""

import hashlib
import re
import sys

if sys.version_info >= (3, 8):
    from importlib.metadata import distributions
else:  # pytest installs the backport
    from importlib_metadata import distributions


def lines(found):
    """The lines of all packages, sorted."""
    return sorted(set(map(line, found)))


def line(distribution):
    """The line of one package."""
    name = re.sub("[-_.]+", "-", distribution.metadata["Name"]).lower()
    listed = (distribution.read_text("RECORD") or "").splitlines()
    # Compiled files have no hash in the list, and some are compiled after the list was written. So leave them out.
    record = "\n".join(sorted(entry for entry in listed if "__pycache__" not in entry))
    return "{}=={} sha256:{}".format(name, distribution.version, hashlib.sha256(record.encode("utf-8")).hexdigest())


if __name__ == "__main__":
    print("\n".join(lines(distributions())))
