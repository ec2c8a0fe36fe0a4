"""The map of the modules, in the docstring of `harness`."""

import re
from pathlib import Path

import harness


def test_the_map_names_each_module_of_the_harness():
    folder = Path(harness.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert set(re.findall(r"`([a-z_]+)`", harness.__doc__)) - {"cpu", "cuda", "tpu"} == modules - {"__init__"}
