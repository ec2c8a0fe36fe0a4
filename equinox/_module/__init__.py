"""`Module`: a frozen dataclass that is a pytree. README.md tells how it works and where to begin."""

from .abstract import AbstractClassVar, AbstractVar
from .fields import field, static_field
from .module import Module
from .replace import replace

__all__ = ["AbstractClassVar", "AbstractVar", "Module", "field", "replace", "static_field"]
