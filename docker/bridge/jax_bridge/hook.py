"""Do something right after a module was imported for the first time."""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Callable, Optional


class AfterImport:
    """A finder for `sys.meta_path` that calls `action` after module `name` ran, before its importer sees it.

    It then takes itself out of `sys.meta_path`. Merely looking for the module, as `importlib.util.find_spec` does,
    doesn't use it up. If `action` raises, the import fails, and so does each further one.
    """

    def __init__(self, name: str, action: Callable[[], None]) -> None:
        self.name = name
        self._action = action

    def find_spec(self, name: str, path: Any = None, target: Optional[ModuleType] = None) -> Optional[ModuleSpec]:
        if name != self.name:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:  # not there, or a folder that merely has its name
            return None
        loader = spec.loader  # of this spec alone
        execute = loader.exec_module

        def execute_then_act(module: ModuleType) -> None:
            del vars(loader)["exec_module"]  # the module's loader is an ordinary one again
            execute(module)
            self._action()
            if self in sys.meta_path:
                sys.meta_path.remove(self)

        vars(loader)["exec_module"] = execute_then_act
        return spec
