"""`Module`: what a class is, how an instance is made and frozen, and how it is a pytree."""

import abc
import copy
import dataclasses
import functools as ft
import gc
import inspect
import pickle
import sys
import threading
import typing
import weakref
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import tree_util

import equinox as eqx


class Affine(eqx.Module):
    weight: Any
    bias: Any

    def __call__(self, x):
        return self.weight * x + self.bias

    def scaled(self, x, factor=2.0):
        """Scale what the call gives."""
        return factor * self(x)


class Nested(eqx.Module):
    first: Affine
    rest: Any
    name: str = eqx.field(static=True, default="nested")

    def __call__(self, x):
        return self.first(x)


def affine():
    return Affine(jnp.array([1.0, 2.0]), jnp.array(3.0))


# What a class is


def test_a_class_is_a_frozen_dataclass():
    assert dataclasses.is_dataclass(Affine)
    assert [f.name for f in dataclasses.fields(Affine)] == ["weight", "bias"]
    assert Affine.__dataclass_params__.frozen
    assert dataclasses.replace(Affine(1, 2), bias=5) == Affine(1, 5)


def test_the_generated_init_takes_the_fields_by_position_and_name():
    assert Affine(1, 2) == Affine(1, bias=2) == Affine(weight=1, bias=2)
    assert str(inspect.signature(Affine)) == "(weight: Any, bias: Any) -> None"
    assert Affine.__init__.__qualname__ == "Affine.__init__"


@pytest.mark.parametrize(
    "args, kwargs", [((), {}), ((1,), {}), ((1, 2, 3), {}), ((1, 2), {"bias": 3}), ((1, 2), {"other": 3})]
)
def test_wrong_arguments_are_a_type_error(args, kwargs):
    with pytest.raises(TypeError, match="__init__"):
        Affine(*args, **kwargs)


def test_an_init_of_ones_own():
    class Doubled(eqx.Module):
        value: Any
        size: int

        def __init__(self, x, *, extra=1):
            self.value = 2 * x
            self.size = extra

    assert (Doubled(4).value, Doubled(4, extra=7).size) == (8, 7)
    assert str(inspect.signature(Doubled)) == "(x, *, extra=1)"
    with pytest.raises(TypeError):
        Doubled()


def test_an_init_is_inherited_as_any_method_is():
    class Base(eqx.Module):
        x: Any

        def __init__(self, x):
            self.x = x + 1

    class Child(Base):
        def __call__(self):
            return self.x

    class Grandchild(Child):
        y: Any = 5

    assert Child(1)() == 2
    assert (Grandchild(1).x, Grandchild(1).y) == (2, 5)


def test_super_init():
    class Base(eqx.Module):
        x: Any

        def __init__(self, x):
            self.x = x

    class Child(Base):
        y: Any

        def __init__(self, x, y):
            super().__init__(x)
            self.y = y + self.x

    class GeneratedBase(eqx.Module):
        x: Any

    class ChildOfGenerated(GeneratedBase):
        y: Any

        def __init__(self, x, y):
            super().__init__(x)
            self.y = y

    assert (Child(1, 2).x, Child(1, 2).y) == (1, 3)
    assert tree_util.tree_leaves(ChildOfGenerated(1, 2)) == [1, 2]


def test_a_generated_init_under_an_own_one_covers_the_new_fields():
    class Base(eqx.Module):
        x: Any

    class Child(Base):
        y: Any

    assert str(inspect.signature(Child)) == "(x: Any, y: Any) -> None"
    assert tree_util.tree_leaves(Child(1, 2)) == [1, 2]


def test_defaults_and_factories():
    class WithDefaults(eqx.Module):
        a: Any
        b: Any = 2
        c: Any = dataclasses.field(default_factory=list)
        d: Any = eqx.field(default=4, init=False)
        e: Any = eqx.field(default_factory=dict, init=False)

    m = WithDefaults(1)
    assert (m.a, m.b, m.c, m.d, m.e) == (1, 2, [], 4, {})
    assert m.c is not WithDefaults(1).c
    assert WithDefaults(1, c=3).c == 3
    assert tree_util.tree_leaves(m) == [1, 2, 4]  # in the instance, and so in the tree


