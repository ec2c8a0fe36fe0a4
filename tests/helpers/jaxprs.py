"""What JAX makes of a function: which equations."""

import jax


def jaxpr_kinds(fun, *args):
    """The names of the primitives in the jaxpr of `fun`, in order. Those inside an equation follow it as a list."""
    return kinds_of(jax.make_jaxpr(fun)(*args))


def jaxpr_sizes(fun, *args):
    """As `jaxpr_kinds`, and of each primitive the numbers of its inputs and outputs."""
    return kinds_of(jax.make_jaxpr(fun)(*args), lambda eqn: (eqn.primitive.name, len(eqn.invars), len(eqn.outvars)))


def all_kinds(fun, *args):
    """The names of the primitives in the jaxpr of `fun`, with those inside equations, in one list."""
    pending, names = jaxpr_kinds(fun, *args), []
    while pending:
        kind = pending.pop()
        if isinstance(kind, list):
            pending += kind
        else:
            names.append(kind)
    return names


def kinds_of(jaxpr, kind_of=lambda equation: equation.primitive.name):
    """What `kind_of` says of each equation of `jaxpr`, arranged as by `jaxpr_kinds`."""
    kinds = []
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        kinds.append(kind_of(equation))
        kinds += [kinds_of(inner, kind_of) for value in equation.params.values() for inner in _jaxprs_in(value)]
    return kinds


def _jaxprs_in(value):
    if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
        return [value]
    return [inner for x in value for inner in _jaxprs_in(x)] if isinstance(value, (list, tuple)) else []
