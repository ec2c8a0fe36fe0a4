"""What type checkers say of `filter_jit` and `jitf`. The other transformations share their skeleton."""

import functools as ft
from typing import Callable, Optional, Tuple

from typing_extensions import assert_type

import equinox as eqx


def scale(x: int, name: str = "scale", *, by: float = 1.0) -> float:
    return x * by


# A call, a decorator, and a decorator with options keep the signature.

jitted = eqx.filter_jit(scale)
assert_type(jitted(1), float)
assert_type(jitted(1, "a", by=2.0), float)
jitted("a")  # error: mypy[arg-type] pyright[reportArgumentType]
jitted(1, to=2.0)  # error: mypy[call-arg] pyright[reportCallIssue]
jitted()  # error: mypy[call-arg] pyright[reportCallIssue]

assert_type(eqx.jitf(scale, filter_fn=eqx.is_array)(1), float)
eqx.jitf(scale, filter_fn=eqx.is_array)("a")  # error: mypy[arg-type] pyright[reportArgumentType]
eqx.jitf(scale, filter_fn=3)  # error: mypy[call-overload] pyright[reportCallIssue,reportArgumentType]
eqx.filter_jit(3)  # error: mypy[call-overload] pyright[reportCallIssue,reportArgumentType]


@eqx.filter_jit
def plain(x: int) -> str:
    return str(x)


@eqx.filter_jit(donate_argnums=0)
def with_options(x: int) -> str:
    return str(x)


@eqx.jitf(filter_fn=eqx.is_array)
def with_filter(x: int) -> str:
    return str(x)


@ft.partial(eqx.jitf, filter_fn=eqx.is_array)
def as_in_the_first_release(x: int) -> str:
    return str(x)


for function in [plain, with_options, with_filter]:
    assert_type(function(1), str)
plain("a")  # error: mypy[arg-type] pyright[reportArgumentType]
with_options("a")  # error: mypy[arg-type] pyright[reportArgumentType]
with_filter("a")  # error: mypy[arg-type] pyright[reportArgumentType]
as_in_the_first_release(1)


# Donation of all inputs.

assert_type(eqx.filter_jit(scale, donate="all-except-first")(1), float)
eqx.filter_jit(scale, donate="some")  # error: mypy[call-overload] pyright[reportCallIssue,reportArgumentType]


# What only a jitted function has.

jitted.lower(1)
assert_type(jitted.lower(1).compile()(1), float)
jitted.lower(1).as_text()
assert_type(jitted.clear_cache(), None)
jitted.clear_cash()  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]
assert_type(jitted.__name__, str)
assert_type(jitted.__wrapped__(1), float)
eqx.filter_grad(lambda x: x).clear_cache()  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]


# Methods.


class Model(eqx.Module):
    weight: float

    @eqx.filter_jit
    def apply(self, x: int) -> str:
        return str(x)

    @eqx.filter_jit(inline=True)
    def apply_inline(self, x: int) -> str:
        return str(x)

    def __call__(self, x: int) -> float:
        return self.weight * x


class Plain:
    @eqx.filter_jit
    def apply(self, x: int) -> str:
        return str(x)


model = Model(1.0)
assert_type(model.apply(1), str)
assert_type(model.apply_inline(1), str)
assert_type(Model.apply(model, 1), str)
assert_type(Plain().apply(1), str)
model.apply("a")  # error: mypy[arg-type] pyright[reportArgumentType]
model.apply_inline("a")  # error: mypy[arg-type] pyright[reportArgumentType]
model.apply(model, 1)  # error: mypy[call-arg,arg-type] pyright[reportCallIssue]
Plain().apply("a")  # error: mypy[arg-type] pyright[reportArgumentType]
model.apply.lower(1)
model.apply.clear_cache()

# Modules, methods and partials are callables too.

assert_type(eqx.filter_jit(model)(1), float)
eqx.filter_jit(model)("a")  # error: mypy[arg-type] pyright[reportArgumentType]
assert_type(eqx.filter_jit(model.apply)(1), str)
assert_type(eqx.filter_jit(ft.partial(scale, by=2.0))(1), float)


# Transformations of transformations.


def identity(x: int, y: str) -> Tuple[int, str]:
    return x, y


twice = eqx.filter_jit(eqx.filter_vmap(identity))
assert_type(twice(1, "a"), Tuple[int, str])
twice("a", "a")  # error: mypy[arg-type] pyright[reportArgumentType]
assert_type(eqx.filter_vmap(in_axes=(0, None))(identity)(1, "a"), Tuple[int, str])
assert_type(eqx.if_array(0)(3), Optional[int])


def apply(function: Callable[[int], float], x: int) -> float:
    return function(x)


apply(eqx.filter_jit(model), 1)
apply(plain, 1)  # error: mypy[arg-type] pyright[reportArgumentType]
