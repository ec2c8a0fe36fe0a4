"""uv is found next to this Python, or on the PATH."""

import os
import sys
from pathlib import Path

from harness.system.uv import uv_path


def test_uv_beside_this_python_comes_first(tmp_path):
    """Otherwise uv is taken from the PATH."""
    beside = Path(sys.executable).parent / "uv"
    on_path = tmp_path / "uv"
    on_path.write_text("")
    on_path.chmod(0o755)
    assert uv_path({"PATH": str(tmp_path)}) == str(beside if os.access(beside, os.X_OK) else on_path)
