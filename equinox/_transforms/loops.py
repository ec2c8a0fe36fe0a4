"""`filter_scan`, `filter_while_loop`, `filter_fori_loop` and `filter_map`: JAX's loops, for models as they are."""

from __future__ import annotations

import operator
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import jax
from jax import lax, tree_util

from .. import _compat
from .._compat.types import AnyArray, PyTree, R, T
from .._dispatch.leaf_groups import pack_output, separate, unpack_output
from .._dispatch.wrapper_cache import wrapper_of
from .._trees.agreement import agrees, describe, dtype_of, first_disagreement
from .._trees.paths import describe_leaf, leaf_paths
from .._trees.predicates import is_array, is_array_like
from .axes import describe_sizes
from .wrap import check_callable, check_pair


def filter_scan(
    f: Callable[[T, Any], Tuple[T, R]],
    init: T,
    xs: PyTree = None,
    length: Optional[int] = None,
    *,
    reverse: bool = False,
    unroll: Union[int, bool] = 1,
    checkpoint: Union[bool, Callable[..., Any]] = False,
) -> Tuple[T, R]:
    """Wrap `jax.lax.scan`: call `f` for one slice of `xs` after the other, and carry a state along.

    The arrays in `init` are the state, those of JAX and of NumPy. Everything else in `init` stays as it is through all
    steps: numbers, flags, functions. So the state may be a model. A counter that `f` changes must be an array, such as
    `jnp.asarray(0)`.

    Args:
        f: A function `(carry, x) -> (carry, y)`, or anything else that is callable, such as a model.
        init: The first carry. Any pytree.
        xs: What is looped over. Any pytree. Its arrays are sliced along their first axis. Every other leaf comes to
            each step as it is.
        length: The number of steps. It may be left out if `xs` holds an array.
        reverse: Whether to begin with the last slice. The outputs are in the order of the slices.
        unroll: How many steps one iteration of the compiled loop has.
        checkpoint: Whether to compute the values inside a step once more when gradients need them, and not to keep
            them in memory. Instead of `True`, a policy of `jax.checkpoint_policies` says which values are kept.

    Returns:
        `(carry, ys)`. `carry` is what the last step returned, with all that isn't an array as in `init`. In `ys` the
        arrays of all `y` are stacked along a new first axis. What isn't an array in `y` is as `f` returned it.

    Raises:
        TypeError: `f` can't be called.
        TypeError: `f` doesn't return a tuple or a list.
        ValueError: `f` returns a tuple or a list that isn't a pair.
        TypeError: `f` changes the structure of the carry, the shape or dtype of an array in it, or a leaf that isn't an
            array. The message says where. As for `jax.lax.scan`, a weakly typed array in `init` takes the dtype that
            `f` returns.
        ValueError: The arrays in `xs` differ in the length of their first axis, or from `length`; or there is no
            `length`, and no array in `xs`.
        TypeError: `length` is no integer.
        TypeError: `checkpoint` is no bool and no function.
        NotImplementedError: `checkpoint` is a policy, and the running JAX is older than 0.2.21.

    Example:
        >>> cell = eqx.nn.GRUCell(2, 3, key=jrandom.PRNGKey(0))
        >>> def step(carry, x):
        ...     cell, hidden = carry
        ...     hidden = cell(x, hidden)
        ...     return (cell, hidden), hidden
        >>> (cell, hidden), outputs = eqx.filter_scan(step, (cell, jnp.zeros(3)), xs=jnp.ones((5, 2)))
        >>> hidden.shape, outputs.shape
        ((3,), (5, 3))
    """
    check_callable("filter_scan", f, "f")
    arrays, carry = separate(init, is_array)
    slices, x = separate(xs, is_array)
    length = _check_length("filter_scan", xs, slices, length)
    step = wrapper_of(f, _scan_step, carry, x, checkpoint)
    arrays, ys = lax.scan(step, arrays, slices, length=length, reverse=reverse, unroll=unroll)
    return carry(arrays), unpack_output(ys)


def _scan_step(get_f, carry, x, checkpoint):
    def step(arrays, slices):
        after, y = check_pair("filter_scan", "`f`", "`(carry, y)`", get_f()(carry(arrays), x(slices)))
        return _arrays_after("filter_scan", "f", carry, arrays, after), pack_output(y, is_array)

    return _rematerialised(step, checkpoint) if checkpoint else step


