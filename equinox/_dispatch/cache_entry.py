"""One entry of the dispatch cache: what a call must look like to reuse a compiled function."""

from jax.tree_util import treedef_children

from .. import _compat
from .call_signature import DONATED, STATIC, TRACED, CallSignature
from .leaf_groups import gatherer


class CacheEntry:
    """A compiled function, and the calls that it is for.

    Args:
        arrangement: In which order their inputs are flattened.
        leaves, treedef: Their modules and their other inputs, flattened.
        kinds: The kind of each leaf.
        keys: The key of each static leaf.
        selected: For each leaf whether the filter selected it, if the filter must be asked at each call.
        compiled: The compiled function.

    Attributes:
        signature: What all inputs must look like.
        others: What the inputs that are no modules must look like.
        trusts_modules: Whether the very same modules may be taken to be as they were.
    """

    __slots__ = (
        "arrangement",
        "compiled",
        "kinds",
        "others",
        "selected",
        "signature",
        "traced_of_modules",
        "trusts_modules",
    )

    def __init__(self, arrangement, leaves, treedef, kinds, keys, selected, compiled):
        modules, others = treedef_children(treedef)
        number = modules.num_leaves  # which come first
        of_modules = kinds[:number]
        self.arrangement = arrangement
        self.kinds = kinds
        self.selected = selected
        self.compiled = compiled
        self.signature = CallSignature(leaves, treedef, kinds, keys)
        self.others = CallSignature(leaves[number:], others, kinds[number:], keys[of_modules.count(STATIC) :])
        self.traced_of_modules = gatherer([i for i, kind in enumerate(of_modules) if kind == TRACED])
        # The content of a static NumPy array is compared at each call.
        may_change = any(kind == STATIC and _compat.is_numpy_array(x) for x, kind in zip(leaves, of_modules))
        self.trusts_modules = selected is None and not may_change and DONATED not in of_modules

    def matches(self, leaves, treedef, selected):
        """Whether a call with these leaves, of which the filter selects `selected`, is like those of this entry."""
        return self.signature.matches(leaves, treedef) and self.selected == selected
