"""What type checkers say of `Enumeration`."""

from typing import Any

import jax
import jax.numpy as jnp
from typing_extensions import assert_type

import equinox as eqx


class Result(eqx.Enumeration):
    success = "The solver succeeded."
    diverged = "The solution diverged."


class Other(eqx.Enumeration):
    success = "Another kind."


class Extended(Result):  # error: mypy[misc] pyright[reportGeneralTypeIssues]
    slow = "The solver was slow."


def solve(steps: int) -> Result:
    return Result.success if steps < 10 else Result.diverged


assert_type(Result.where(jnp.array(True), solve(3), solve(11)), Result)
assert_type(Result.promote(Other.success), Result)
assert_type(len(Result), int)
for item in Result:
    assert_type(item, Result)
assert_type(solve(3).error_if(jnp.array(1.0), True), jax.Array)
message: Any = Result[solve(3)]  # type: ignore[misc]
Result.where("a", solve(3), solve(11))  # error: mypy[arg-type] pyright[reportArgumentType]
print(Result.missing)  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]
solve("a")  # error: mypy[arg-type] pyright[reportArgumentType]
