"""`filter_checkpoint`: `jax.checkpoint` for functions of models."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, overload

import jax

from .. import _compat
from .._compat.types import P, R
from .._dispatch.leaf_groups import pack_output, separate, unpack_output
from .._trees.paths import describe_leaf
from .._trees.predicates import is_array
from .wrap import Options, Transformed, transform, transformation

Policy = Callable[..., Any]


@overload
def filter_checkpoint(
    fun: Callable[P, R], *, prevent_cse: bool = ..., policy: Optional[Policy] = ...
) -> Transformed[P, R]: ...
@overload
def filter_checkpoint(
    fun: None = ..., *, prevent_cse: bool = ..., policy: Optional[Policy] = ...
) -> Callable[[Callable[P, R]], Transformed[P, R]]: ...
@transformation
def filter_checkpoint(
    fun: Optional[Callable[..., Any]] = None, *, prevent_cse: bool = True, policy: Optional[Policy] = None
) -> Any:
    """Wrap `jax.checkpoint`: compute the values inside a function once more when gradients need them.

    This saves memory. The gradients stay the same. It is also called rematerialisation.

    Args:
        fun: A function or another callable, such as a model. If it is a pytree, its arrays are differentiated, too.
            Without `fun`, the result is a decorator.
        prevent_cse: Whether to keep the compiler from merging the two computations of a value, which would undo the
            effect. Inside `filter_scan` this isn't needed, and `False` is faster.
        policy: One of `jax.checkpoint_policies`, which says what values are kept. By default none are.

    Returns:
        A function with the inputs of `fun`. It returns what `fun` returns. Inputs and outputs may hold anything. The
        result is a pytree whose child is `fun`.

    Raises:
        TypeError: `fun` isn't callable, or `policy` isn't.
        NotImplementedError: There is a `policy`, and the running JAX is older than 0.2.21.

    Example:
        >>> model = eqx.nn.MLP(2, 1, 8, 2, key=jax.random.PRNGKey(0))
        >>> loss = lambda model, x: eqx.filter_checkpoint(model)(x).sum()
        >>> eqx.filter_grad(loss)(model, jnp.ones(2)).layers[0].weight.shape
        (8, 2)
    """
    given: Dict[str, Any] = {"prevent_cse": prevent_cse}
    if policy is not None:
        _compat.require("filter_checkpoint(policy=...)")
        if not callable(policy):
            raise TypeError(
                "`filter_checkpoint` expects `policy` to be a function, got {}.".format(describe_leaf(policy))
            )
        given["policy"] = policy
    return transform(_Checkpointed, fun, Options("filter_checkpoint", given))


class _Checkpointed(Transformed[P, R]):
    """What `filter_checkpoint` returns."""

    def __call__(__self, *args: P.args, **kwargs: P.kwargs) -> R:  # `self` may be the name of a keyword argument
        # The arrays of the function are inputs, too. So none of them is a constant that the checkpoint keeps.
        arrays, merge = separate((__self.__wrapped__, args, kwargs), is_array)

        def of_arrays(arrays):
            fun, args, kwargs = merge(arrays)
            return pack_output(fun(*args, **kwargs), is_array)

        return unpack_output(jax.checkpoint(of_arrays, **__self._options.given)(arrays))
