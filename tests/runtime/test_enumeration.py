"""`Enumeration`: its items, in compiled programs and outside of them, against indices in Python lists."""

import copy
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, tree_util
from jaxprs import jaxpr_kinds

import equinox as eqx


class Result(eqx.Enumeration):
    success = "It succeeded."
    slow = "It was slow."
    failed = "It failed."


class Extended(Result):
    success = "It succeeded again."
    diverged = "It diverged."


class Unrelated(eqx.Enumeration):
    other = "Other."
    failed = "It failed."


class Both(Unrelated, Result):
    last = "Last."


ITEMS = [Result.success, Result.slow, Result.failed]
MESSAGES = ["It succeeded.", "It was slow.", "It failed."]


def names(items):
    return [repr(item).split(".")[1] for item in items]


def test_items_in_order():
    assert names(Result) == ["success", "slow", "failed"]
    assert names(Extended) == ["success", "slow", "failed", "diverged"]
    assert names(Both) == ["other", "failed", "success", "slow", "last"]
    assert [len(cls) for cls in (Result, Extended, Unrelated, Both)] == [3, 4, 2, 5]
    assert all(item is again for item, again in zip(Result, ITEMS))


def test_messages():
    assert [Result[item] for item in Result] == MESSAGES
    assert Extended[Extended.success] == "It succeeded again."
    assert [Both[item] for item in Both] == ["Other.", "It failed.", "It succeeded.", "It was slow.", "Last."]


def test_membership():
    assert all(item in Result and isinstance(item, Result) for item in Result)
    for outside in (Unrelated.failed, Extended.success, 0, "success", None, Result):
        assert outside not in Result


compiled_comparison = jax.jit(lambda a, b: (a == b, a != b))


@pytest.mark.parametrize("a", ITEMS, ids=repr)
@pytest.mark.parametrize("b", ITEMS, ids=repr)
def test_comparison(a, b):
    same = ITEMS.index(a) == ITEMS.index(b)
    for compare in (lambda a, b: (a == b, a != b), compiled_comparison):
        assert list(map(bool, compare(a, b))) == [same, not same]


@pytest.mark.parametrize("other", [Unrelated.failed, Extended.failed], ids=repr)
def test_two_kinds_are_not_compared(other):
    for compare in (lambda: Result.failed == other, lambda: other != Result.failed):
        with pytest.raises(TypeError, match=r"`\w+.failed` and `\w+.failed` belong to different enumerations"):
            compare()


def test_nothing_else_is_equal_to_an_item():
    for other in (0, "success", None, np.int32(0)):
        assert not Result.success == other
        assert Result.success != other


def test_items_are_keys():
    counts = {item: i for i, item in enumerate(Result)}
    assert [counts[copy.copy(item)] for item in Result] == [0, 1, 2]
    with pytest.raises(TypeError, match=r"unhashable: JAX computed `Result.success`"):
        hash(jax.jit(lambda item: item)(Result.success))


# Choice


def test_where_chooses():
    pred = np.array([True, False, True])
    chosen = Result.where(jnp.array(pred), Result.success, Result.failed)
    assert repr(chosen) == "Result(i32[3])"
    assert (chosen == Result.success).tolist() == pred.tolist()
    assert Result.where(True, Result.slow, Result.failed) is Result.slow
    assert Result.where(np.bool_(False), Result.slow, Result.failed) is Result.failed


def test_where_in_transformations():
    def classify(x):
        return Result.where(x < 0, Result.failed, Result.where(x < 1, Result.success, Result.slow))

    xs = jnp.array([-1.0, 0.5, 2.0])
    expected = [2, 0, 1]
    for classified in (jax.vmap(classify)(xs), jax.jit(jax.vmap(classify))(xs), eqx.filter_vmap(classify)(xs)):
        items = [tree_util.tree_map(lambda v, i=i: v[i], classified) for i in range(3)]
        assert [Result[item] for item in items] == [MESSAGES[i] for i in expected]
    value, gradient = jax.value_and_grad(lambda x: jnp.where(classify(x) == Result.slow, x**2, 0.0))(3.0)
    assert (float(value), float(gradient)) == (9.0, 6.0)


