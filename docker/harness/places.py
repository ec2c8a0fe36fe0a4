"""Where things are. The harness is never installed: it belongs to the checkout that it stands in."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
MATRIX = DOCKER / "matrix.toml"
LOCKS = DOCKER / "locks"
BRIDGE = DOCKER / "bridge"
BUILD_CONSTRAINTS = DOCKER / "build-constraints.txt"

# Made, and never committed.
WORK = ROOT / ".tox"
RESULTS = Path(os.environ.get("EQX_RESULTS", str(ROOT / "results"))).resolve()
