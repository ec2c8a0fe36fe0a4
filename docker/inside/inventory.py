"""Print what is installed, a line each: `python -m inventory`. Environments with the same lines hold the same files.

A line has the name, the version, and a hash of the list that the installer wrote, in which each file has its hash.
"""

import hashlib
import re
import sys

if sys.version_info >= (3, 8):
    from importlib.metadata import distributions
else:  # pytest brings it there
    from importlib_metadata import distributions


def lines(found):
    return sorted(set(map(line, found)))


def line(distribution):
    name = re.sub("[-_.]+", "-", distribution.metadata["Name"]).lower()
    listed = (distribution.read_text("RECORD") or "").splitlines()
    # What Python compiled has no hash there, and not all that is there was compiled when the list was written.
    record = "\n".join(sorted(entry for entry in listed if "__pycache__" not in entry))
    return "{}=={} sha256:{}".format(name, distribution.version, hashlib.sha256(record.encode("utf-8")).hexdigest())


if __name__ == "__main__":
    print("\n".join(lines(distributions())))
