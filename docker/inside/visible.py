"""Which GPUs CUDA_VISIBLE_DEVICES leaves visible, as CUDA reads it. Standard library only."""

import re
from typing import List, Mapping, Optional

VARIABLE = "CUDA_VISIBLE_DEVICES"


def gpus(environ: Mapping[str, str]) -> Optional[List[str]]:
    """The names that stand before the first that is none; `None`: all GPUs. "-1,0", "none", "NoDevFiles" leave none."""
    if VARIABLE not in environ:
        return None
    found: List[str] = []
    for name in environ[VARIABLE].split(","):
        if not re.match(r"(\d+|(GPU|MIG)-[\w/-]+)$", name.strip()):
            break
        found.append(name.strip())
    return found


def choose(environ: Mapping[str, str]) -> List[str]:
    """The option by which nvidia-smi looks at these alone. It has no names for parts of a GPU."""
    names = gpus(environ) or []
    return ["--id=" + ",".join(names)] if names and not any(name.startswith("MIG") for name in names) else []
