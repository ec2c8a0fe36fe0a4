"""The modules of docker/inside that the host uses too. In a cell, that folder is on the path of modules as well."""

import sys

from harness.system.paths import INSIDE

sys.path.append(str(INSIDE))

import capacity
import inventory
import visible

__all__ = ["capacity", "inventory", "visible"]
