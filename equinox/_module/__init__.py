"""`Module`: a frozen dataclass that is a pytree, data and function at once.

In this folder:
    _field.py    what a class says of its fields
    _init.py     how an instance is made, and then frozen
    _node.py     how it is flattened and unflattened
    _method.py   bound methods that are pytrees
    _pickle.py   how it is copied and pickled
    _repr.py     how it is shown
    _base.py     the metaclass and the class that bring these together
"""

from ._base import Module
from ._field import field

__all__ = ["Module", "field"]