def filter_while_loop(cond: Callable[[T], Any], body: Callable[[T], T], init: T) -> T:
    """Wrap `jax.lax.while_loop`: call `body` again and again while `cond` is true.

    The arrays in `init` are the state, those of JAX and of NumPy. Everything else in `init` stays as it is through all
    steps: numbers, flags, functions. So the state may be a model. A counter that `body` changes must be an array, such
    as `jnp.asarray(0)`. As for `jax.lax.while_loop`, there are no gradients
    in reverse mode.

    Args:
        cond: A function from the carry to a boolean scalar, or anything else that is callable.
        body: A function from the carry to the next one, or anything else that is callable.
        init: The first carry. Any pytree.

    Returns:
        The last carry, with all that isn't an array as in `init`.

    Raises:
        TypeError: A function can't be called.
        TypeError: `body` changes the structure of the carry, the shape or dtype of an array in it, or a leaf that isn't
            an array. The message says where. As for `jax.lax.while_loop`, a weakly typed array in `init` takes the
            dtype that `body` returns.
        TypeError: `cond` returns no boolean scalar. This error is JAX's own.

    Example:
        >>> init = {"value": jnp.array(1.0), "factor": 3}
        >>> def body(carry):
        ...     return {"value": carry["factor"] * carry["value"], "factor": carry["factor"]}
        >>> out = eqx.filter_while_loop(lambda carry: carry["value"] < 50, body, init)
        >>> float(out["value"]), out["factor"]
        (81.0, 3)
    """
    check_callable("filter_while_loop", cond, "cond")
    check_callable("filter_while_loop", body, "body")
    arrays, carry = separate(init, is_array)
    condition, step = wrapper_of(cond, _condition, carry), wrapper_of(body, _while_step, carry)
    return carry(lax.while_loop(condition, step, arrays))


def _condition(get_cond, carry):
    return lambda arrays: get_cond()(carry(arrays))


def _while_step(get_body, carry):
    def step(arrays):
        return _arrays_after("filter_while_loop", "body", carry, arrays, get_body()(carry(arrays)))

    return step


def filter_fori_loop(
    lower: Union[int, AnyArray], upper: Union[int, AnyArray], body: Callable[[Any, T], T], init: T
) -> T:
    """Wrap `jax.lax.fori_loop`: call `body` for each integer from `lower` to `upper - 1`.

    The arrays in `init` are the state, those of JAX and of NumPy. Everything else in `init` stays as it is through all
    steps: numbers, flags, functions. So the state may be a model. A counter that `body` changes must be an array, such
    as `jnp.asarray(0)`. As for `jax.lax.fori_loop`, there are gradients in
    reverse mode if `lower` and `upper` are Python integers, or others whose values are known while JAX traces.

    Args:
        lower: The first integer.
        upper: The integer after the last.
        body: A function `(i, carry) -> carry`, or anything else that is callable.
        init: The first carry. Any pytree.

    Returns:
        The last carry, with all that isn't an array as in `init`.

    Raises:
        TypeError: A function can't be called.
        TypeError: `body` changes the structure of the carry, the shape or dtype of an array in it, or a leaf that isn't
            an array. The message says where. As for `jax.lax.fori_loop`, a weakly typed array in `init` takes the
            dtype that `body` returns.
        TypeError: `lower` or `upper` is no integer. This error is JAX's own.

    Example:
        >>> init = {"value": jnp.array(1), "name": "sum"}
        >>> out = eqx.filter_fori_loop(0, 3, lambda i, carry: dict(carry, value=carry["value"] + i), init)
        >>> int(out["value"]), out["name"]
        (4, 'sum')
    """
    check_callable("filter_fori_loop", body, "body")
    arrays, carry = separate(init, is_array)
    return carry(lax.fori_loop(lower, upper, wrapper_of(body, _fori_step, carry), arrays))


def _fori_step(get_body, carry):
    def step(i, arrays):
        return _arrays_after("filter_fori_loop", "body", carry, arrays, get_body()(i, carry(arrays)))

    return step


def filter_map(f: Callable[[Any], R], xs: PyTree) -> R:
    """Wrap `jax.lax.map`: call `f` for one slice of `xs` after the other, and stack the results.

    It gives what `jax.vmap` gives, one slice at a time: slower, in less memory.

    Args:
        f: A function of a slice, or anything else that is callable, such as a model.
        xs: What is looped over. Any pytree. Its arrays are sliced along their first axis, those of JAX and of NumPy.
            Every other leaf comes to each call as it is.

    Returns:
        What `f` returned, its arrays stacked along a new first axis. What isn't an array is as `f` returned it.

    Raises:
        TypeError: `f` can't be called.
        ValueError: The arrays in `xs` differ in the length of their first axis, or there is none.

    Example:
        >>> xs = {"value": jnp.arange(3), "name": "square"}
        >>> out = eqx.filter_map(lambda x: dict(x, value=x["value"] ** 2), xs)
        >>> out["value"].tolist(), out["name"]
        ([0, 1, 4], 'square')
    """
    check_callable("filter_map", f, "f")
    slices, x = separate(xs, is_array)
    _check_length("filter_map", xs, slices)
    # This is what `jax.lax.map` does, but that makes a function of its own at each call, which JAX doesn't recognise.
    return unpack_output(lax.scan(wrapper_of(f, _map_step, x), (), slices)[1])


