"""What type checkers say of `debug`."""

from typing import List, Tuple

import jax
from typing_extensions import assert_type

import equinox as eqx


def step(x: int) -> str:
    return str(x)


with eqx.debug.explain_retraces(step, announce=None) as retraces:
    assert_type(retraces[0].number, int)
    names: List[str] = [change.path for retrace in retraces for change in retrace.changes]
retraces.stop()
eqx.debug.explain_retraces(3)  # error: mypy[arg-type] pyright[reportArgumentType]
eqx.debug.explain_retraces(announce="print")  # error: mypy[arg-type] pyright[reportArgumentType]


# Decorators keep the signature, and what returns its argument keeps the type.

limited = eqx.debug.assert_max_traces(step, max_traces=1)
assert_type(limited(1), str)
limited("a")  # error: mypy[arg-type] pyright[reportArgumentType]
eqx.debug.assert_max_traces(step)  # error: mypy[call-overload] pyright[reportCallIssue]
assert_type(eqx.debug.get_num_traces(limited), int)


@eqx.debug.assert_max_traces(max_traces=None)
def decorated(x: int) -> str:
    return str(x)


assert_type(decorated(1), str)


def identities(x: Tuple[jax.Array, str], pred: jax.Array) -> None:
    assert_type(eqx.debug.announce_transform(x, "x", announce=print), Tuple[jax.Array, str])
    assert_type(eqx.debug.backward_nan(x, name="x", terminate=False), Tuple[jax.Array, str])
    assert_type(eqx.debug.store_dce(x), Tuple[jax.Array, str])
    eqx.debug.breakpoint_if(pred, num_frames=1)
    eqx.debug.breakpoint_if("yes")  # error: mypy[arg-type] pyright[reportArgumentType]
    eqx.debug.inspect_dce([])  # error: mypy[arg-type] pyright[reportArgumentType]
