"""`Module`: a frozen dataclass that is a pytree, data and function at once.

In this folder:
    fields.py        what a class says of its fields
    construction.py  how an instance is made, and then frozen
    static_fields.py which values of an instance are structure
    replace.py       how a changed copy is made
    generated.py     code that is written out for a class, and its source
    flattening.py    how it is flattened and unflattened
    methods.py       bound methods that are pytrees
    packing.py       how functions made by JAX are copied and pickled, in whatever object they are
    pickling.py      how a module is copied and pickled
    metaclass.py     how a class is made, and made again when it changes
    module.py        the base class
"""

from .fields import field
from .module import Module
from .replace import replace

__all__ = ["Module", "field", "replace"]
