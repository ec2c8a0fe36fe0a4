"""Derivative rules of the user's own, and tangents that JAX knows to be zero."""

import functools as ft

import jax
import jax.numpy as jnp
from jax import tree_util

from .arrays import is_typed_key
from .primitives import identity_primitive
from .release import jax_release

_NUMBERS = (bool, int, float, complex)


def custom_jvp(fun, rule, may_vary, refuse, jax=jax):
    """A `jax.custom_jvp` whose rule gets and returns `None` for a tangent that is known to be zero.

    Before JAX 0.4.16, only the tangents of what isn't floating-point or complex are known to be zero: see
    `_knows_zeros`. A floor of 0.4.16 retires the second branch.

    Args:
        fun: A function of arrays.
        rule: A function from the arrays and their tangents to the output and the tangents of its arrays.
        may_vary: For each array, whether it may be differentiated.
        refuse: A function that raises an error. It is called with the number of an array that is differentiated and
            must not be.
        jax: The `jax` module.

    Returns:
        A function of arrays.
    """
    knows_zeros = _knows_zeros(jax)

    def jvp(primals, tangents):
        tangents = [_none_if_zero(t, jax) for t in tangents]
        tangents = _only_of(may_vary, tangents, None, refuse if knows_zeros else None)
        out, tangents = rule(list(map(_as_array, primals)), tangents)
        leaves, treedef = tree_util.tree_flatten(out)
        return out, treedef.unflatten([_zero_like(x, jax) if t is None else t for x, t in zip(leaves, tangents)])

    custom = jax.custom_jvp(lambda *primals: fun(*map(_as_array, primals)))
    if knows_zeros:
        custom.defjvp(jvp, symbolic_zeros=True)
        return custom
    custom.defjvp(jvp)
    return lambda *arrays: custom(*_guarded(arrays, may_vary, refuse, jax))


def custom_vjp(fun, fwd, bwd, may_vary, refuse, jax=jax):
    """A `jax.custom_vjp` whose rules are told what is perturbed, and get and return `None` for zero.

    JAX before 0.4.16 doesn't say what is perturbed: see `_knows_zeros`. Here it is all that is floating-point or
    complex. A floor of 0.4.16 retires the second branch.

    Args:
        fun: A function of arrays.
        fwd: A function from a list of bools and the arrays to the output and the residuals. A bool says whether the
            array is differentiated.
        bwd: A function from the residuals and the cotangents of the output to the cotangents of the arrays.
        may_vary: As for `custom_jvp`.
        refuse: As for `custom_jvp`.
        jax: The `jax` module.

    Returns:
        A function of arrays.
    """
    knows_zeros = _knows_zeros(jax)
    fun, fwd, with_data = _with_key_data(fun, fwd, jax)

    def jax_fwd(*inputs):
        perturbed = [x.perturbed for x in inputs] if knows_zeros else [True] * len(inputs)
        primals = [_as_array(x.value if knows_zeros else x) for x in inputs]
        perturbed = [p and _is_inexact(x) for p, x in zip(perturbed, primals)]
        return fwd(_only_of(may_vary, perturbed, False, refuse if knows_zeros else None), primals)

    def jax_bwd(residuals, cotangents):
        return tuple(bwd(residuals, tree_util.tree_map(lambda t: _none_if_zero(t, jax), cotangents)))

    custom = jax.custom_vjp(lambda *primals: fun(*map(_as_array, primals)))
    if knows_zeros:
        custom.defvjp(jax_fwd, jax_bwd, symbolic_zeros=True)
        return custom if with_data is None else lambda *arrays: custom(*with_data(arrays))
    custom.defvjp(jax_fwd, jax_bwd)
    return lambda *arrays: custom(*_guarded(arrays, may_vary, refuse, jax))


