"""How many cores and how much memory this process may use, in a container too. Standard library only.

For workers.py inside a cell, and for the harness on the host.
"""

import os
from typing import Optional

MIB = 2**20


def cores(root: str = "/") -> int:
    """Whole cores, at least one: those the process may run on, or fewer where its control group has a quota."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        allowed = os.cpu_count() or 1
    quota = _quota(root)
    return max(1, allowed if quota is None else min(allowed, int(quota)))


def memory_mib(root: str = "/") -> Optional[int]:
    """Memory that can still be had, in MiB; `None` where the system doesn't tell."""
    amounts = [_available(root), _below_limit(root)]
    return min((amount for amount in amounts if amount is not None), default=None)


def _quota(root: str) -> Optional[float]:
    """Cores' worth of time, of the control group; `None`: no limit."""
    v2 = _read(root, "sys/fs/cgroup/cpu.max")  # "150000 100000", or "max 100000"
    v1 = [_read(root, "sys/fs/cgroup/cpu/cpu.cfs_{}_us".format(what)) for what in ("quota", "period")]
    share, period = v2.split() if v2 is not None else v1
    if share is None or period is None or not share.isdigit():  # "-1": version 1's word for no limit
        return None
    return int(share) / int(period)


def _available(root: str) -> Optional[int]:
    for line in (_read(root, "proc/meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return None


def _below_limit(root: str) -> Optional[int]:
    """What the control group's limit leaves."""
    for limit, usage in [
        ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ]:
        most, used = _read(root, limit), _read(root, usage)
        if most is not None and most.isdigit() and used is not None:
            return max(0, int(most) - int(used)) // MIB
    return None


def _read(root: str, path: str) -> Optional[str]:
    try:
        with open(os.path.join(root, path), encoding="ascii") as f:
            return f.read().strip()
    except OSError:
        return None
