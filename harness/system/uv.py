"""Where uv is."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path


def uv_path(env: Mapping[str, str] = os.environ) -> str | None:
    """The path of uv: next to this Python, where harness/requirements.txt installs it, or else on the PATH."""
    beside = shutil.which("uv", path=str(Path(sys.executable).parent))
    return beside or shutil.which("uv", path=env.get("PATH"))
