"""Where uv is."""

import os
import shutil
import sys
from collections.abc import Mapping


def uv_path(env: Mapping[str, str] = os.environ) -> str | None:
    """The path of uv: next to this Python, where harness/requirements.txt installs it, or else on the PATH."""
    folders = os.path.dirname(sys.executable), env.get("PATH")
    return shutil.which("uv", path=os.pathsep.join(filter(None, folders)))
