"""`filter_cond` and `filter_switch`: JAX's branches, for models as they are."""

from __future__ import annotations

from typing import Callable, Iterable, Sequence, Union

import jax
from jax import lax

from .._compat.types import AnyArray, PyTree, R
from .._dispatch.leaf_groups import pack_output, separate, unpack_output
from .._dispatch.wrapper_cache import wrapper_of
from .._trees.agreement import first_disagreement
from .._trees.paths import describe_leaf
from .._trees.predicates import is_array, is_array_like
from .wrap import check_callable


def filter_cond(
    pred: Union[bool, AnyArray], true_fun: Callable[..., R], false_fun: Callable[..., R], *operands: PyTree
) -> R:
    """Wrap `jax.lax.cond`: call `true_fun` or `false_fun`, as `pred` decides at run time.

    The arrays in the operands are traced, those of JAX and of NumPy. Everything else in them comes to the branches as
    it is: numbers, flags, functions. As by `jax.lax.cond`, both branches are traced, also if `pred` is known.

    Args:
        pred: A boolean scalar.
        true_fun: A function of the operands, or anything else that is callable, such as a model.
        false_fun: Another.
        *operands: Any pytrees.

    Returns:
        What the branch returned. The branches may differ in the values of arrays. Everything else must be the same, and
        is returned as it is.

    Raises:
        TypeError: A branch can't be called.
        TypeError: The branches return other structures, arrays of other shapes or dtypes, or other values of what isn't
            an array. The message says where.
        TypeError: `pred` is no scalar. This error is JAX's own.

    Example:
        >>> model = {"weight": jnp.array(2.0), "activation": jnp.tanh}
        >>> def negated(model):
        ...     return dict(model, weight=-model["weight"])
        >>> out = eqx.filter_cond(jnp.array(True), negated, lambda model: model, model)
        >>> float(out["weight"]), out["activation"] is jnp.tanh
        (-2.0, True)
    """
    branches = {"true_fun": true_fun, "false_fun": false_fun}
    return _choose("filter_cond", branches, operands, lambda funs, arrays: lax.cond(pred, *funs, arrays))


def filter_switch(index: Union[int, AnyArray], branches: Sequence[Callable[..., R]], *operands: PyTree) -> R:
    """Wrap `jax.lax.switch`: call the branch that `index` says at run time.

    The arrays in the operands are traced, those of JAX and of NumPy. Everything else in them comes to the branches as
    it is: numbers, flags, functions. As by `jax.lax.switch`, all branches are traced, and an index out of range is that
    of the nearest branch.

    Args:
        index: An integer scalar.
        branches: A sequence of functions of the operands, or of anything else that is callable, such as models.
        *operands: Any pytrees.

    Returns:
        What the branch returned. The branches may differ in the values of arrays. Everything else must be the same, and
        is returned as it is.

    Raises:
        TypeError: `branches` is no sequence, or a branch can't be called.
        TypeError: The branches return other structures, arrays of other shapes or dtypes, or other values of what isn't
            an array. The message says where.
        TypeError: `index` is no integer scalar. This error is JAX's own.
        ValueError: There is no branch. This error is JAX's own.

    Example:
        >>> layers = [eqx.nn.Linear(2, 3, key=key) for key in jrandom.split(jrandom.PRNGKey(0))]
        >>> eqx.filter_switch(jnp.array(1), layers, jnp.ones(2)).shape
        (3,)
    """
    if not isinstance(branches, Iterable):
        message = "`filter_switch` expects `branches` to be a sequence of functions, got {}."
        raise TypeError(message.format(describe_leaf(branches)))
    named = {"branches[{}]".format(i): fun for i, fun in enumerate(branches)}
    return _choose("filter_switch", named, operands, lambda funs, arrays: lax.switch(index, funs, arrays))


def _choose(name, branches, operands, choose):
    """Call one of the branches.

    Args:
        name: The name of the public function.
        branches: The branches, by what the public function calls them.
        operands: The operands of all branches.
        choose: JAX's own function, of a list of branches and their operand. The operands are one list of arrays. JAX
            before 0.2.19 takes one operand, no more and no less.
    """
    for parameter, fun in branches.items():
        check_callable(name, fun, parameter)
    arrays, merge = separate(operands, is_array)
    try:
        return unpack_output(choose([wrapper_of(fun, _branch, merge) for fun in branches.values()], arrays))
    except TypeError:
        disagreement = _disagreement(branches, merge, arrays)
        if disagreement is None:
            raise
        message = "`{}` expects its branches to return the same, apart from the values of arrays. {}"
        raise TypeError(message.format(name, disagreement)) from None


def _branch(get_fun, merge):
    return lambda arrays: pack_output(get_fun()(*merge(arrays)), is_array)


def _disagreement(branches, merge, arrays):
    """In words, where two branches return something else, or `None`."""
    found = []

    def compare(arrays):
        (first, expected), *others = [(parameter, fun(*merge(arrays))) for parameter, fun in branches.items()]
        for other, got in others:
            difference = first_disagreement(expected, got, "out")
            if difference is not None:
                path, here, there, leaves = difference
                message = "At `{}`, `{}` returns {}, and `{}` {}. {}"
                found.append(message.format(path, first, here, other, there, _advice(leaves)))
                break
        return ()

    try:
        jax.eval_shape(compare, arrays)
    except Exception:  # a branch's own error, which the caller has
        return None
    return found[0] if found else None


def _advice(leaves):
    """What to do about two leaves that may not stand in one place, or about two structures."""
    if leaves is None:
        return "Return trees of one structure."
    if all(map(is_array, leaves)):
        return "Return arrays of one shape and dtype."
    if all(map(is_array_like, leaves)):
        return "Return an array in each branch, as `jnp.asarray` makes it."
    return "What isn't an array must be the same in each branch."
