"""`Module`: a frozen dataclass that is a pytree. README.md tells how it works and where to begin."""

from .abstract import AbstractClassVar, AbstractVar
from .fields import field, static_field
from .module import Module
from .partial import Partial
from .replace import replace
from .wrappers import module_update_wrapper

__all__ = [
    "AbstractClassVar",
    "AbstractVar",
    "Module",
    "Partial",
    "field",
    "module_update_wrapper",
    "replace",
    "static_field",
]