def _map_step(get_f, x):
    return lambda _, slices: ((), pack_output(get_f()(x(slices)), is_array))


def _arrays_after(name, parameter, carry, arrays, after):
    """The arrays of what a step returned. Refuse it if anything else in it has changed.

    Args:
        name: The name of the loop.
        parameter: What the loop calls the function that it repeats.
        carry: The carry without its arrays, a `Rest`.
        arrays: The arrays that the step got.
        after: The carry that it returned.
    """
    leaves, treedef = tree_util.tree_flatten(after)
    if treedef != carry.groups.treedef or not all(map(_follows, carry.leaves(arrays), leaves)):
        path, was, came, leaves = first_disagreement(carry(arrays), after, "carry", _follows)
        raise TypeError(
            "`{}` expects `{}` to return a carry like the one it got, but it changed `{}` from {} to {}. {}".format(
                name, parameter, path, was, came, _advice(leaves)
            )
        )
    return [x for x, is_static in zip(leaves, carry.groups.groups) if not is_static]


def _follows(before, after):
    """Whether a leaf may take the place of another in the next step.

    As in JAX, a Python number may take that of an array. A weakly typed array takes the dtype of what follows it: JAX
    then traces the step again with that dtype.
    """
    if before is after:
        return True  # most of a model
    if not is_array(before) or not (is_array(after) or type(after) in (bool, int, float, complex)):
        return agrees(before, after)
    shape = getattr(after, "shape", ())
    return shape == before.shape and (_is_weak(before) or dtype_of(before) == dtype_of(after))


def _is_weak(x):
    """Whether an array is weakly typed: JAX promotes it to the dtype of what it meets."""
    return bool(getattr(getattr(x, "aval", None), "weak_type", False))


def _advice(leaves):
    """What to do about two leaves that may not follow each other, or about two structures."""
    if leaves is None:
        return "A step may change the values of arrays, nothing else."
    before, after = leaves
    if is_array(before):
        return "Each step must return an array of the shape and dtype that it got."
    if is_array_like(before):
        return "Make it an array in `init` with `jnp.asarray`: what isn't an array stays as it is through all steps."
    return "What isn't an array stays as it is through all steps."


def _check_length(name, xs, slices, length=None):
    """Refuse arrays that can't be sliced together. Return `length` as an int."""
    lengths = {x.shape[:1] for x in slices}
    if length is not None:
        length = _as_length(name, length)
        lengths.add((length,))
    if len(lengths) == 1 and () not in lengths:
        return length
    if not lengths:
        ways = "an array in `xs`, or a `length`" if name == "filter_scan" else "an array in `xs`"
        raise ValueError("`{}` expects {}: without it the number of steps isn't known.".format(name, ways))
    described: Dict[int, List[str]] = {} if length is None else {length: ["`length`"]}
    paths = [path for path, x in zip(leaf_paths(xs, "xs"), tree_util.tree_leaves(xs)) if is_array(x)]
    for path, x in zip(paths, slices):
        if x.ndim == 0:
            raise ValueError(
                "`{}` slices the arrays in `xs` along their first axis, but `{}`, {}, has no axis.".format(
                    name, path, describe(x)
                )
            )
        described.setdefault(x.shape[0], []).append("`{}`, {}".format(path, describe(x)))
    raise ValueError(
        "`{}` slices the arrays in `xs` along first axes of one size, but these differ:\n{}".format(
            name, describe_sizes(dict(sorted(described.items())))
        )
    )


def _as_length(name, length):
    """`length` as an int."""
    try:
        return operator.index(length)
    except TypeError:
        message = "`{}` expects `length` to be an integer, got {}."
        raise TypeError(message.format(name, describe_leaf(length))) from None


def _rematerialised(step, checkpoint):
    if checkpoint is not True and not callable(checkpoint):
        raise TypeError(
            "`filter_scan` expects `checkpoint` to be a bool or a policy, got {}.".format(describe_leaf(checkpoint))
        )
    # Only outside of a loop could the compiler undo the rematerialisation.
    options = {"prevent_cse": False}
    if checkpoint is not True:
        _compat.require("filter_scan(checkpoint=policy)")
        options["policy"] = checkpoint
    return jax.checkpoint(step, **options)
