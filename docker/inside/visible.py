"""Which GPUs CUDA_VISIBLE_DEVICES leaves visible, as CUDA reads it. Standard library only."""

import re
from typing import List, Mapping, Optional

VARIABLE = "CUDA_VISIBLE_DEVICES"


def gpus(environ: Mapping[str, str]) -> Optional[List[str]]:
    """The visible GPUs, or `None` if all are visible.

    CUDA stops at the first name that isn't a GPU. So "-1,0", "none" and "NoDevFiles" leave no GPU visible.
    """
    if VARIABLE not in environ:
        return None
    found: List[str] = []
    for name in environ[VARIABLE].split(","):
        if not re.match(r"(\d+|(GPU|MIG)-[\w/-]+)$", name.strip()):
            break
        found.append(name.strip())
    return found


def choose(environ: Mapping[str, str]) -> List[str]:
    """The option that limits nvidia-smi to the visible GPUs. None for parts of a GPU, which nvidia-smi can't name."""
    names = gpus(environ) or []
    return ["--id=" + ",".join(names)] if names and not any(name.startswith("MIG") for name in names) else []
