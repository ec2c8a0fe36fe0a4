"""How to ask nvidia-smi, and which GPUs CUDA_VISIBLE_DEVICES leaves visible. Standard library only."""

import os
import re
import shutil
import subprocess
from typing import Callable, List, Mapping, Optional

VARIABLE = "CUDA_VISIBLE_DEVICES"
NOT_ON_THE_PATH = ("usr/local/nvidia/bin/nvidia-smi", "usr/lib/wsl/lib/nvidia-smi")


def nvidia_smi(which: Callable[[str], Optional[str]] = shutil.which, root: str = "/") -> Optional[str]:
    """The path of nvidia-smi, or `None` if there is none."""
    elsewhere = (os.path.join("/", path) for path in NOT_ON_THE_PATH if os.path.exists(os.path.join(root, path)))
    return which("nvidia-smi") or next(elsewhere, None)


def query(*options: str) -> List[List[str]]:
    """The rows that `nvidia-smi --query-...` prints.

    Raises:
        OSError: nvidia-smi can't be run.
        subprocess.SubprocessError: nvidia-smi fails, or takes too long.
    """
    command = [nvidia_smi() or "nvidia-smi", "--format=csv,noheader,nounits", *options]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60, text=True).stdout
    return [[cell.strip() for cell in line.split(",")] for line in output.splitlines() if line.strip()]


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