def test_a_default_fills_what_an_own_init_leaves_unset():
    class Own(eqx.Module):
        a: Any
        b: Any = 2
        c: Any = dataclasses.field(default_factory=lambda: 3)

        def __init__(self):
            self.a = 1

    assert tree_util.tree_leaves(Own()) == [1, 2, 3]


def test_keyword_only_fields_on_every_python():
    class KeywordOnly(eqx.Module):
        a: Any = eqx.field(kw_only=True)
        b: Any
        c: Any = eqx.field(kw_only=True, default=3)

    m = KeywordOnly(2, a=1)
    assert (m.a, m.b, m.c) == (1, 2, 3)
    assert str(inspect.signature(KeywordOnly)) == "(b: Any, *, a: Any, c: Any = 3) -> None"
    with pytest.raises(TypeError):
        KeywordOnly(1, 2)

    class Child(KeywordOnly):
        d: Any = 4

    assert str(inspect.signature(Child)) == "(b: Any, d: Any = 4, *, a: Any, c: Any = 3) -> None"


@pytest.mark.skipif(sys.version_info < (3, 10), reason="dataclasses.KW_ONLY needs Python 3.10")
def test_the_kw_only_of_dataclasses():
    class KeywordOnly(eqx.Module):
        a: Any
        _: dataclasses.KW_ONLY
        b: Any = 1
        c: Any

    assert KeywordOnly(0, c=2) == KeywordOnly(0, b=1, c=2)


def test_a_field_without_default_after_one_with_is_refused_and_named():
    with pytest.raises(TypeError, match=r"`Bad`: the field `b` without a default follows `a`"):

        class Bad(eqx.Module):
            a: Any = 1
            b: Any


def test_post_init_runs_after_the_fields_are_set_and_may_set_more():
    class Post(eqx.Module):
        a: Any
        extra: dataclasses.InitVar[int]
        items: Any = dataclasses.field(default_factory=list)
        b: Any = eqx.field(init=False)

        def __post_init__(self, extra):
            self.b = (self.a, extra, tuple(self.items))

    assert Post(1, 10).b == (1, 10, ())
    assert tree_util.tree_leaves(Post(1, 10)) == [1, 1, 10]


def test_every_field_must_be_set_and_the_missing_are_named():
    class Forgetful(eqx.Module):
        a: Any
        b: Any
        c: Any

        def __init__(self):
            self.b = 1

    with pytest.raises(ValueError, match=r"`Forgetful.__init__` must set every field; missing: `a`, `c`\."):
        Forgetful()


def test_a_module_is_immutable_after_init():
    m = affine()
    with pytest.raises(AttributeError, match=r"cannot assign to `Affine.weight`.*tree_at\(lambda m: m.weight"):
        m.weight = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        m.other = 1
    with pytest.raises(AttributeError, match="cannot delete `Affine.bias`"):
        del m.bias
    with pytest.raises(AttributeError):
        m.__init__(1, 2)
    assert tree_util.tree_structure(m) == tree_util.tree_structure(affine())


def test_an_unknown_attribute_in_init_is_an_attribute_error_naming_the_fields():
    class Typo(eqx.Module):
        weight: Any

        def __init__(self):
            self.wieght = 1

    with pytest.raises(AttributeError, match=r"`Typo` has no field `wieght`.*Its fields are: weight\."):
        Typo()


def test_check_init_runs_on_the_complete_module_bases_first():
    seen = []

    class Base(eqx.Module):
        x: Any

        def __check_init__(self):
            seen.append(("base", self.x))

    class Child(Base):
        y: Any = 2

        def __check_init__(self):
            seen.append(("child", self.y))
            if self.x < 0:
                raise ValueError("negative")

    Child(1)
    assert seen == [("base", 1), ("child", 2)]
    with pytest.raises(ValueError, match="negative"):
        Child(-1)

    class Assigns(eqx.Module):
        x: Any

        def __check_init__(self):
            self.x = 1

    with pytest.raises(AttributeError):
        Assigns(0)


