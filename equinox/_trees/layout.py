"""What the functions on trees and the transformations know about modules. They never import `_module`."""

# The `id`s of the modules whose `__init__` is running. Each `id` belongs to one object. So modules that are made in
# another thread, or inside another module's `__init__`, don't affect one another.
unfinished: set = set()


def layout_of(x):
    """The `Layout` of the class of the module `x`, which describes its fields. `None` if `x` is no module."""
    return getattr(type(x), "__layout__", None)
