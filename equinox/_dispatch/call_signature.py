"""What a call looks like: the structure of its inputs, the types of their leaves, and the static leaves."""

from .cache_key import StaticKeys, static_key
from .leaf_groups import gatherer

# The kinds of leaves. The compiled function takes traced and donated leaves. Static leaves are built into it.
TRACED, DONATED, STATIC = range(3)


class CallSignature:
    """What inputs must look like to use the compiled function of an earlier call.

    Args:
        leaves: The leaves of the inputs of the earlier call.
        treedef: The structure of these inputs.
        kinds: The kind of each leaf.
        static_keys: The keys of the static leaves.

    Attributes:
        traced: A function from all leaves to the tuple of the traced ones.
        donated: A function from all leaves to the tuple of the donated ones.
    """

    __slots__ = ("_donates", "_static", "_types", "donated", "static_keys", "traced", "treedef")

    def __init__(self, leaves, treedef, kinds, static_keys):
        self.treedef = treedef
        self._types = list(map(type, leaves))
        self.traced, self.donated, self._static = (
            gatherer([i for i, k in enumerate(kinds) if k == kind]) for kind in (TRACED, DONATED, STATIC)
        )
        if STATIC not in kinds and DONATED not in kinds:
            self.traced = tuple
        self._donates = DONATED in kinds
        self.static_keys = static_keys

    def matches(self, leaves, treedef):
        """Whether these inputs have the same structure, types of leaves, and static leaves."""
        return (
            self._types == list(map(type, leaves))
            and self.treedef == treedef
            and self.static_keys.match(self._static(leaves))
        )

    def has_same_statics(self, leaves, treedef):
        """Whether these inputs have the same structure and static leaves. The types of other leaves don't count."""
        return self.treedef == treedef and self.static_keys == StaticKeys(map(static_key, self._static(leaves)))

    def arguments(self, leaves, first=()):
        """The arguments of the compiled function: the tuple of traced leaves, and that of donated leaves if any.

        Args:
            leaves: The leaves of the inputs.
            first: A tuple of traced leaves to put before them.
        """
        traced = first + self.traced(leaves) if first else self.traced(leaves)
        return (traced, self.donated(leaves)) if self._donates else (traced,)
