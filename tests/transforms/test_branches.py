"""`filter_cond` and `filter_switch`: JAX's branches on models, against plain JAX and plain Python."""

from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jaxprs import jaxpr_sizes
from random_trees import arrays_of, doubled, same, statics_of, trees, with_arrays

import equinox as eqx

MARK = object()  # a leaf that is equal to nothing else


class Scale(eqx.Module):
    factor: Any
    mark: Any = MARK
    name: str = eqx.field(static=True, default="scale")

    def __call__(self, x):
        return self.factor * x

    def inverse(self, x):
        return x / self.factor


def scale():
    return Scale(jnp.array([2.0, 4.0]))


def cond(index, first, second, *operands):
    return eqx.filter_cond(index == 0, first, second, *operands)


def switch(index, first, second, *operands):
    return eqx.filter_switch(index, [first, second], *operands)


# Each takes an index, two branches, and operands.
CHOICES = {"cond": cond, "switch": switch}
PLAIN = {
    "cond": lambda index, first, second, operand: lax.cond(index == 0, first, second, operand),
    "switch": lambda index, first, second, operand: lax.switch(index, [first, second], operand),
}
each_choice = pytest.mark.parametrize("choice", CHOICES)


@each_choice
@hypothesis.given(tree=trees(max_leaves=6), other=trees(st.integers(), max_leaves=3))
@hypothesis.settings(max_examples=10)
def test_any_tree_goes_in_and_out_and_the_program_is_that_of_its_arrays(choice, tree, other):
    """The statics come back as they are, and JAX sees the arrays alone."""
    arrays, statics = arrays_of(tree), []

    def filtered(index, *arrays):
        tree_of_them = with_arrays(tree, arrays)
        out, rest = CHOICES[choice](index, lambda x, y: (doubled(x), y), lambda x, y: (x, y), tree_of_them, other)
        statics.append(statics_of(out))
        assert same(rest, other)
        return arrays_of(out)

    def plain(index, *arrays):
        return PLAIN[choice](index, doubled, lambda x: x, list(arrays))

    index = jnp.array(0)
    assert jaxpr_sizes(filtered, index, *arrays) == jaxpr_sizes(plain, index, *arrays)
    assert same(statics[0], statics_of(tree))


@each_choice
@pytest.mark.parametrize("index", [0, 1])
def test_the_branch_that_is_chosen_gives_the_result(choice, index, run):
    """Its operands come as they are, and models, methods and functions are branches."""

    def chosen(index, x):
        model = scale()
        first = CHOICES[choice](index, model, model.inverse, x)
        second, mark = CHOICES[choice](
            index, lambda m, x: (m(x), m.mark), lambda m, x: (m.inverse(x), m.mark), model, x
        )
        assert mark is MARK
        return first, second

    x = np.array([3.0, 8.0], np.float32)
    expected = [x * [2, 4], x / [2, 4]][index]
    for got in run(chosen, jnp.array(index), jnp.asarray(x)):
        np.testing.assert_allclose(got, expected)


@each_choice
def test_the_gradient_is_that_of_the_branch(choice):
    def loss(model, index):
        return CHOICES[choice](index, lambda m: m(3.0), lambda m: m.inverse(8.0), model).sum()

    gradient = eqx.filter_jit(eqx.filter_grad(loss))
    for index, expected in enumerate([[3.0, 3.0], [-2.0, -0.5]]):
        got = gradient(scale(), jnp.array(index))
        assert type(got) is Scale and got.mark is None
        np.testing.assert_allclose(got.factor, expected)


def test_no_operands_are_needed():
    x = jnp.ones(2)
    for index in (0, 1):
        for choose in CHOICES.values():
            assert choose(jnp.array(index), lambda: x, lambda: 2 * x).tolist() == [index + 1.0] * 2
    assert eqx.filter_cond(True, lambda: "text", lambda: "text") == "text"


@pytest.mark.parametrize("known", [True, False])
def test_both_branches_are_traced_where_the_predicate_is_known(known):
    """As by `jax.lax.cond`: a Python bool, and one of NumPy."""
    traced = []

    def branch(i):
        def traces(x):
            traced.append(i)
            return x + i

        return traces

    for pred in (known, np.bool_(known), jnp.array(known)):
        assert eqx.filter_cond(pred, branch(1), branch(2), jnp.array(0)) == (1 if known else 2)
        assert set(traced) == {1, 2}
        traced.clear()


def test_one_branch_runs_where_jit_is_disabled():
    with jax.disable_jit():
        for index in (0, 1):
            for choose in CHOICES.values():
                assert choose(jnp.array(index), lambda: (jnp.array(5), MARK), lambda: (jnp.array(6), MARK)) == (
                    5 + index,
                    MARK,
                )


def test_an_index_out_of_range_is_that_of_the_nearest_branch():
    branches = [lambda i=i: jnp.array(i) for i in range(3)]
    assert [int(eqx.filter_switch(i, branches)) for i in (-5, 0, 2, 9)] == [0, 0, 2, 2]
    assert eqx.filter_switch(4, [lambda m: m], scale()).mark is MARK  # of one branch


@each_choice
def test_the_same_branches_are_traced_once(choice):
    """As JAX itself does outside of `jit`: again only where the static leaves, or their types, are others."""
    traced = []

    def branch(both):
        traced.append(both)
        return both

    def other(both):
        return both

    for n in (1, 2, True, MARK):
        before = len(traced)
        for index in (0, 1):
            assert CHOICES[choice](jnp.array(index), branch, other, [jnp.ones(2), n])[1] is n
            assert len(traced) == before + 1


