"""What type checkers say of abstract variables, `static_field`, `strict`, `Partial` and `module_update_wrapper`."""

from typing import ClassVar

from typing_extensions import assert_type

import equinox as eqx


class Solver(eqx.Module, strict=True):
    tolerance: eqx.AbstractVar[float]
    order: eqx.AbstractClassVar[int]

    def steps(self) -> float:
        assert_type(self.tolerance, float)
        return self.order / self.tolerance


class Euler(Solver, strict=True):
    tolerance: float
    name: str = eqx.static_field(default="euler")
    order: ClassVar[int] = 1  # pyright: ignore[reportIncompatibleVariableOverride]


assert_type(Euler(0.1).tolerance, float)
assert_type(Euler(0.1, name="a").name, str)
assert_type(Euler.order, int)
Euler("a")  # error: mypy[arg-type] pyright[reportArgumentType]


class Wrong(Solver):
    tolerance: str  # error: mypy[assignment] pyright[reportIncompatibleVariableOverride]
    order: ClassVar[str] = "a"  # error: mypy[assignment] pyright[reportIncompatibleVariableOverride]


# `Partial` has the result of the function. `module_update_wrapper` returns what it takes.


def scale(x: float, y: float) -> float:
    return x * y


assert_type(eqx.Partial(scale, 1.0)(y=2.0), float)
assert_type(eqx.module_update_wrapper(Euler(0.1), scale), Euler)
eqx.Partial(3)  # error: mypy[arg-type] pyright[reportArgumentType]
eqx.module_update_wrapper(scale)  # error: mypy[type-var] pyright[reportArgumentType]
