"""What type checkers say of `debug`."""

from typing import List

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
