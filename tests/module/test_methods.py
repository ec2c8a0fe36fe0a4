"""Bound methods behave like Python's, and are pytrees that transformations take."""

import functools as ft
import inspect
import pickle
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util
from modules import Affine, affine

import equinox as eqx


def test_a_bound_method_behaves_like_one_of_python():
    m = affine()
    assert m.scaled.__name__ == "scaled" and m.scaled.__doc__ == "Scale the result of the call."
    assert str(inspect.signature(m.scaled)) == "(x, factor=2.0)"
    assert m.scaled == m.scaled and hash(m.scaled) == hash(m.scaled)
    assert m.scaled != affine().scaled and m.scaled != m.__call__
    assert m.scaled.__self__ is m and m.scaled.__func__ is Affine.scaled
    assert Affine.scaled(m, 1.0).tolist() == m.scaled(1.0).tolist() == [8.0, 10.0]
    assert "scaled" in repr(m.scaled) and weakref.ref(m.scaled) is not None
    assert pickle.loads(pickle.dumps(m.scaled))(1.0).tolist() == [8.0, 10.0]


def test_a_bound_method_is_a_pytree_of_its_module():
    m = affine()
    leaves, treedef = tree_util.tree_flatten(m.scaled)
    assert len(leaves) == 2 and leaves[0] is m.weight
    tripled = tree_util.tree_map(lambda x: 3 * x, m.scaled)
    assert tripled(1.0).tolist() == (3 * m.scaled(1.0)).tolist()


@pytest.mark.parametrize("method", ["__call__", "scaled"])
def test_jax_takes_bound_methods(method):
    m = affine()
    bound = getattr(m, method)
    x = jnp.array([0.5, -1.0])
    expected = np.asarray(bound(x))
    np.testing.assert_allclose(jax.jit(bound)(x), expected)
    np.testing.assert_allclose(jax.vmap(bound)(jnp.stack([x, x]))[1], expected)
    gradient = jax.grad(lambda f: f(x).sum())(bound)  # the method itself as the differentiated input
    factor = 1 if method == "__call__" else 2
    np.testing.assert_allclose(gradient.__self__.weight, factor * np.asarray(x))
    np.testing.assert_allclose(jax.grad(lambda x: bound(x).sum())(x), factor * np.asarray(m.weight))
    np.testing.assert_allclose(eqx.filter_jit(bound)(x), expected)
    np.testing.assert_allclose(eqx.filter_grad(lambda x: bound(x).sum())(x), factor * np.asarray(m.weight))


def test_a_module_is_a_function_for_jax():
    m, x = affine(), jnp.array([0.5, -1.0])
    np.testing.assert_allclose(jax.vmap(m)(jnp.stack([x, x]))[0], m(x))
    np.testing.assert_allclose(jax.grad(lambda x: m(x).sum())(x), m.weight)
    np.testing.assert_allclose(jax.jit(Affine.__call__)(m, x), m(x))
    np.testing.assert_allclose(jax.jit(lambda m, x: m(x))(m, x), m(x))


def test_a_method_may_have_a_keyword_named_self_or_fun():
    class Odd(eqx.Module):
        x: Any

        def method(this, **kwargs):
            return kwargs

    assert Odd(1).method(self=2, function=3) == {"self": 2, "function": 3}


def test_decorated_methods_are_bound():
    class Decorated(eqx.Module):
        x: Any

        @jax.jit
        def jitted(self, y):
            return self.x + y

        @eqx.filter_jit
        def filter_jitted(self, y):
            return self.x + y

        @ft.partial(jax.vmap, in_axes=(None, 0))
        def mapped(self, y):
            return self.x + y

        @eqx.filter_grad
        def graded(self, y):
            return self.x * y

    m = Decorated(jnp.array(2.0))
    assert m.jitted(1.0) == 3 and m.filter_jitted(1.0) == 3 and m.mapped(jnp.arange(2.0)).tolist() == [2.0, 3.0]
    assert m.graded(5.0).x == 5
    for method in (m.jitted, m.filter_jitted, m.mapped, m.graded):
        assert tree_util.tree_leaves(method) == [m.x]
    assert jax.jit(m.filter_jitted)(1.0) == 3


def test_the_get_of_a_decorator_is_used():
    class Bound:
        def __init__(self, fun):
            self.__wrapped__ = fun

        def __call__(self, *args):
            return ("unbound", self.__wrapped__(*args))

        def __get__(self, instance, owner=None):
            return self if instance is None else lambda *args: ("bound", self.__wrapped__(instance, *args))

    class Decorated(eqx.Module):
        x: Any

        @Bound
        def method(self, y):
            return self.x + y

        @ft.lru_cache(maxsize=None)  # noqa: B019
        def cached(self, y):
            return self.x + y

    m = Decorated(1)
    assert m.method(2) == ("bound", 3) and m.cached(2) == 3
    assert tree_util.tree_leaves(m.method) == [1]


