"""`wrapper_of`: the same wrapper for the same function and an equal key, and no longer than the function lives."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from modules import Affine

from equinox._dispatch import wrapper_cache
from equinox._dispatch.leaf_groups import separate
from equinox._dispatch.wrapper_cache import wrapper_of


def make(get_fun, *key):
    return lambda x: (get_fun()(x), *key)


def made(fun, tree):
    """The wrapper for a tree of static leaves."""
    return wrapper_of(fun, make, separate(tree, lambda x: False)[1])


def test_the_same_function_and_an_equal_key_give_the_same_wrapper():
    f, g = (lambda x: x + 1), (lambda x: x + 2)
    wrapper = wrapper_of(f, make, "key", 1)
    assert wrapper(3) == (4, "key", 1)
    assert wrapper_of(f, make, "".join(["k", "ey"]), 1) is wrapper
    others = [wrapper_of(g, make, "key", 1), wrapper_of(f, make, "key", 2), wrapper_of(f, lambda *args: None, "key", 1)]
    assert wrapper not in others


def test_trees_are_told_apart_by_structure_static_leaves_and_their_types():
    def f(x):
        return x

    trees = [[1, "a"], [True, "a"], [1.0, "a"], (1, "a"), [1, "b"], [1, ["a"]], [0.0, "a"], [-0.0, "a"]]
    found = [made(f, tree) for tree in trees]
    assert len(set(found)) == len(trees)
    assert [made(f, tree) for tree in trees] == found


def test_what_has_no_hash_belongs_to_the_caller():
    def f(x):
        return x

    class NoWeakReference:
        __slots__ = ()

        def __call__(self, x):
            return x

    mutable = {1, 2}
    for fun, tree in ((f, [mutable]), (NoWeakReference(), [1])):
        assert made(fun, tree) is not made(fun, tree)
        assert made(fun, tree)(5)[0] == 5


@pytest.mark.parametrize("key", ["key", frozenset([1])], ids=["text", "set"])
def test_wrappers_go_with_the_function(key):
    def f(x):
        return x

    refs = [weakref.ref(f), weakref.ref(wrapper_of(f, make, key))]
    gc.collect()
    assert refs[1]() is wrapper_of(f, make, key)
    del f
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


def test_the_wrappers_of_one_function_are_bounded():
    def f(x):
        return x

    refs = [weakref.ref(wrapper_of(f, make, i)) for i in range(wrapper_cache._MAX_WRAPPERS + 10)]
    gc.collect()
    assert sum(ref() is not None for ref in refs) == wrapper_cache._MAX_WRAPPERS


def test_a_model_is_the_same_function_while_it_holds_the_same():
    """So is its method, which is another object each time."""
    x = jnp.ones(2)
    model = Affine(x, ["text", x])
    wrapper = wrapper_of(model.scaled, make, 1)
    assert wrapper_of(model.scaled, make, 1) is wrapper
    assert wrapper_of(model, make, 1) is not wrapper
    for i, new in [(0, "another"), (1, x + 0)]:  # a list in a model may change
        model.bias[:] = ["text", x]
        assert wrapper_of(model.scaled, make, 1) is wrapper
        model.bias[i] = new
        assert wrapper_of(model.scaled, make, 1) is not wrapper


def test_wrappers_of_a_method_go_with_the_model():
    model = Affine(jnp.ones(2), jnp.zeros(2))
    refs = [weakref.ref(x) for x in (model, model.weight, wrapper_of(model.scaled, make), wrapper_of(model, make))]
    gc.collect()
    assert refs[2]() is wrapper_of(model.scaled, make) and refs[3]() is wrapper_of(model, make)
    assert refs[2]()(3.0)[0].tolist() == [6.0, 6.0]
    del model
    gc.collect()
    assert [ref() for ref in refs] == [None] * 4


def test_a_model_that_may_change_has_a_new_wrapper_each_time():
    """An array of NumPy may, and a traced one is another in each call."""
    model = Affine(np.ones(2), jnp.ones(2))
    assert wrapper_of(model, make) is not wrapper_of(model, make)

    @jax.jit
    def traced(x):
        model = Affine(x, x)
        assert wrapper_of(model, make) is not wrapper_of(model, make)

    traced(jnp.ones(2))