DIFFERENCES = {  # what the second branch makes of a model, and what the message says
    "int": (lambda m: (m, 2), r"`out\[1\]`, `{}` returns `int` 1, and `{}` `int` 2. Return an array in each branch"),
    "type": (lambda m: (m, True), r"`out\[1\]`, `{}` returns `int` 1, and `{}` `bool` True. Return an array"),
    "array": (
        lambda m: (m, jnp.ones(2)),
        r"`out\[1\]`, `{}` returns `int` 1, and `{}` an array float32\[2\]. Return an",
    ),
    "text": (lambda m: (m, "a"), r"`out\[1\]`, `{}` returns `int` 1, and `{}` `str` 'a'. What isn't an array"),
    "object": (
        lambda m: (eqx.replace(m, mark=object()), 1),
        r"`out\[0\].mark`, `{}` returns `object` .*, and `{}` `object` .*. What isn't an array must be the same",
    ),
    "shape": (
        lambda m: (eqx.replace(m, factor=m.factor[:1]), 1),
        r"`out\[0\].factor`, `{}` returns an array float32\[2\], and `{}` an array float32\[1\]. Return arrays of one",
    ),
    "dtype": (
        lambda m: (eqx.replace(m, factor=m.factor > 0), 1),
        r"`out\[0\].factor`, `{}` returns an array float32\[2\], and `{}` an array bool\[2\]. Return arrays of one",
    ),
    "static field": (
        lambda m: (eqx.replace(m, name="x"), 1),
        r"`out\[0\]`, `{}` returns a `Scale` with `name='scale'`, and `{}` a `Scale` with `name='x'`. Return trees",
    ),
    "structure": (lambda m: [m, 1], "`out`, `{}` returns a `tuple`, and `{}` a `list`. Return trees of one structure"),
    "None": (lambda m: (m, None), r"`out\[1\]`, `{}` returns a leaf \(`int` 1\), and `{}` `None`. Return trees"),
}


@each_choice
@pytest.mark.parametrize("difference", DIFFERENCES)
def test_branches_that_return_something_else_are_refused_by_path(choice, difference):
    second, message = DIFFERENCES[difference]
    names = ("true_fun", "false_fun") if choice == "cond" else (r"branches\[0\]", r"branches\[1\]")
    with pytest.raises(TypeError, match="`filter_{}` expects .* At {}".format(choice, message.format(*names))):
        CHOICES[choice](jnp.array(0), lambda m: (m, 1), second, scale())


@each_choice
def test_branches_that_differ_in_a_static_field_alone_are_refused(choice):
    """Then all leaves are arrays, and the trees of JAX differ in their auxiliary data only."""
    with pytest.raises(TypeError, match="`Layer` with `name='a'`, and .* `Layer` with `name='b'`"):
        CHOICES[choice](jnp.array(0), lambda: Layer(jnp.ones(2), "a"), lambda: Layer(jnp.ones(2), "b"))


class Layer(eqx.Module):
    weight: Any
    name: str = eqx.field(static=True)


@each_choice
@pytest.mark.parametrize("fails", [0, 1])
@pytest.mark.parametrize("error", [KeyError, TypeError])
def test_an_error_of_a_branch_is_its_own(choice, fails, error):
    branches = [lambda m: m, lambda m: m]

    def raises(m):
        raise error("on purpose")

    branches[fails] = raises
    with pytest.raises(error, match="on purpose"):
        CHOICES[choice](jnp.array(0), *branches, scale())


def test_what_jax_refuses_is_refused():
    for pred in (jnp.array([True, False]), "text"):
        with pytest.raises(TypeError):
            eqx.filter_cond(pred, lambda m: m, lambda m: m, scale())
    with pytest.raises(TypeError):
        eqx.filter_switch(0.5, [lambda m: m, lambda m: m], scale())
    with pytest.raises(ValueError):
        eqx.filter_switch(0, [], scale())


def test_what_cannot_be_called_is_refused():
    for i, name in enumerate(["true_fun", "false_fun"]):
        branches = [abs, abs]
        branches[i] = 3
        message = "`filter_cond` expects a function or another callable for `{}`, got `int` 3".format(name)
        with pytest.raises(TypeError, match=message):
            eqx.filter_cond(True, *branches, jnp.ones(2))
    with pytest.raises(TypeError, match=r"`filter_switch` .* for `branches\[1\]`, got `str` 'a'"):
        eqx.filter_switch(0, [abs, "a"], jnp.ones(2))


def test_branches_nest_in_each_other_and_in_loops():
    """`jit` of `vmap` of `grad` of a loop over a switch of a cond, with the model as what is chosen from."""

    def loss(model, x):
        def step(i, both):
            model, x = both
            branches = [lambda m, x: eqx.filter_cond(x[0] > 0, m, m.inverse, x), lambda m, x: m(x) + 1]
            return model, eqx.filter_switch(i, branches, model, x)

        return eqx.filter_fori_loop(0, 2, step, (model, x))[1].sum()

    def plain(factor, x):
        x = factor * x if x[0] > 0 else x / factor
        return (factor * x + 1).sum()

    factors, xs = jnp.array([[2.0, 4.0], [0.5, 3.0]]), jnp.array([[1.0, 2.0], [-1.0, 2.0]])
    got = eqx.filter_jit(jax.vmap(lambda f, x: eqx.filter_grad(loss)(Scale(f), x).factor))(factors, xs)
    expected = [jax.grad(plain)(f, x) for f, x in zip(factors, xs)]
    np.testing.assert_allclose(got, np.stack(expected), rtol=1e-5)


def test_branches_that_are_no_sequence_are_refused():
    with pytest.raises(TypeError, match="`filter_switch` expects `branches` to be a sequence of functions, got"):
        eqx.filter_switch(0, 3)