def _with_key_data(fun, fwd, jax):
    """Let the inputs of a `jax.custom_vjp` have the data of typed keys in the place of the keys.

    JAX before 0.4.24 makes a tangent of zeros for each input of a `custom_vjp` in a compiled program, and can't compile
    that of a typed key. Before 0.4.18 it can't tell how to make the key again. A floor of 0.4.24 retires this function.

    Returns:
        `fun` and `fwd` for such inputs, and a function from the arrays to the inputs. It is `None` if the arrays are
        the inputs.
    """
    if not (0, 4, 18) <= jax_release(jax) < (0, 4, 24):
        return fun, fwd, None
    impls = []  # for each array, how to make the key again. `None` if it is no typed key.

    def with_data(arrays):
        impls[:] = [jax.random.key_impl(x) if is_typed_key(x, jax) else None for x in arrays]
        return [x if impl is None else jax.random.key_data(x) for x, impl in zip(arrays, impls)]

    def with_keys(inputs):
        return [x if impl is None else jax.random.wrap_key_data(x, impl=impl) for x, impl in zip(inputs, impls)]

    return (
        lambda *inputs: fun(*with_keys(inputs)),
        lambda perturbed, inputs: fwd(perturbed, with_keys(inputs)),
        with_data,
    )


def _knows_zeros(jax):
    """Whether JAX can tell a rule what is known to be zero.

    `symbolic_zeros=` came in JAX 0.4.6 for `custom_jvp`, and in 0.4.10 for `custom_vjp`. A scan calls a rule again when
    it finds out that less is zero. JAX before 0.4.16 fails then: https://github.com/jax-ml/jax/issues/16614. A floor of
    0.4.16 retires this function.
    """
    return jax_release(jax) >= (0, 4, 16)


def _only_of(may_vary, perturbations, nothing, refuse):
    """The perturbations of what may be differentiated, and `nothing` for the rest. Refuse any others."""
    if refuse is not None:
        for i, (allowed, perturbation) in enumerate(zip(may_vary, perturbations)):
            if not allowed and perturbation is not nothing:
                refuse(i)
    return [x if allowed else nothing for allowed, x in zip(may_vary, perturbations)]


def _none_if_zero(tangent, jax):
    """`None` for a tangent that is known to be zero, as that of what isn't floating-point or complex."""
    zero = getattr(jax.custom_derivatives, "SymbolicZero", ())
    if isinstance(tangent, zero):
        return None
    tangent = _as_array(tangent)
    return tangent if _is_inexact(tangent) else None


def _zero_like(x, jax):
    """The zero tangent of `x`, known to be zero if this JAX can say so.

    `jax.custom_derivatives.zero_from_primal` came between JAX 0.4.30 and 0.4.38. Before it, JAX expects a rule to
    return zeros of the dtype of `x`, also where that isn't floating-point or complex. A floor of 0.4.38 retires the
    second branch.
    """
    if hasattr(jax.custom_derivatives, "zero_from_primal"):
        return jax.custom_derivatives.zero_from_primal(x, symbolic_zeros=True)
    return jnp.zeros_like(x)


def _as_array(x):
    """An array. JAX passes a Python number to a function or a rule if the user differentiates at a Python number."""
    return jnp.asarray(x) if isinstance(x, _NUMBERS) else x


def _is_inexact(x):
    return _is_inexact_dtype(x.dtype)


@ft.lru_cache(maxsize=None)
def _is_inexact_dtype(dtype):
    return bool(jnp.issubdtype(dtype, jnp.inexact))


def _guarded(arrays, may_vary, refuse, jax):
    """The arrays. JAX calls `refuse` if it differentiates one that must not be. For releases without symbolic zeros."""
    guard = _guard(jax)
    return [
        x if allowed or not _is_inexact(x) else guard([x], ft.partial(refuse, i))[0]
        for i, (x, allowed) in enumerate(zip(arrays, may_vary))
    ]


@ft.lru_cache(maxsize=None)
def _guard(jax):
    """A primitive that returns its input. JAX calls its label if the input is differentiated."""

    def follow(refuse, step):
        if step == "jvp_t":
            refuse()
        return refuse

    return identity_primitive("not_differentiated", follow, jax)
