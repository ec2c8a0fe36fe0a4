"""`Module`: a frozen dataclass that is a pytree. README.md tells how it works and where to begin."""

from .fields import field
from .module import Module
from .replace import replace

__all__ = ["Module", "field", "replace"]
