"""Paths of the checkout. The harness is never installed: it always runs from its checkout."""

import os
from pathlib import Path

HOME = ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
MATRIX = ROOT / "matrix.toml"
LOCKS = ROOT / "locks"
BRIDGE = DOCKER / "bridge"
INSIDE = DOCKER / "inside"
BUILD_CONSTRAINTS = DOCKER / "build-constraints.txt"

# Generated, and never committed.
WORK = ROOT / ".tox"
RESULTS = Path(os.environ.get("EQX_RESULTS", str(ROOT / "results"))).resolve()