class Kinds(eqx.Module):
    """A class with everything that Python binds as a method."""

    x: Any

    def plain(self, y=1):
        return self.x + y

    anonymous = lambda self, y=1: self.x + y  # noqa: E731
    partial = ft.partialmethod(plain, 1)
    wrapped = ft.wraps(plain)(lambda self, y=1: self.x + y)
    alias = plain
    vectorised = jax.vmap(plain, in_axes=(None, 0))
    jitted = jax.jit(plain)

    def __private(self, y=1):
        return self.x + y

    @property
    def private(self):
        return self.__private

    def _protected(self, y=1):
        return self.x + y


class Below(Kinds):
    def plain(self, y=1):
        return -1

    @property
    def inherited(self):
        return super().plain


KINDS = ["plain", "anonymous", "partial", "wrapped", "alias", "jitted", "private", "_protected"]


@pytest.mark.parametrize("name", KINDS + ["inherited"])
def test_every_kind_of_method_is_a_pytree(name):
    m = Below(jnp.array(2.0)) if name == "inherited" else Kinds(jnp.array(2.0))
    method = getattr(m, name)
    assert method() == 3 and method.__self__ is m
    assert tree_util.tree_leaves(method) == [m.x]
    assert tree_util.tree_map(lambda x: 2 * x, method)() == 5
    assert name in repr(method) or "Kinds" in repr(method)
    if not name.startswith(("private", "inherited")):
        assert getattr(Kinds, name)(m) == 3


def test_single_dispatch_methods_are_pytrees():
    if not hasattr(ft, "singledispatchmethod"):
        pytest.skip("functools.singledispatchmethod needs Python 3.8")

    class Dispatches(eqx.Module):
        x: Any

        @ft.singledispatchmethod
        def show(self, y):
            return "any"

        @show.register(int)
        def _(self, y):
            return "int"

    m = Dispatches(1)
    assert m.show(1) == "int" and m.show("s") == "any"
    assert tree_util.tree_leaves(m.show) == [1]


def test_attributes_that_python_does_not_bind_are_unchanged():
    other = Affine(1, 2)

    class Holds(eqx.Module):
        x: Any
        partial = staticmethod(ft.partial(max, 3))
        bound = other.scaled
        pythons = [].append
        cls_ = Affine
        static = staticmethod(lambda: 4)

        @classmethod
        def make(cls):
            return cls(1)

    m = Holds(1)
    assert m.partial(2) == 3 and m.static() == 4 and m.make() == m and m.cls_ is Affine
    assert m.bound.__self__ is other and m.pythons.__self__ == []


def test_a_method_that_is_added_later_is_a_pytree():
    """`__init_subclass__`, a decorator of the class or any other code may add it."""

    def decorate(cls):
        cls.decorated = lambda self: self.x
        return cls

    class Hook(eqx.Module):
        def __init_subclass__(cls, **kwargs):
            super().__init_subclass__(**kwargs)
            cls.hooked = lambda self: self.x
            if "replaced" in vars(cls):
                cls.replaced = ft.wraps(cls.replaced)(lambda self: self.x)

    @decorate
    class Grows(Hook):
        x: Any

        def replaced(self):
            return "not this one"

    Grows.patched = lambda self: self.x
    setattr(Grows, "jitted", jax.jit(lambda self: self.x))  # noqa: B010

    class Heir(Grows):
        pass

    for m in (Grows(3), Heir(3)):
        for name in ("hooked", "replaced", "decorated", "patched", "jitted"):
            method = getattr(m, name)
            assert method() == 3 and tree_util.tree_leaves(method) == [3], name
    del Grows.patched
    assert not hasattr(Heir(3), "patched")
    Grows.x = lambda self: 0  # now it is the default of a field and no method
    assert Grows(3).x == 3 and tree_util.tree_leaves(Grows(3)) == [3]


def test_a_special_method_may_be_added_later():
    class Grows(eqx.Module):
        x: Any

    checked = []
    Grows.__call__ = lambda self, y: self.x + y
    Grows.__check_init__ = checked.append
    m = Grows(1)
    assert m(2) == 3 and tree_util.tree_leaves(m.__call__) == [1] and checked == [m]

    def by_hand(self):
        self.x = 5

    class Heir(Grows):
        y: Any = 2

    Grows.__init__ = by_hand
    assert Grows().x == 5 and (Heir().x, Heir().y) == (5, 2)
    Grows.__getattr__ = lambda self, name: 7
    assert Heir().other == 7 and tree_util.tree_leaves(Heir()) == [5, 2]
    del Grows.__init__, Grows.__getattr__, Grows.__check_init__
    assert Heir(3).x == 3 and not hasattr(Heir(3), "other")
    count = len(checked)
    assert Grows(1).x == 1 and len(checked) == count
