"""One entry of the dispatch cache: a compiled function, and what a call must look like to use it."""

from jax.tree_util import treedef_children

from .. import _compat
from .cache_key import StaticKeys
from .call_signature import DONATED, STATIC, TRACED, CallSignature
from .leaf_groups import gatherer


class CacheEntry:
    """A compiled function, and what a call must look like to use it.

    Args:
        arrangement: The order in which the inputs are flattened.
        leaves: The leaves of the modules, then those of the other inputs.
        treedef: The structure of `(modules, others)`.
        kinds: The kind of each leaf.
        static_keys: The keys of the static leaves.
        compiled: The compiled function.
        checked: Which programs of the compiled function hold a check (see `checks`). All its entries share the set.

    Attributes:
        signature: What all inputs must look like.
        signature_of_others: What the inputs that aren't modules must look like.
        traced_of_modules: A function from all leaves to the tuple of traced leaves of the modules.
        trusts_modules: Whether the arrays of the modules may be remembered. They may not if a call can change them
            unseen: by writing to a static NumPy array, or by donation.
    """

    __slots__ = (
        "arrangement",
        "checked",
        "compiled",
        "kinds",
        "signature",
        "signature_of_others",
        "traced_of_modules",
        "trusts_modules",
    )

    def __init__(self, arrangement, leaves, treedef, kinds, static_keys, compiled, checked):
        modules, others = treedef_children(treedef)
        number = modules.num_leaves  # which come first
        of_modules = kinds[:number]
        other_keys = StaticKeys(static_keys.keys[of_modules.count(STATIC) :])
        self.arrangement = arrangement
        self.kinds = kinds
        self.compiled = compiled
        self.checked = checked
        self.signature = CallSignature(leaves, treedef, kinds, static_keys)
        self.signature_of_others = CallSignature(leaves[number:], others, kinds[number:], other_keys)
        self.traced_of_modules = gatherer([i for i, kind in enumerate(of_modules) if kind == TRACED])
        static_numpy = any(kind == STATIC and _compat.is_numpy_array(x) for x, kind in zip(leaves, of_modules))
        self.trusts_modules = not static_numpy and DONATED not in of_modules
