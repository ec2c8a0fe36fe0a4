"""What JAX makes of a function: which equations."""

import jax


def jaxpr_kinds(fun, *args):
    """The names of the primitives in the jaxpr of `fun`, in order. Those inside an equation follow it as a list."""
    return _kinds(jax.make_jaxpr(fun)(*args))


def _kinds(jaxpr):
    kinds = []
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        kinds.append(equation.primitive.name)
        kinds += [_kinds(inner) for value in equation.params.values() for inner in _jaxprs_in(value)]
    return kinds


def _jaxprs_in(value):
    if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
        return [value]
    return [inner for x in value for inner in _jaxprs_in(x)] if isinstance(value, (list, tuple)) else []
