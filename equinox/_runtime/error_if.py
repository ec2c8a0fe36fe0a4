"""`error_if` and `branched_error_if`: raise an error when a compiled program finds a value that it must not have."""

from __future__ import annotations

import os
from typing import Sequence, Union

import jax
import jax.numpy as jnp
import numpy as np
from jax import core, lax, tree_util

from .. import _compat
from .._compat.types import AnyArray, T
from .._dispatch.checks import lowerings, raised_on_host
from .._trees.paths import describe_leaf
from .._trees.predicates import is_array, is_boolean, is_inexact_jax_or_numpy, is_jax_array

_VARIABLE = "EQX_ON_ERROR"
_ON_ERROR = ("raise", "breakpoint", "nan", "off")


class EquinoxRuntimeError(RuntimeError):
    """A check of `error_if` failed when the program ran.

    Example:
        >>> try:
        ...     eqx.error_if(jnp.array(-1.0), jnp.array(True), "It is negative.")
        ... except eqx.EquinoxRuntimeError as error:
        ...     print(error)
        It is negative.
    """


class EquinoxTracetimeError(RuntimeError):
    """A check of `error_if` fails whatever the inputs are: its predicate is a bool of Python or NumPy that is true.

    Example:
        >>> try:
        ...     eqx.error_if(jnp.ones(3), True, "There are too many.")
        ... except eqx.EquinoxTracetimeError as error:
        ...     print(error)
        There are too many.
    """


def error_if(x: T, pred: Union[bool, AnyArray], msg: str, *, on_error: str = "default") -> T:
    """Return `x`, or raise an error if `pred` is true when the program runs.

    It works in compiled functions, and in `vmap`, `grad`, `scan` and other transformations, on every backend. The check
    belongs to `x`: JAX leaves the check out if the program doesn't use the returned value.

    `vmap` over the predicate of a `cond` or the index of a `switch` runs all branches for each example. So a check in a
    branch also fails for an example that doesn't take the branch. A `while_loop` runs its body for all examples until
    the last one ends. Put the condition into `pred` there: `error_if(x, taken & is_bad, ...)`.

    `filter_jit` waits for a call whose program holds a check, and raises the error there. It doesn't wait for any other
    call. Under plain `jax.jit`, the error is JAX's own, with the message in it. It may also be JAX's own if a
    transformation such as `jax.grad` is applied to the jitted function, because `filter_jit` can't wait for such a
    call. JAX before 0.7 may refuse later programs on the same devices after a check failed on several devices. In
    `filter_shard_map`, JAX before 0.6.1 needs `check_vma=False`.

    In `filter_shard_map` and `filter_pmap` each device has its own `pred`. If the check fails on only some devices, the
    others may wait for them forever in the next collective operation, such as `psum`. Give all devices the same
    predicate: `jax.lax.pmax(pred.astype(int), axis_name) > 0`.

    Args:
        x: A pytree with at least one array.
        pred: A bool, or a boolean array of any shape. The check fails if any of its items is true. `pred` may be
            batched by `vmap` while `x` is not.
        msg: The message of the error. If `pred` is batched or isn't a scalar, the error adds where it is true.
        on_error: What to do if the check fails. "raise" raises the error. "breakpoint" prints the message and opens
            `jax.debug.breakpoint`, where `up` leads to the caller, and `c` lets the program go on. "nan" raises
            nothing, and fills the floating-point and complex arrays of `x` with NaN. "off" skips the check, at no cost.
            "default" is what the environment variable `EQX_ON_ERROR` says when the function is traced, and "raise" if
            it isn't set.

    Returns:
        `x`. NumPy arrays in it may have become JAX arrays.

    Raises:
        EquinoxRuntimeError: `pred` is true. It is raised at once if `pred` is a JAX array whose value is known.
        EquinoxTracetimeError: `pred` is true and is a bool, or an array of NumPy. It is raised at once.
        TypeError: `pred` isn't boolean, or `msg` isn't a string.
        ValueError: `x` holds no array, or `on_error` is none of those.
        NotImplementedError: The running JAX is older than 0.3.17 and runs on an accelerator, or it has no
            `jax.debug.breakpoint`.

    Example:
        >>> @eqx.filter_jit
        ... def root(x):
        ...     return jnp.sqrt(eqx.error_if(x, x < 0, "`x` must not be negative."))
        >>> float(root(jnp.array(4.0)))
        2.0
        >>> root(jnp.array(-4.0))
        Traceback (most recent call last):
        ...
        equinox._runtime.error_if.EquinoxRuntimeError: `x` must not be negative.
    """
    return _checked("error_if", x, pred, 0, [msg], on_error)


