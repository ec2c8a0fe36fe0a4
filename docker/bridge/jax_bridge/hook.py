"""Run code right after the first import of a module."""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Callable, Optional


class AfterImport:
    """A finder for `sys.meta_path` that calls `action` when module `name` is loaded, before the importer gets it.

    Then it removes itself from `sys.meta_path`. It stays if code only looks for the module, as
    `importlib.util.find_spec` does. If `action` raises, this import fails, and all later imports fail too.
    """

    def __init__(self, name: str, action: Callable[[], None]) -> None:
        self.name = name
        self._action = action

    def find_spec(self, name: str, path: Any = None, target: Optional[ModuleType] = None) -> Optional[ModuleSpec]:
        if name != self.name:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:  # it doesn't exist, or it is a folder without code
            return None
        loader = spec.loader  # used by this spec only
        execute = loader.exec_module

        def execute_then_act(module: ModuleType) -> None:
            del vars(loader)["exec_module"]  # undo the line below: the loader is unchanged again
            execute(module)
            self._action()
            if self in sys.meta_path:
                sys.meta_path.remove(self)

        vars(loader)["exec_module"] = execute_then_act
        return spec
