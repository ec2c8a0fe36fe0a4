"""How many cores and how much memory this process may use, in a container too. Needs only the standard library.

`workers.py` uses it inside a cell, and the harness uses it on the host. Control groups (cgroups) can be nested, and
each can have limits. The lowest limit counts.
"""

import os
from typing import Iterator, List, Optional

MIB = 2**20
GROUPS = "sys/fs/cgroup"


def cores(root: str = "/") -> int:
    """Whole cores that this process may use, at least one. The quota of a control group can lower the number."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        allowed = os.cpu_count() or 1
    return max(1, min([allowed] + [int(quota) for quota in _quotas(root)]))


def memory_mib(root: str = "/") -> Optional[int]:
    """The memory that this process can still allocate, in MiB; `None` if the system doesn't say."""
    return min([*_available(root), *_below_limits(root)], default=None)


def _quotas(root: str) -> Iterator[float]:
    """The limit of each control group that has one, in cores."""
    for group in _groups(root, ""):
        share, _, period = _read(root, group + "/cpu.max").partition(" ")  # "150000 100000", or "max 100000"
        if share.isdigit():
            yield int(share) / int(period)
    for group in _groups(root, "cpu"):
        share, period = [_read(root, "{}/cpu.cfs_{}_us".format(group, what)) for what in ("quota", "period")]
        if share.isdigit() and period.isdigit():  # "-1": no limit
            yield int(share) / int(period)


def _available(root: str) -> Iterator[int]:
    for line in _read(root, "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) // 1024


def _below_limits(root: str) -> Iterator[int]:
    """The memory that is left below each limit, in MiB. Above `memory.high` the kernel slows a group down."""
    for group in _groups(root, ""):
        for limit in ("memory.max", "memory.high"):
            yield from _left(root, group, limit, "memory.current", "{}_file")
    for group in _groups(root, "memory"):
        yield from _left(root, group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_{}_file")


def _left(root: str, group: str, limit: str, usage: str, cached: str) -> Iterator[int]:
    most, used = [_read(root, "{}/{}".format(group, name)) for name in (limit, usage)]
    if most.isdigit() and used.isdigit():
        counts = dict(line.rpartition(" ")[::2] for line in _read(root, group + "/memory.stat").splitlines())
        # The used memory includes cached files. The kernel frees them when a process needs memory.
        given_back = sum(int(counts.get(cached.format(kind), 0)) for kind in ("active", "inactive"))
        yield max(0, int(most) - max(0, int(used) - given_back)) // MIB


def _groups(root: str, controller: str) -> List[str]:
    """The folders of the control groups that contain this process, innermost first. For version 2, `controller` is "".

    In a container the names may be those of the host, and these folders don't exist. Then the top folder is the group.
    """
    top = os.path.join(GROUPS, controller).rstrip("/")
    for line in _read(root, "proc/self/cgroup").splitlines():  # "0::/a/b", or "4:cpu,cpuacct:/a/b"
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            parts = path.strip("/").split("/") if path.strip("/") else []
            return [os.path.join(top, *parts[:depth]) for depth in range(len(parts), -1, -1)]
    return [top]


def _read(root: str, path: str) -> str:
    """The content of a file, or an empty string if it can't be read."""
    try:
        with open(os.path.join(root, path), encoding="ascii") as f:
            return f.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""