def test_converters_run_on_assignment_and_on_defaults():
    class Converted(eqx.Module):
        a: Any = eqx.field(converter=float)
        b: Any = eqx.field(converter=jnp.asarray, default=1.0)
        c: Any = eqx.field(converter=tuple, static=True, default=())

    m = Converted(1, c=[1, 2])
    assert type(m.a) is float and eqx.is_array(m.b) and m.c == (1, 2)

    class Own(eqx.Module):
        a: Any = eqx.field(converter=float)
        seen: Any

        def __init__(self):
            self.a = 1
            self.seen = type(self.a)

    assert Own().seen is float
    with pytest.raises(TypeError, match="converter"):
        eqx.field(converter=3)
    # Unflattening puts back what was there, converted or not: it must be able to hold anything.
    assert tree_util.tree_map(lambda x: None, m).a is None


def test_fields_keep_the_users_metadata():
    class Tagged(eqx.Module):
        a: Any = eqx.field(metadata={"unit": "m"})

    assert dataclasses.fields(Tagged)[0].metadata["unit"] == "m"


# Construction knows only itself


def test_a_module_made_inside_anothers_init():
    class Outer(eqx.Module):
        inner: Any
        own: Any

        def __init__(self):
            inner = Affine(1, 2)
            with pytest.raises(AttributeError):
                inner.weight = 5  # finished, though another isn't
            self.inner = inner
            self.own = 3  # not finished, though another is

    assert tree_util.tree_leaves(Outer()) == [1, 2, 3]


def test_a_class_may_make_itself_inside_its_init():
    class Tower(eqx.Module):
        below: Any
        level: Any

        def __init__(self, level):
            self.below = Tower(level - 1) if level else None
            self.level = level

    assert tree_util.tree_leaves(Tower(3)) == [0, 1, 2, 3]


def test_an_exception_in_init_leaves_the_class_as_it_was():
    leaked = []

    class Fails(eqx.Module):
        x: Any

        def __init__(self, x):
            leaked.append(self)
            self.x = x
            if x < 0:
                raise RuntimeError("negative")

    before = dict(vars(Fails))
    with pytest.raises(RuntimeError):
        Fails(-1)
    assert dict(vars(Fails)) == before
    with pytest.raises(AttributeError):
        leaked[0].x = 1  # its construction is over
    assert Fails(1).x == 1


def test_threads_do_not_see_each_others_construction():
    size, inside, errors = 4, threading.Barrier(4), []

    class Slow(eqx.Module):
        a: Any
        b: Any

        def __init__(self, x):
            self.a = x
            inside.wait(timeout=60)  # all are under construction at once
            self.b = x

    def make(x):
        try:
            m = Slow(x)
            assert (m.a, m.b) == (x, x)
            with pytest.raises(AttributeError):
                m.a = 0
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=make, args=(i,)) for i in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_storing_a_method_of_oneself_is_refused():
    class Loop(eqx.Module):
        f: Any

        def __init__(self):
            self.f = self.method

        def method(self):
            pass

    with pytest.raises(ValueError, match=r"`Loop.f` is being set to a method of the module itself"):
        Loop()


def test_a_method_that_jits_may_be_called_during_init():
    class Eager(eqx.Module):
        a: Any
        b: Any

        def __init__(self):
            self.a = jnp.array(2.0)
            self.b = eqx.filter_jit(self.double)()

        def double(self):
            return 2 * self.a

    assert Eager().b == 4


# A pytree


def test_children_are_the_dynamic_fields_in_order():
    m = Nested(affine(), [1, None, "s"], name="n")
    leaves, treedef = tree_util.tree_flatten(m)
    assert [np.asarray(x).tolist() if eqx.is_array(x) else x for x in leaves] == [[1.0, 2.0], 3.0, 1, "s"]
    again = treedef.unflatten(leaves)
    assert type(again) is Nested and again.name == "n" and again == m
    assert all(a is b for a, b in zip(tree_util.tree_leaves(again), leaves))


