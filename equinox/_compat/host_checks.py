"""Look at arrays on the host, in the middle of a program: the primitive that a check at run time becomes.

JAX's own callbacks don't say to which example of a batch an array belongs, have no gradient on some releases, and are
hard to tell from other callbacks in a program. So a check has a primitive of its own. Its rules for `vmap`, `grad` and
`jit` are here.
"""

import functools as ft
import inspect

import jax
import numpy as np
from jax import core

from .features import require
from .primitives import primitive_class

_NAME = "host_check"
_kept = []  # JAX before 0.3.17 doesn't keep the callbacks of its programs alive


def host_check(check, *operands, jax=jax):
    """Run `check(*operands)` on the host when the program runs.

    Args:
        check: A callable that takes NumPy arrays and returns a bool. Inside `vmap`, each array has the axes of the
            batch in front. JAX compares it and hashes it. Its method `lowered` is called each time that JAX lowers a
            program with this check.
        *operands: Arrays of JAX or NumPy.
        jax: The `jax` module.

    Returns:
        What `check` returned, as an array. It is one value for the whole batch. The check runs only if this value is
        used.

    Raises:
        NotImplementedError: The running JAX can't call the host from a program on this backend.
    """
    if not hasattr(jax, "pure_callback") and jax.default_backend() != "cpu":
        require("error_if on an accelerator", jax)
    return _primitive().bind(*operands, check=check)


def _run(*operands, check):
    return jax.numpy.asarray(np.asarray(check(*map(np.asarray, operands)), bool))


def _shape(*operands, check):
    return core.ShapedArray((), np.dtype(bool))


def _batched(operands, axes, *, check):
    """The check of a whole batch: one check, whose result isn't batched."""
    size = next(x.shape[axis] for x, axis in zip(operands, axes) if axis is not None)
    batches = [
        jax.numpy.broadcast_to(x, (size, *x.shape)) if axis is None else jax.numpy.moveaxis(x, axis, 0)
        for x, axis in zip(operands, axes)
    ]
    return _primitive().bind(*batches, check=check), None


def _on_host(check):
    """The function that the program calls."""
    return lambda *operands: (np.asarray(check(*map(np.asarray, operands)), bool),)


def _lower(ctx, *operands, check):
    """The check in a program of MLIR.

    `jax.pure_callback` isn't used: in a program for several devices, it calls the host for one of them. If that call
    raises an error, the other devices wait for the first one forever. Here each device calls the host.
    """
    from jax.interpreters import mlir  # noqa: PLC0415

    check.lowered()
    results, _, keepalive = mlir.emit_python_callback(
        ctx, _on_host(check), None, list(operands), ctx.avals_in, ctx.avals_out, has_side_effect=False
    )
    if keepalive is not None:  # since about 0.4.14, JAX keeps it itself
        ctx.module_context.add_keepalive(keepalive)
    return results


def _lower_to_xla(builder, operands, check):
    """The check in a program of XLA, before JAX had MLIR. Only the CPU has it."""
    from jax.lib import xla_bridge, xla_client  # noqa: PLC0415 (newer JAX doesn't have them)

    check.lowered()
    shapes = [xla_client.Shape.array_shape(np.dtype(bool), (), ())]
    out, keepalive = xla_bridge.get_backend("cpu").emit_python_callback(
        _on_host(check), builder, operands, shapes, operand_layouts=None, has_side_effects=False
    )
    _kept.append(keepalive)
    return xla_client.ops.GetTupleElement(out, 0)


@ft.lru_cache(maxsize=None)
def _primitive():
    """The primitive with its rules. It is made at the first check, because `jax.extend.core` takes time to import.

    `jax.pure_callback` came in JAX 0.3.17. Before that, XLA calls the host only on the CPU. The function that registers
    such a rule came in 0.2.25. A floor of 0.3.17 retires the two other branches.
    """
    from jax.interpreters import ad, batching  # noqa: PLC0415

    def differentiated(primals, tangents, *, check):
        return primitive.bind(*primals, check=check), ad.Zero(core.ShapedArray((), jax.dtypes.float0))

    primitive = primitive_class()(_NAME)
    primitive.def_impl(_run)
    primitive.def_abstract_eval(_shape)
    batching.primitive_batchers[primitive] = _batched
    ad.primitive_jvps[primitive] = differentiated
    if hasattr(jax, "pure_callback"):
        from jax.interpreters import mlir  # noqa: PLC0415

        # A lowering that is kept wouldn't tell the check of each program. Older JAX keeps none.
        known = inspect.signature(mlir.register_lowering).parameters
        mlir.register_lowering(primitive, _lower, **({"cacheable": False} if "cacheable" in known else {}))
        return primitive
    from jax.interpreters import xla  # noqa: PLC0415

    if hasattr(xla, "register_translation"):

        def translation(ctx, avals_in, avals_out, *operands, check):
            return [_lower_to_xla(ctx.builder, operands, check)]

        xla.register_translation(primitive, translation, platform="cpu")
    else:

        def old_translation(builder, *operands, check):
            return _lower_to_xla(builder, operands, check)

        xla.backend_specific_translations["cpu"][primitive] = old_translation
    return primitive