def branched_error_if(
    x: T, pred: Union[bool, AnyArray], index: Union[int, AnyArray], msgs: Sequence[str], *, on_error: str = "default"
) -> T:
    """As `error_if`, with one of several messages: `index` says which one when the program runs.

    Args:
        x: A pytree with at least one array.
        pred: A bool, or a boolean array of any shape. The check fails if any of its items is true.
        index: An integer scalar: the number of the message. An index out of range is that of the nearest message.
        msgs: The messages.
        on_error: As for `error_if`.

    Returns:
        `x`. NumPy arrays in it may have become JAX arrays.

    Raises:
        EquinoxRuntimeError: `pred` is true.
        EquinoxTracetimeError: `pred` is true and is a bool, or an array of NumPy, and `index` is known.
        TypeError: `pred` isn't boolean, `index` isn't an integer scalar, or `msgs` isn't a sequence of strings.
        ValueError: `x` holds no array, `msgs` is empty, or `on_error` is unknown.
        NotImplementedError: As for `error_if`.

    Example:
        >>> messages = ["`x` is negative.", "`x` isn't finite."]
        >>> x = jnp.array(float("inf"))
        >>> eqx.branched_error_if(x, (x < 0) | ~jnp.isfinite(x), jnp.where(x < 0, 0, 1), messages)
        Traceback (most recent call last):
        ...
        equinox._runtime.error_if.EquinoxRuntimeError: `x` isn't finite.
    """
    return _checked("branched_error_if", x, pred, index, msgs, on_error)


def _checked(name, x, pred, index, msgs, on_error):
    """What both functions do. `name` is that of the public function."""
    on_error = _action(name, on_error)
    leaves, treedef = tree_util.tree_flatten(x)
    _check_arguments(name, leaves, pred, index, msgs)
    if on_error == "off":
        return x
    check = _Check(name, tuple(map(_safe, msgs)), np.ndim(pred), raises=on_error == "raise")
    if not is_jax_array(index):
        index = _nearest(index, msgs)  # JAX would cut a large number to 32 bits
    operands = (pred,) if len(msgs) == 1 else (pred, index)
    if not isinstance(pred, core.Tracer) and not np.asarray(pred).any():
        return x
    if on_error == "nan":
        return _filled(leaves, treedef, is_inexact_jax_or_numpy, jnp.any(pred), np.nan)
    if on_error == "breakpoint":
        _compat.require("error_if(on_error='breakpoint')")
    if any(isinstance(operand, core.Tracer) for operand in operands):
        failed = _compat.host_check(check, *map(jnp.asarray, operands))
    elif on_error == "raise" and not is_jax_array(pred):
        raise EquinoxTracetimeError(check.message(*map(np.asarray, operands)))
    else:
        failed = check(*map(np.asarray, operands))
    if on_error == "breakpoint":
        lax.cond(failed, lambda _: jax.debug.breakpoint(), lambda _: None, ())
        return x
    return _filled(leaves, treedef, is_array, failed, 0)


def _action(name, on_error):
    """One of `_ON_ERROR`."""
    source = "`on_error`"
    if isinstance(on_error, str) and on_error == "default":
        source, on_error = "`on_error` or the variable {}".format(_VARIABLE), os.environ.get(_VARIABLE, "raise")
    if not isinstance(on_error, str) or on_error not in _ON_ERROR:
        message = "`{}` expects {} to be one of {}, got {!r}."
        raise ValueError(message.format(name, source, ", ".join(map(repr, _ON_ERROR)), on_error))
    return on_error