@given(st.lists(st.integers() | st.text(max_size=3) | st.none(), min_size=2, max_size=2))
def test_flatten_then_unflatten_is_the_identity(values):
    m = Nested(Affine(*values), tuple(values))
    leaves, treedef = tree_util.tree_flatten(m)
    again = tree_util.tree_unflatten(treedef, leaves)
    assert vars(again.first) == vars(m.first) and again.rest == m.rest and again.name == m.name
    assert tree_util.tree_structure(again) == treedef


def test_unflattening_does_not_run_init_or_checks():
    class Strict(eqx.Module):
        x: Any

        def __check_init__(self):
            assert isinstance(self.x, int)

    assert tree_util.tree_map(lambda x: "anything", Strict(1)).x == "anything"


def test_a_static_field_is_structure():
    class Static(eqx.Module):
        x: Any
        n: Any = eqx.field(static=True)

    assert tree_util.tree_leaves(Static(1, 2)) == [1]
    assert tree_util.tree_structure(Static(1, 2)) == tree_util.tree_structure(Static(5, 2))
    assert tree_util.tree_structure(Static(1, 2)) != tree_util.tree_structure(Static(1, 3))


def test_true_and_one_in_a_static_field_are_different_structures():
    class Static(eqx.Module):
        n: Any = eqx.field(static=True)

    structures = [tree_util.tree_structure(Static(n)) for n in (True, 1, 1.0)]
    assert all(a != b for i, a in enumerate(structures) for b in structures[:i])


@pytest.mark.parametrize("make", [lambda: jnp.ones(2), lambda: np.ones(2), lambda: (1, [jnp.ones(2)])])
def test_an_array_in_a_static_field_is_reported_with_its_name(make):
    class Static(eqx.Module):
        n: Any = eqx.field(static=True)

    with pytest.raises(TypeError, match=r"the static field `Static.n` holds an array"):
        Static(make())
    with pytest.raises(TypeError, match=r"the static field `Static.n` holds an array"):
        jax.jit(lambda x: Static(x))(1.0)


def test_an_unhashable_static_field_is_reported_with_its_name():
    class Static(eqx.Module):
        n: Any = eqx.field(static=True)

    with pytest.raises(TypeError, match=r"the static field `Static.n` must be hashable, got \[1\]: use a tuple"):
        Static([1])


def test_a_partly_made_module_is_a_tree_of_what_it_has():
    seen = []

    class Partly(eqx.Module):
        a: Any
        b: Any
        c: Any
        n: Any = eqx.field(static=True)

        def __init__(self):
            self.c = 2
            self.b = 1
            leaves, treedef = tree_util.tree_flatten(self)
            seen.append((leaves, treedef.unflatten(leaves)))
            self.a = self.n = 0

    whole = Partly()
    leaves, partly = seen[0]
    assert leaves == [1, 2] and vars(partly) == {"b": 1, "c": 2}
    assert tree_util.tree_structure(partly) != tree_util.tree_structure(whole)
    with pytest.raises(AttributeError):
        partly.a  # noqa: B018
    assert repr(partly) == "Partly(b=1, c=2)"


def test_a_getattr_of_ones_own_is_not_asked_for_fields():
    class Delegates(eqx.Module):
        inner: Any
        scale: Any

        def __getattr__(self, name):
            return getattr(self.inner, name)

    m = Delegates(affine(), 2)
    assert m.weight is m.inner.weight
    again = tree_util.tree_map(lambda x: x, m)
    assert again.bias is m.bias and copy.copy(m) == m and pickle.loads(pickle.dumps(affine())) == affine()


