"""Make a primitive of JAX."""

import jax

from .release import jax_release


def identity_primitive(name, follow, jax=jax):
    """A primitive that returns its inputs, and says what JAX does to them.

    Args:
        name: The name that a jaxpr shows.
        follow: A function `(label, step) -> label`. `step` says what JAX does. "impl": it runs the primitive alone.
            "abstract": it computes the shapes. "mlir": it lowers the primitive for the compiler. "jvp", "vmap" and
            "transpose": it transforms the primitive. The answers to "jvp_p" and "jvp_t" are the labels for the primals
            and the tangents. If the answer is `None`, the arrays are returned without the primitive.
        jax: The module.

    Returns:
        A function `(arrays, label) -> arrays`.
    """
    ad, batching = jax.interpreters.ad, jax.interpreters.batching
    primitive = primitive_class(jax)(name)
    primitive.multiple_results = True

    def bind(arrays, label):
        return list(arrays) if label is None or not arrays else primitive.bind(*arrays, label=label)

    def last(step):
        def rule(*arrays, label):
            follow(label, step)
            return list(arrays)

        return rule

    def bind_nonzero(arrays, label, step):
        is_zero = [type(x) is ad.Zero for x in arrays]
        nonzero = [x for x, zero in zip(arrays, is_zero) if not zero]
        bound = iter(bind(nonzero, follow(label, step)) if nonzero else ())
        return [x if zero else next(bound) for x, zero in zip(arrays, is_zero)]

    def jvp(primals, tangents, label):
        follow(label, "jvp")
        return bind(primals, follow(label, "jvp_p")), bind_nonzero(tangents, label, "jvp_t")

    def transpose(cotangents, *primals, label):
        return bind_nonzero(cotangents, label, "transpose")

    def batch(arrays, axes, label):
        return bind(arrays, follow(label, "vmap")), axes

    primitive.def_impl(last("impl"))
    primitive.def_abstract_eval(last("abstract"))
    ad.primitive_jvps[primitive] = jvp
    ad.primitive_transposes[primitive] = transpose
    batching.primitive_batchers[primitive] = batch
    _register_lowering(primitive, last("mlir"), jax)
    return bind


def primitive_class(jax=jax):
    """The class of primitives. It moved to `jax.extend.core` in JAX 0.4.27. A floor of 0.4.27 retires this function."""
    if jax_release(jax) >= (0, 4, 27):
        from jax.extend.core import Primitive  # noqa: PLC0415

        return Primitive
    return jax.core.Primitive


def _register_lowering(primitive, rule, jax):
    """Let the compiler see the primitive as what `rule` returns.

    MLIR came in JAX 0.2.28, and is what JAX uses from 0.3.0. A floor of 0.3.0 retires the second branch.
    """
    if jax_release(jax) >= (0, 2, 28):
        jax.interpreters.mlir.register_lowering(primitive, lambda context, *xs, label: rule(*xs, label=label))
    if jax_release(jax) < (0, 3, 0):
        make_tuple = jax.lib.xla_client.ops.Tuple
        jax.interpreters.xla.translations[primitive] = lambda c, *xs, label: make_tuple(c, rule(*xs, label=label))
