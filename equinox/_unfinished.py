"""Which modules are being made: below both those who make them and those who must not rely on them yet."""

# The `id`s of the modules whose `__init__` is running. Each belongs to one object, so neither another thread nor a
# module made inside another's `__init__` can see, or end, somebody else's construction.
unfinished: set = set()