@pytest.fixture
def deep_recursion():
    """Let JAX's flattening, which is recursive and heeds Python's limit, go as deep as the test wants."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20000)
    yield
    sys.setrecursionlimit(limit)


def test_modules_nest_as_deep_as_jax_can_go(deep_recursion):
    class Chain(eqx.Module):
        below: Any

    m = Chain(1.0)
    for _ in range(1000):
        m = Chain(m)
    doubled = tree_util.tree_map(lambda x: 2 * x, m)
    assert tree_util.tree_leaves(doubled) == [2.0]


def test_paths_name_the_fields():
    m = Nested(affine(), [1])
    if not hasattr(tree_util, "tree_flatten_with_path"):
        pytest.skip("JAX has paths since 0.4.6, this is " + jax.__version__)
    paths = [tree_util.keystr(path) for path, _ in tree_util.tree_flatten_with_path(m)[0]]
    assert paths == [".first.weight", ".first.bias", ".rest[0]"]


def test_nothing_is_registered_twice():
    with pytest.raises(ValueError):
        tree_util.register_pytree_node(Affine, lambda x: ((), None), lambda aux, children: None)


def test_nothing_of_ours_keeps_a_class():
    """JAX's registry never forgets a class; beside it, no table of the library's holds one."""

    class Temporary(eqx.Module):
        x: Any

        def method(self):
            return self.x

    assert eqx.filter_jit(Temporary(jnp.array(1.0)).method)() == 1
    copy.deepcopy(Temporary(1))
    modules = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "equinox"}
    holders = [
        (name, attribute)
        for name, module in modules.items()
        for attribute, table in vars(module).items()
        if isinstance(table, (dict, list, set, tuple, frozenset, weakref.WeakKeyDictionary))
        and any(x is Temporary or type(x) is Temporary for x in [*table, *getattr(table, "values", tuple)()])
    ]
    # Before JAX 0.4.8 the registry keeps no names of children, so a table of ours does.
    assert set(holders) <= {("equinox._compat", "_name_functions")}


# Inheritance


def test_abstract_methods_and_properties():
    class Shape(eqx.Module):
        @abc.abstractmethod
        def area(self):
            pass

        @property
        @abc.abstractmethod
        def sides(self):
            pass

    class Square(Shape):
        edge: Any

        def area(self):
            return self.edge**2

        @property
        def sides(self):
            return 4

    with pytest.raises(TypeError, match="abstract"):
        Shape()
    assert (Square(3).area(), Square(3).sides) == (9, 4)

    class HalfDone(Shape):
        def area(self):
            return 0

    with pytest.raises(TypeError, match="abstract.*sides"):
        HalfDone()


def test_generics():
    T = TypeVar("T")

    class Box(eqx.Module, Generic[T]):
        content: T

        def get(self) -> T:
            return self.content

    class IntBox(Box[int]):
        pass

    assert Box[int](3).get() == 3 and Box(3) == Box[str](3)
    assert IntBox(3).get() == 3
    assert typing.get_type_hints(Box)["content"] is T


def test_several_bases_as_dataclasses_do():
    def make(base, decorate):
        @decorate
        class A(base):
            a: Any = 1
            shared: Any = 0

            def who(self):
                return "A"

        @decorate
        class B(base):
            b: Any = 2
            shared: Any = 5

        @decorate
        class C(A, B):
            c: Any = 3

            def who(self):
                return super().who() + "C"

        return C

    ours, reference = make(eqx.Module, lambda cls: cls), make(object, dataclasses.dataclass(frozen=True))
    assert str(inspect.signature(ours)) == str(inspect.signature(reference))
    assert dataclasses.asdict(ours(c=7)) == dataclasses.asdict(reference(c=7))
    assert ours().who() == "AC"
    assert tree_util.tree_leaves(ours()) == list(dataclasses.astuple(reference()))


def test_static_class_and_plain_attributes_are_no_fields():
    class Mixed(eqx.Module):
        counter: typing.ClassVar[int] = 7
        x: Any
        constant = 3

        @staticmethod
        def static(x):
            return x

        @classmethod
        def make(cls, x):
            return cls(x)

        @property
        def double(self):
            return 2 * self.x

    m = Mixed.make(4)
    assert (m.counter, m.constant, m.static(1), m.double) == (7, 3, 1, 8)
    assert tree_util.tree_leaves(m) == [4]


def test_a_function_may_be_the_default_of_a_field():
    class Activated(eqx.Module):
        activation: Any = jax.nn.relu
        other: Any = lambda x: x + 1

    m = Activated()
    assert m.activation is jax.nn.relu and m.other(1) == 2
    assert len(tree_util.tree_leaves(m)) == 2


def test_cached_property_works_and_is_no_field():
    if not hasattr(ft, "cached_property"):
        pytest.skip("functools.cached_property needs Python 3.8")

    class Cached(eqx.Module):
        x: Any

        @ft.cached_property
        def square(self):
            return self.x**2

    m = Cached(3)
    assert m.square == m.square == 9
    assert tree_util.tree_leaves(m) == [3]
    assert m == Cached(3) and copy.copy(m) == Cached(3)


# Bound methods


def test_a_bound_method_behaves_like_pythons():
    m = affine()
    assert m.scaled.__name__ == "scaled" and m.scaled.__doc__ == "Scale what the call gives."
    assert str(inspect.signature(m.scaled)) == "(x, factor=2.0)"
    assert m.scaled == m.scaled and hash(m.scaled) == hash(m.scaled)
    assert m.scaled != affine().scaled and m.scaled != m.__call__
    assert m.scaled.__self__ is m and m.scaled.__func__ is Affine.scaled
    assert Affine.scaled is vars(Affine)["scaled"].function
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


def test_decorated_methods_bind():
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


# Copies, equality, hash


def _copies():
    return [copy.copy, copy.deepcopy] + [
        ft.partial(lambda protocol, x: pickle.loads(pickle.dumps(x, protocol)), p)
        for p in range(2, pickle.HIGHEST_PROTOCOL + 1)
    ]


class Model(eqx.Module):
    inner: Any
    activation: Any
    bias: Any
    n: Any = eqx.field(static=True)


@pytest.mark.parametrize("duplicate", _copies())
def test_copies_and_pickles_are_equal_to_the_original(duplicate):
    m = Model([affine(), {"k": jnp.arange(3)}], jax.nn.relu, np.arange(2), n=(jnp.tanh, 3))
    again = duplicate(m)
    assert again is not m and again == m
    assert type(again.inner[0].weight) is type(m.inner[0].weight)
    assert again.activation is jax.nn.relu and again.n[0] is jnp.tanh
    assert tree_util.tree_structure(again) == tree_util.tree_structure(m)
    with pytest.raises(AttributeError):
        again.bias = 1


def test_a_pickle_names_no_private_module_of_jax():
    assert b"_src" not in pickle.dumps(Model(jax.nn.relu, jax.nn.softplus, jnp.tanh, n=None))


def test_deepcopy_is_deep_and_copy_is_not():
    values = np.ones(2)
    m = Affine(values, 1)
    assert copy.copy(m).weight is values and copy.deepcopy(m).weight is not values


def test_equality_is_tree_equality():
    assert affine() == affine() and not (affine() != affine())
    assert affine() != Affine(jnp.array([1.0, 2.0]), jnp.array(4.0))
    assert affine() != Affine(np.array([1.0, 2.0], np.float32), jnp.array(3.0))
    assert affine() != 3 and affine() is not None
    assert (affine() == affine()) is True

    class Other(eqx.Module):
        weight: Any
        bias: Any

    assert Affine(1, 2) != Other(1, 2)


def test_hash_by_value_without_arrays_and_a_clear_error_with():
    assert hash(Affine(1, "a")) == hash(Affine(1, "a"))
    assert len({Affine(1, "a"), Affine(1, "a"), Affine(2, "a")}) == 2
    for weight in (jnp.ones(2), np.ones(2)):
        with pytest.raises(TypeError, match=r"unhashable: `Affine` holds arrays.*eqx.filter_jit\(model\)"):
            hash(Affine(weight, 1))


def test_weak_references_and_partials():
    m = affine()
    ref = weakref.ref(m)
    assert ref() is m
    partial = ft.partial(m, jnp.array(1.0))
    assert partial().tolist() == [4.0, 5.0]
    assert jax.jit(tree_util.Partial(m.scaled, factor=3.0))(1.0).tolist() == [12.0, 15.0]
    assert eqx.filter_jit(partial)().tolist() == [4.0, 5.0]
    del m, partial
    gc.collect()
    assert ref() is None


def test_what_a_copy_shares_and_keeps():
    shared = {"b": [1], "a": 2}
    m = Affine(shared, shared)
    shallow, deep, pickled = copy.copy(m), copy.deepcopy(m), pickle.loads(pickle.dumps(m))
    assert shallow.weight is shared
    for again in (deep, pickled):
        assert again.weight is not shared and again.weight is again.bias and list(again.weight) == ["b", "a"]
    assert copy.copy(Affine({1: 2, "a": 3}, None)).weight == {1: 2, "a": 3}  # which JAX couldn't sort


def test_partials_of_jaxs_functions_survive():
    m = Affine(ft.partial(jax.nn.leaky_relu, negative_slope=0.5), tree_util.Partial(jax.nn.relu))
    for again in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        assert again.weight(-2.0) == -1.0 and type(again.bias) is tree_util.Partial
        assert again.weight.func is jax.nn.leaky_relu and again.bias.func is jax.nn.relu


def test_a_filtered_function_is_atomic_to_copies():
    f = eqx.filter_jit(lambda x: x)
    assert copy.copy(f) is f and copy.deepcopy(Affine(f, 1)).weight is f


# Names, descriptors and decorators that could get in the way


def test_fields_may_have_any_name():
    class Hostile(eqx.Module):
        cls: Any
        self: Any
        type: Any
        d: Any
        c0: Any
        new: Any = eqx.field(static=True)
        aux: Any = eqx.field(static=True)

    names = ["cls", "self", "type", "d", "c0", "new", "aux"]
    m = Hostile(**{name: i for i, name in enumerate(names)})
    assert tree_util.tree_leaves(m) == [0, 1, 2, 3, 4]
    assert [getattr(tree_util.tree_map(lambda x: x, m), name) for name in names] == list(range(7))


def test_slots_are_refused():
    with pytest.raises(TypeError, match="`Slotted` has `__slots__`"):

        class Slotted(eqx.Module):
            __slots__ = ("x",)


def test_a_property_may_be_set_in_init():
    class WithProperty(eqx.Module):
        x: Any

        def __init__(self):
            self.double = 6

        @property
        def double(self):
            return 2 * self.x

        @double.setter
        def double(self, value):
            self.x = value / 2

    m = WithProperty()
    assert m.x == 3
    with pytest.raises(AttributeError):
        m.double = 8


def test_a_field_may_be_deleted_before_it_is_set_for_good():
    class Deletes(eqx.Module):
        x: Any

        def __init__(self):
            self.x = 1
            del self.x
            self.x = 2

    assert Deletes().x == 2


def test_a_decorator_binds_by_its_own_rule():
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


def test_the_signature_shows_factories_as_dataclasses_do():
    class Factory(eqx.Module):
        x: Any = dataclasses.field(default_factory=list)

    reference = dataclasses.make_dataclass("Factory", [("x", Any, dataclasses.field(default_factory=list))])
    assert str(inspect.signature(Factory)) == str(inspect.signature(reference))


def test_types_inside_a_static_tuple_count():
    class Static(eqx.Module):
        n: Any = eqx.field(static=True)

    structures = [tree_util.tree_structure(Static(n)) for n in ((1, (2,)), (1, (2.0,)), (True, (2,)))]
    assert all(a != b for i, a in enumerate(structures) for b in structures[:i])


def test_an_unhashable_static_dictionary_is_reported_too():
    class Static(eqx.Module):
        n: Any = eqx.field(static=True)

    with pytest.raises(TypeError, match="the static field `Static.n` must be hashable"):
        Static({1: 2, "a": 3})
    with pytest.raises(TypeError, match="the static field `Static.n` holds an array"):
        Static({1: 2, "a": np.ones(2)})