def test_an_item_is_a_carry():
    def step(item, x):
        return Result.where(x > 2, Result.slow, item), item == Result.success

    xs = jnp.arange(5)
    last, was_success = lax.scan(step, Result.success, xs)
    assert repr(last) == "Result.slow"
    assert was_success.tolist() == [True, True, True, True, False]
    last, _ = eqx.filter_scan(step, Result.success, xs)
    assert repr(last) == "Result.slow"
    count, item = lax.while_loop(
        lambda carry: carry[1] == Result.success,
        lambda carry: (carry[0] + 1, Result.where(carry[0] > 2, Result.failed, Result.success)),
        (0, Result.success),
    )
    assert (int(count), repr(item)) == (4, "Result.failed")
    chosen = lax.cond(jnp.array(True), lambda _: Result.slow, lambda _: Result.failed, 0)
    assert repr(chosen) == "Result.slow"


def test_the_program_is_that_of_the_indices():
    items = jaxpr_kinds(lambda p, a, b: Result.where(p, a, b) == a, True, Result.slow, Result.failed)
    assert items == jaxpr_kinds(lambda p, a, b: jnp.where(p, a, b) == a, True, np.int32(1), np.int32(2))
    assert jaxpr_kinds(Extended.promote, Result.slow) == []


def test_an_item_in_a_model():
    class Solution(eqx.Module):
        value: Any
        result: Any

    solution = eqx.filter_jit(lambda x: Solution(x, Result.where(x > 0, Result.success, Result.failed)))(jnp.array(1.0))
    assert Result[solution.result] == "It succeeded."


# Promotion