def _check_arguments(name, leaves, pred, index, msgs):
    if not any(map(is_array, leaves)):
        described = ", ".join(map(describe_leaf, leaves[:3])) or "no leaf"
        message = "`{}` expects `x` to hold an array, because the check belongs to it. It holds {}."
        raise ValueError(message.format(name, described))
    if not is_boolean(pred):
        message = "`{}` expects `pred` to be a bool or a boolean array, got {}."
        raise TypeError(message.format(name, describe_leaf(pred)))
    is_int = isinstance(index, int) or (is_array(index) and np.issubdtype(index.dtype, np.integer))
    if isinstance(index, bool) or not is_int or np.ndim(index) != 0:
        message = "`{}` expects `index` to be an integer scalar, got {}."
        raise TypeError(message.format(name, describe_leaf(index)))
    if isinstance(msgs, str) or not isinstance(msgs, Sequence) or not all(isinstance(msg, str) for msg in msgs):
        what = "`msg` to be a string" if name == "error_if" else "`msgs` to be a sequence of strings"
        got = msgs[0] if name == "error_if" else msgs
        raise TypeError("`{}` expects {}, got {}.".format(name, what, describe_leaf(got)))
    if not msgs:
        raise ValueError("`{}` expects at least one message in `msgs`.".format(name))


def _safe(msg):
    """The message, with a backslash for each character that JAX can't report: surrogates and NUL. JAX may crash."""
    return msg.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def _nearest(index, msgs):
    """The index of a message: `index` if it is in range."""
    return min(max(int(index), 0), len(msgs) - 1)


def _filled(leaves, treedef, is_selected, failed, value):
    """The tree of `leaves`. If the scalar `failed` is true, its selected arrays are filled with `value`."""
    return treedef.unflatten([_or_fill(x, failed, value) if is_selected(x) else x for x in leaves])


def _or_fill(x, failed, value):
    if x.dtype == jax.dtypes.float0:
        return x
    if is_jax_array(x) and _compat.is_typed_key(x):
        _compat.require("error_if of a typed key")
        data = _or_fill(jax.random.key_data(x), failed, value)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    return lax.select(failed, lax.full_like(x, value), x)


class _Check:
    """The check in a program. JAX calls it on the host.

    Two are equal if they do the same, so that JAX compiles one of them.

    Args:
        name: The name of the public function.
        msgs: The messages.
        rank: How many axes `pred` has without those of batches.
        raises: Whether to raise the error. Otherwise its message is printed.
    """

    def __init__(self, name, msgs, rank, raises):
        self._name = name
        self._msgs = msgs
        self._rank = rank
        self._raises = raises
        self._key = (name, msgs, rank, raises)

    def __call__(self, pred, index=0):
        if not pred.any():
            return False
        message = self.message(pred, index)
        if self._raises:
            error = EquinoxRuntimeError(message)
            raised_on_host(error)
            raise error
        print("{}: {}".format(self._name, message))
        return True

    def message(self, pred, index=0):
        """The message, with the place of the first item of `pred` that is true."""
        where = tuple(int(i) for i in np.argwhere(pred)[0])
        batch, place = where[: pred.ndim - self._rank], where[pred.ndim - self._rank :]
        number = index[batch] if np.ndim(index) else index
        message = self._msgs[_nearest(number, self._msgs)]
        if batch:
            examples = pred.reshape(pred.shape[: len(batch)] + (-1,)).any(axis=-1)
            message += "\nIt failed at index {} of the batch.".format(batch[0] if len(batch) == 1 else batch)
            message += " Examples that failed: {} of {}.".format(examples.sum(), examples.size)
        if place:
            message += "\n`pred` is true at index {}.".format(place[0] if len(place) == 1 else place)
        return message

    def lowered(self):
        """JAX lowers a program with this check."""
        lowerings.add()

    def __eq__(self, other):
        return type(other) is _Check and self._key == other._key

    def __hash__(self):
        return hash(self._key)

    def __repr__(self):
        return "{}({!r})".format(self._name, self._msgs[0] if len(self._msgs) == 1 else self._msgs)
