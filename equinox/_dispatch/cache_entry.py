"""One entry of the dispatch cache: what a call must look like to reuse a compiled function."""

from jax.tree_util import treedef_children

from .. import _compat
from .cache_key import StaticKeys
from .call_signature import DONATED, STATIC, TRACED, CallSignature
from .leaf_groups import gatherer


class CacheEntry:
    """A compiled function, and the calls that it is for.

    Args:
        arrangement: In which order their inputs are flattened.
        leaves, treedef: Their modules and their other inputs, flattened.
        kinds: The kind of each leaf.
        static_keys: The keys of the static leaves.
        compiled: The compiled function.

    Attributes:
        signature: What all inputs must look like.
        others: What the inputs that are no modules must look like.
        trusts_modules: Whether the very same modules may be taken to be as they were.
    """

    __slots__ = ("arrangement", "compiled", "kinds", "others", "signature", "traced_of_modules", "trusts_modules")

    def __init__(self, arrangement, leaves, treedef, kinds, static_keys, compiled):
        modules, others = treedef_children(treedef)
        number = modules.num_leaves  # which come first
        of_modules = kinds[:number]
        other_keys = StaticKeys(static_keys.keys[of_modules.count(STATIC) :])
        self.arrangement = arrangement
        self.kinds = kinds
        self.compiled = compiled
        self.signature = CallSignature(leaves, treedef, kinds, static_keys)
        self.others = CallSignature(leaves[number:], others, kinds[number:], other_keys)
        self.traced_of_modules = gatherer([i for i, kind in enumerate(of_modules) if kind == TRACED])
        # The content of a static NumPy array is compared at each call.
        may_change = any(kind == STATIC and _compat.is_numpy_array(x) for x, kind in zip(leaves, of_modules))
        self.trusts_modules = not may_change and DONATED not in of_modules
