"""`Selection`: what a filter depends on, and which selections are equal. The dispatcher relies on both."""

import jax.numpy as jnp
import numpy as np
import pytest
from modules import Layer

import equinox as eqx
from equinox._trees.predicates import is_inexact_jax_or_numpy
from equinox._trees.selection import DEPENDENCIES, Selection

pytestmark = pytest.mark.filters


def by_value(x):
    return x == 1


class Kind(eqx.Module):
    cls: type

    def includes(self, x):
        return isinstance(x, self.cls)


DEPENDS_ON = {
    "is_array": ({"filter_fn": eqx.is_array}, "type"),
    "is_inexact_array": ({"filter_fn": eqx.is_inexact_array}, "dtype"),
    "default of gradients": ({"filter_fn": is_inexact_jax_or_numpy}, "dtype"),
    "trainable": ({"filter_fn": eqx.trainable}, "dtype"),
    "is_array_like": ({"filter_fn": eqx.is_array_like}, "anything"),  # an int may be too large
    "function": ({"filter_fn": by_value}, "anything"),
    "unhashable function": ({"filter_fn": [1, 2].__contains__}, "anything"),
    "bools": ({"filter_tree": (True, [np.bool_(False), None])}, "structure"),
    "one bool": ({"filter_tree": False}, "structure"),
    "is_array in a tree": ({"filter_tree": [True, eqx.is_array]}, "type"),
    "is_inexact_array in a tree": ({"filter_tree": [eqx.is_array, eqx.is_inexact_array]}, "anything"),
    "function in a tree": ({"filter_tree": [True, {"a": by_value}]}, "anything"),
    "bound method in a tree": ({"filter_tree": [True, Kind(int).includes]}, "anything"),
}


@pytest.mark.parametrize("name", DEPENDS_ON)
def test_what_a_filter_depends_on(name):
    """Each filter of the table depends on this.

    If a filter depends on less than "anything", leaves that agree in it get one answer.
    """
    given, expected = DEPENDS_ON[name]
    assert Selection("jitf", **given).depends_on == expected
    assert expected in DEPENDENCIES


@pytest.mark.parametrize("function", [eqx.is_array, eqx.is_inexact_array, is_inexact_jax_or_numpy, eqx.trainable])
def test_it_depends_on_no_more(function):
    """Leaves of the same type, and dtype if it matters, get the same answer for any value and shape."""
    by_dtype = Selection("jitf", function).depends_on == "dtype"
    answers = {}
    for dtype in (np.float32, np.int32, np.bool_, np.complex64):
        for x in (np.zeros(2, dtype), np.ones((1, 3), dtype), dtype(1), jnp.ones(2, dtype), jnp.array(0, dtype)):
            answers.setdefault((type(x), dtype if by_dtype else None), set()).add(function(x))
    for x in (1, 0, 2.5, 0.0, "a", "", None, by_value, print):
        answers.setdefault(type(x), set()).add(function(x))
    assert all(len(answer) == 1 for answer in answers.values())


def another(x):
    return x == 2


SAME = [
    lambda: Selection("jitf", filter_fn=by_value),
    lambda: Selection("gradf", filter_fn=by_value),
    lambda: Selection("jitf", filter_fn=another),
    lambda: Selection("jitf", filter_tree=True),
    lambda: Selection("jitf", filter_tree=[True, False]),
    lambda: Selection("jitf", filter_tree=(True, False)),
    lambda: Selection("jitf", filter_tree=[False, True]),
    lambda: Selection("jitf", filter_tree=[True, by_value]),
    lambda: Selection("jitf", filter_tree=[True, another]),
    lambda: Selection("jitf", filter_tree=Layer(True, False)),
    lambda: Selection("jitf", filter_tree=Layer(True, False, "other")),
]


@pytest.mark.parametrize("i", range(len(SAME)))
def test_equal_by_value(i):
    """Two selections are equal if they have the same name, functions and trees of bools."""
    first, second = SAME[i](), SAME[i]()
    assert first == second and not first != second
    assert hash(first) == hash(second)
    assert [first == make() for make in SAME] == [j == i for j in range(len(SAME))]
    assert first != "jitf"


def test_numpy_bools_are_bools():
    """A tree of NumPy's bools makes the same selection as a tree of bools."""
    assert Selection("jitf", filter_tree=[np.bool_(True)]) == Selection("jitf", filter_tree=[True])


def test_equal_functions_are_not_the_same():
    """Functions are compared by identity. An equal function may answer otherwise later."""
    tests = [[1, 2].__contains__, [1, 2].__contains__]
    assert Selection("jitf", tests[0]) != Selection("jitf", tests[1])
    assert Selection("jitf", filter_tree=[tests[0]]) != Selection("jitf", filter_tree=[tests[1]])


def test_a_tree_that_is_changed_later():
    """A selection keeps a copy of the tree: the user may change a list later."""
    tree = [True, {"a": False}]
    selection = Selection("jitf", filter_tree=tree)
    tree[0], tree[1]["a"] = False, True
    assert selection.of(([1, {"a": 2}],)) == [True, False]
    assert selection == Selection("jitf", filter_tree=[True, {"a": False}])
