"""What a module tells of itself to the rest of the library, which never imports `_module`."""

# The `id`s of the modules whose `__init__` is running. Each belongs to one object, so another thread, or a module that
# is made inside another's `__init__`, can neither see nor end a construction that isn't its own.
unfinished: set = set()


def layout_of(x):
    """What the class of the module `x` knows of its fields, or `None` if `x` is no module."""
    return getattr(type(x), "__layout__", None)