@pytest.mark.parametrize("child, parent", [(Extended, Result), (Both, Result), (Both, Unrelated), (Result, Result)])
@pytest.mark.parametrize("compile", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_promotion_keeps_the_name(child, parent, compile):
    for item in parent:
        promoted = compile(child.promote)(item)
        assert type(promoted) is child
        assert names([promoted]) == names([item])


def test_promotion_of_several():
    items = Result.where(jnp.array([True, False]), Result.success, Result.failed)
    promoted = Both.promote(items)
    assert (promoted == Both.success).tolist() == [True, False]
    assert (promoted == Both.failed).tolist() == [False, True]


@pytest.mark.parametrize("wrong", [Extended.success, Unrelated.failed, 0, "success"], ids=repr)
def test_promotion_refuses_what_is_no_item_of_a_base(wrong):
    with pytest.raises(TypeError, match="`Result.promote` expects an item of `Result` or of a base, got"):
        Result.promote(wrong)


# As data


def test_items_are_pytrees_and_survive_copies():
    leaves, treedef = tree_util.tree_flatten(Result.slow)
    assert [(leaf.dtype, leaf.shape) for leaf in leaves] == [(np.int32, ())]
    assert treedef != tree_util.tree_structure(Unrelated.failed)
    for again in (copy.deepcopy(Result.slow), pickle.loads(pickle.dumps(Result.slow)), treedef.unflatten(leaves)):
        assert repr(again) == "Result.slow"
        assert Result[again] == "It was slow."


def test_a_repr_needs_no_index():
    for leaf in ("text", None, np.int32(7), jnp.ones(2), object()):
        assert repr(tree_util.tree_map(lambda _, leaf=leaf: leaf, Result.slow)).startswith("Result(")


def test_methods():
    class Tested(eqx.Enumeration):
        good = "Good."
        bad = "Bad."

        def is_good(self):
            return self == Tested.good

        @property
        def opposite(self):
            return Tested.where(self.is_good(), Tested.bad, Tested.good)

    assert len(Tested) == 2
    assert repr(jax.jit(lambda item: item.opposite)(Tested.good)) == "Tested.bad"


def test_error_if_raises_the_message():
    with pytest.raises(RuntimeError, match="It was slow."):
        Result.slow.error_if(jnp.array(1.0), jnp.array(True))
    assert Result.slow.error_if(jnp.array(1.0), jnp.array(False)) == 1.0
    assert Result.slow.error_if(jnp.array(1.0), jnp.array(True), on_error="off") == 1.0


# Errors


def test_the_message_needs_one_known_item():
    several = Result.where(jnp.array([True, False]), Result.success, Result.failed)
    with pytest.raises(ValueError, match=r"expects one item whose value is known, got Result\(i32\[2\]\)"):
        Result[several]
    with pytest.raises(ValueError, match=r"got Result\(i32\[\]\)"):
        jax.jit(lambda item: Result[item])(Result.success)


@pytest.mark.parametrize(
    "wrong, got", [(Unrelated.failed, "`Unrelated.failed`.$"), ("success", "'success'.$"), (object(), "object")]
)
def test_items_of_another_kind_are_refused(wrong, got):
    with pytest.raises(TypeError, match=r"`Result\[...\]` expects an item of `Result`, got .*{}".format(got)):
        Result[wrong]
    with pytest.raises(TypeError, match=r"`Result.where` expects an item of `Result`, got .*{}".format(got)):
        Result.where(True, Result.success, wrong)


def test_an_item_of_a_base_is_promoted_first():
    with pytest.raises(TypeError, match="got `Result.failed`. Use `Extended.promote`."):
        Extended[Result.failed]


@pytest.mark.parametrize("pred", [1, "yes", jnp.ones(2), None], ids=["int", "text", "floats", "None"])
def test_where_needs_bools(pred):
    with pytest.raises(TypeError, match="`Result.where` expects `pred` to be a bool or a boolean array, got"):
        Result.where(pred, Result.success, Result.failed)


def test_no_other_items_are_made():
    with pytest.raises(TypeError, match="`Result` has the items of its body and no others"):
        Result(0)


def test_an_entry_is_a_message():
    with pytest.raises(TypeError, match="`Wrong.first` must be a message, got `int` 3"):

        class Wrong(eqx.Enumeration):
            first = 3


def test_an_entry_has_no_annotation():
    with pytest.raises(TypeError, match="`Wrong`: write each entry without an annotation"):

        class Wrong(eqx.Enumeration):
            first: str = "First."


@pytest.mark.parametrize("name", ["where", "promote", "mro"])
def test_an_entry_does_not_hide_a_method(name):
    with pytest.raises(TypeError, match="`Wrong.{}`: an entry can't have the name of a method".format(name)):
        type(eqx.Enumeration)("Wrong", (eqx.Enumeration,), {name: "Message."})


def test_bases_with_different_messages():
    with pytest.raises(TypeError, match="`Wrong`: its bases have two messages for `success`"):

        class Wrong(Result, Extended.__class__("Other", (eqx.Enumeration,), {"success": "Other."})):
            pass

    class Right(Result, Extended.__class__("Other", (eqx.Enumeration,), {"success": "Other."})):
        success = "Chosen."

    assert Right[Right.success] == "Chosen."


@pytest.mark.parametrize("cls, name", [(Result, "slow"), (Extended, "slow"), (Extended, "diverged")])
def test_items_are_not_replaced_or_deleted(cls, name):
    item, messages = getattr(cls, name), [cls[item] for item in cls]
    for value in (cls.success, Unrelated.failed, Both.slow, "Message.", 1, None):
        with pytest.raises(
            AttributeError, match="`{}.{}` is an item. It can't be replaced.".format(cls.__name__, name)
        ):
            setattr(cls, name, value)
    with pytest.raises(AttributeError, match="`{}.{}` is an item. It can't be deleted.".format(cls.__name__, name)):
        delattr(cls, name)
    assert getattr(cls, name) is item and [cls[item] for item in cls] == messages


def test_other_attributes_of_a_class_may_change():
    class Changed(eqx.Enumeration):
        good = "Good."

    Changed.default = Changed.good
    Changed.default = None
    del Changed.default
    assert list(Changed) == [Changed.good] and not hasattr(Changed, "default")


def test_a_method_does_not_hide_an_inherited_entry():
    with pytest.raises(TypeError, match="`Wrong.slow`: a method can't have the name of an entry. Rename `slow`."):

        class Wrong(Result):
            def slow(self):
                return 1


def test_a_class_is_true():
    assert eqx.Enumeration
    assert len(eqx.Enumeration) == 0
