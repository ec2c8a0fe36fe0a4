"""What `tree_at` refuses: ambiguous or missing nodes, and a `where` that uses the values of leaves."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util
from modules import make_net
from random_trees import JAX_ARRAYS

import equinox as eqx


def test_neither_or_both():
    """Exactly one of `replace` and `replace_fn` must be given. `None` is a replacement."""
    with pytest.raises(ValueError, match="exactly one of `replace` and `replace_fn`, got neither"):
        eqx.tree_at(lambda t: t[0], [1])
    with pytest.raises(ValueError, match="exactly one of `replace` and `replace_fn`, got both"):
        eqx.tree_at(lambda t: t[0], [1], replace=1, replace_fn=len)
    with pytest.raises(ValueError, match="got both"):
        eqx.tree_at(lambda t: t[0], [1], None, None)
    assert eqx.tree_at(lambda t: t[0], [1], None) == [None]


def test_no_function():
    """The error names the argument that must be a function."""
    with pytest.raises(TypeError, match="`tree_at` expects `where` to be a function, got `str` 'weight'"):
        eqx.tree_at("weight", make_net(), 1)
    with pytest.raises(TypeError, match="`tree_at` expects `where` to be a function, got `type` .*`eqx.select"):
        eqx.tree_at(int, make_net(), 1)
    with pytest.raises(TypeError, match="`tree_at` expects `replace_fn` to be a function, got `int` 1"):
        eqx.tree_at(lambda n: n.scale, make_net(), replace_fn=1)


@pytest.mark.parametrize(
    "replace, error, came",
    [
        ((1,), ValueError, "a `tuple` of length 1"),
        ([1, 2, 3], ValueError, "a `list` of length 3"),
        (5, TypeError, "`int` 5"),
        ("ab", TypeError, "`str` 'ab'"),
        (None, TypeError, "`NoneType` None"),
        ({"a": 1, "b": 2}, TypeError, "`dict`"),
        (np.ones(2), TypeError, r"float64\[2\]"),
    ],
    ids=str,
)
def test_wrong_number_of_replacements(replace, error, came):
    """Several nodes need a tuple or list with one replacement for each. Another sequence is refused."""
    with pytest.raises(error, match="tuple or list with one replacement for each node .* 2 in all, got .*" + came):
        eqx.tree_at(lambda t: (t[0], t[1]), [1, 2], replace)


TWICE = {
    "leaf": (lambda n: (n.scale, n.layers, n.scale), r"tree.scale"),
    "only leaves": (lambda n: (n.layers[0].weight, n.scale, n.layers[0].weight), r"tree.layers\[0\].weight"),
    "subtree": (lambda n: [n.layers[1], n.layers[1]], r"tree.layers\[1\]"),
    "None": (lambda n: (n.layers[1].bias, n.note, n.note), r"tree.note"),
    "tree": (lambda n: (n, n), r"tree"),
}


@pytest.mark.parametrize("name", TWICE)
def test_node_twice(name):
    """If a node is returned twice, it isn't known which replacement it gets. The error names the node."""
    where, path = TWICE[name]
    with pytest.raises(ValueError, match="`where` returned the node `{}` twice".format(path)):
        eqx.tree_at(where, make_net(), replace_fn=lambda x: x)


INSIDE = {
    "leaf in a subtree": (lambda n: (n.layers[0], n.layers[0].bias), r"tree.layers\[0\]", r"tree.layers\[0\].bias"),
    "subtree before": (lambda n: (n.layers[1], n.layers), r"tree.layers", r"tree.layers\[1\]"),
    "None in a subtree": (lambda n: (n.note, n.layers[1], n.layers[1].bias), r"tree.layers\[1\]", r"\1.bias"),
    "all": (lambda n: (n, n.scale), r"tree", r"tree.scale"),
}


@pytest.mark.parametrize("name", INSIDE)
def test_node_inside_another(name):
    """A node and a node inside it can't both be replaced. The error names both."""
    where, outer, inner = INSIDE[name]
    message = "`where` returned the node `({})`, and `{}` which lies inside it".format(outer, inner)
    with pytest.raises(ValueError, match=message):
        eqx.tree_at(where, make_net(), replace_fn=lambda x: x)


NO_NODES = {
    "static field": (lambda n: n.layers[0].name, r"`tree.layers\[0\].name` or .*, which is static"),
    "constant": (lambda n: 3, r"`int` 3, which is no node"),
    "array": (lambda n: JAX_ARRAYS[0], r"`\w+` float32\[3\], which is no node"),
    "new container": (lambda n: {"a": n.scale}, r"`dict` {'a': <the leaf tree.scale>}, which is no node"),
    "tuple in a tuple": (
        lambda n: ((n.scale, n.note), n.layers),
        r"`tuple` \(<the leaf tree.scale>, .*\), which is no node",
    ),
    "method": (lambda n: n.last, r"`BoundMethod` <bound method .*, which is no node"),
    "of another tree": (lambda n: make_net().layers[0], r"`Layer` Layer\(.*, which is no node"),
    "None of its own": (lambda n: {"a": n.note}.get("b"), r"`NoneType` None, which is no node"),
    "forgotten return": (lambda n: None, r"`NoneType` None, which is no node"),
    "one of several": (lambda n: (n.scale, "a"), r"`str` 'a', which is no node"),
}


@pytest.mark.parametrize("name", NO_NODES)
def test_no_node_of_the_tree(name):
    """What isn't a node of the tree can't be replaced. The error says what it is."""
    where, message = NO_NODES[name]
    with pytest.raises(ValueError, match="`where` returned " + message):
        eqx.tree_at(where, make_net(), replace_fn=lambda x: x)


class Single:
    """A pytree node that exists only once."""


SINGLE = Single()
tree_util.register_pytree_node(Single, lambda single: ((), None), lambda _, children: SINGLE)


def test_node_without_identity():
    """If a node is the same object at several places of the tree, it isn't known which place to replace."""
    tree = [SINGLE, (SINGLE, 1)]
    assert eqx.tree_at(lambda t: t[1], tree, 2) == [SINGLE, 2]
    with pytest.raises(ValueError, match=r"returned a `Single` that is in the tree 2 times, the first at `tree\[0\]`"):
        eqx.tree_at(lambda t: t[1][0], tree, 2)
    assert eqx.tree_at(lambda t: t[0], [SINGLE, 1], 2) == [2, 1]


VALUES = {
    "bool": lambda x: x if x else x,
    "not": operator.not_,
    "equal": lambda x: x == 1,
    "unequal": lambda x: x != 1,
    "less": lambda x: x < 1,
    "greater": lambda x: 1 > x,
    "add": lambda x: x + 1,
    "add from the right": lambda x: 1 + x,
    "numpy add": lambda x: np.ones(2) + x,
    "subtract": lambda x: 1 - x,
    "matmul": lambda x: x @ x,
    "negative": operator.neg,
    "abs": abs,
    "power": lambda x: x**2,
    "divide": lambda x: x / 2,
    "floor divide": lambda x: 2 // x,
    "remainder": lambda x: x % 2,
    "and": lambda x: x & 1,
    "or": lambda x: 1 | x,
    "invert": operator.invert,
    "shift": lambda x: x << 1,
    "item": lambda x: x[0],
    "slice": lambda x: x[:1],
    "length": len,
    "iteration": list,
    "unpacking": lambda x: (*x,),
    "membership": lambda x: 1 in x,
    "call": lambda x: x(1),
    "int": int,
    "float": float,
    "complex": complex,
    "index": lambda x: [1, 2][x],
    "round": round,
    "numpy array": np.asarray,
    "numpy function": np.sum,
    "jax array": jnp.asarray,
    "assignment": lambda x: operator.setitem(x, 0, 1),
}


@pytest.mark.parametrize("name", VALUES)
def test_value_in_where(name):
    """`where` can't use the value of a leaf. The error names the leaf and says what to do."""
    with pytest.raises(TypeError, match=r"used the leaf `tree.layers\[1\].weight`. It must pick nodes by the str"):
        eqx.tree_at(lambda n: VALUES[name](n.layers[1].weight), make_net(), 1)


def test_jax_function_in_where():
    """JAX's functions refuse a placeholder with their own errors."""
    with pytest.raises(TypeError, match="_Placeholder"):
        eqx.tree_at(lambda n: jnp.sin(n.scale), make_net(), 1)


@pytest.mark.parametrize("attribute", ["shape", "dtype", "at", "T", "sum", "__jax_array__", "nonsense"])
def test_attribute_in_where(attribute):
    """`where` can't use an attribute of a leaf. `hasattr` is false."""
    with pytest.raises(AttributeError, match=r"used the leaf `tree.scale`.*It asked for `.{}`".format(attribute)):
        eqx.tree_at(lambda n: getattr(n.scale, attribute), make_net(), 1)
    assert eqx.tree_at(lambda n: n.layers if hasattr(n.scale, attribute) else n.scale, make_net(), 2).scale == 2


PICKED_FOR_BEING_NONE = [
    lambda n: [x.bias for x in n.layers if x.bias is None],
    lambda n: n.layers[1].bias if n.layers[1].bias is None else n.scale,
    lambda n: n.layers[1].bias if n.layers[1].bias is None else n.note,
    lambda n: n.note if n.layers[1].bias is not None else n.layers[1].bias,
    lambda n: (n.scale, n.note, *([n.layers] if n.note is None else [])),
    lambda n: (n.note, *([] if n.note is None else [n.layers])),
]


@pytest.mark.parametrize("where", PICKED_FOR_BEING_NONE)
def test_none_picked_for_being_none(where):
    """`where` can't pick a node because it is `None`: a placeholder replaces it. This is an error."""
    with pytest.raises(
        ValueError, match=r"something else when .* whether the node that it returns is `None`. Pick the"
    ):
        eqx.tree_at(where, make_net(), replace_fn=lambda x: 1)


def _raises(function):
    def asks(x):
        try:
            function(x)
        except Exception:
            return True
        return False

    return asks


# Questions about a leaf. A placeholder answers them too, perhaps with another answer.
QUESTIONS = {
    "isinstance": lambda x: isinstance(x, jnp.ndarray),
    "isinstance of NumPy": lambda x: isinstance(x, np.ndarray),
    "isinstance of bool": lambda x: isinstance(x, bool),
    "is_array": eqx.is_array,
    "is_inexact_array": eqx.is_inexact_array,
    "is_array_like": eqx.is_array_like,
    "is_inexact_array_like": eqx.is_inexact_array_like,
    "hasattr": lambda x: hasattr(x, "ndim"),
    "getattr": lambda x: getattr(x, "shape", None) is not None,
    "callable": callable,
    "type": lambda x: type(x) is int,
    "module": lambda x: type(x).__module__ == "builtins",
    "identity": lambda x: x is False,
    "hash": _raises(hash),
    "length": _raises(len),
    "truth": _raises(bool),
    "addition": _raises(lambda x: x + 1),
    "repr": lambda x: "leaf" in repr(x),
    "leaf": lambda x: tree_util.all_leaves([x]),
}
ARRAY = jnp.ones(2)
TWO_LEAVES = {
    "arrays": (ARRAY, jnp.zeros(2)),
    "one array": (ARRAY, ARRAY),
    "array and number": (ARRAY, 1),
    "NumPy and JAX": (np.ones(2), ARRAY),
    "bools": (False, True),
    "one bool": (False, False),
    "one int": (3, 3),
    "function and array": (jnp.tanh, ARRAY),
    "one function": (jnp.tanh, jnp.tanh),
    "text": ("a", "a"),
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("name", TWO_LEAVES)
def test_right_node_or_an_error(name, question):
    """If `where` uses the leaves, the result is the node that the same question picks by hand, or an error."""
    asks = QUESTIONS[question]
    tree = dict(zip("ab", TWO_LEAVES[name]), c=[False, ARRAY])
    for of in "ab":
        for yes, no in ("ab", "ba"):
            right = yes if asks(tree[of]) else no
            try:
                got = eqx.tree_at(lambda t, of=of, yes=yes, no=no: t[yes] if asks(t[of]) else t[no], tree, "new")
            except (TypeError, ValueError, AttributeError) as error:
                assert "`where`" in str(error)
                assert question != "leaf"
            else:
                assert {key: got[key] for key in "ab"} == dict({key: tree[key] for key in "ab"}, **{right: "new"})


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("name", TWO_LEAVES)
def test_right_nodes_or_an_error(name, question):
    """The same holds if `where` returns all nodes for which a question is true."""
    asks = QUESTIONS[question]
    tree = [*TWO_LEAVES[name], False]
    where = lambda t: [x for x in t if asks(x)]  # noqa: E731
    right = [asks(x) for x in tree]
    try:
        got = eqx.tree_at(where, tree, replace_fn=lambda x: "new")
    except (TypeError, ValueError, AttributeError) as error:
        assert "`where`" in str(error)
    else:
        assert [isinstance(x, str) and x == "new" for x in got] == right


def test_question_about_a_subtree():
    """It is an error to pick a subtree by a question about a leaf inside it or beside it."""
    net = make_net()
    for where in (
        lambda n: n.layers[0] if eqx.is_array(n.layers[0].bias) else n.layers[1],
        lambda n: (n.layers[0], n.scale) if isinstance(n.scale, float) else (n.layers[1], n.scale),
        lambda n: n.layers if eqx.is_array(n.layers[0].weight) else n,
    ):
        with pytest.raises(ValueError, match="must pick nodes by the structure of the tree alone"):
            eqx.tree_at(where, net, replace_fn=lambda x: x)


def test_shared_subtree_keeps_its_places():
    """One layer is at two places. A question about a leaf beside it doesn't pick the other place."""
    layer = make_net().layers[0]
    tree = {"a": layer, "b": layer, "flag": True}
    assert eqx.tree_at(lambda t: t["b"], tree, 0)["a"].weight is layer.weight
    with pytest.raises(ValueError, match=r"returned `tree\['b'\]` when .* something else"):
        eqx.tree_at(lambda t: t["a"] if isinstance(t["flag"], bool) else t["b"], tree, 0)


def test_question_about_a_traced_leaf():
    """The same is an error inside `jit`."""

    @jax.jit
    def function(x):
        with pytest.raises(ValueError, match="something else"):
            eqx.tree_at(lambda t: t[0] if eqx.is_array(t[0]) else t[1], [x, x], 0)
        return eqx.tree_at(lambda t: t[0] if len(t) == 2 else t[1], [x, x], 0)[1]

    assert function(2.0) == 2


def test_error_in_where_is_passed_on():
    """Any other error in `where` reaches the user unchanged."""
    with pytest.raises(KeyError, match="nonsense"):
        eqx.tree_at(lambda t: t["nonsense"], {"a": 1}, 2)
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'nonsense'"):
        eqx.tree_at(lambda n: n.nonsense, make_net(), 2)


def test_static_field():
    """The error names the static field and the call that changes it."""
    linear = eqx.nn.Linear(2, 3, bias=False, key=jax.random.PRNGKey(0))
    mlp = eqx.nn.MLP(2, 2, 4, 1, activation=jnp.tanh, key=jax.random.PRNGKey(0))
    sequential = eqx.nn.Sequential([linear, jnp.tanh])
    for where, tree, place, call in [
        (lambda m: m.in_features, linear, "`tree.in_features`", "`eqx.replace(tree, in_features=...)`"),
        (lambda m: (m.weight, m.out_features), linear, "`tree.out_features`", "`eqx.replace(tree, out_features=...)`"),
        (lambda m: m.activation, mlp, "`tree.activation`", "`eqx.replace(tree, activation=...)`"),
        (lambda m: m[1], sequential, "`tree.layers[1]`", "`eqx.replace(tree, layers=...)`"),
        (lambda m: m.layers, sequential, "`tree.layers`", "`eqx.replace(tree, layers=...)`"),
        (lambda m: [m.layers], sequential, "`tree.layers`", "`eqx.replace(tree, layers=...)`"),
        (lambda m: m.in_size, mlp, "`tree.in_size` or `tree.out_size`", "`eqx.replace(tree, in_size=...)`"),
        (
            lambda t: t["a"][0].activation,
            {"a": [mlp]},
            "`tree['a'][0].activation`",
            "`eqx.tree_at(lambda tree: tree['a'][0], tree, "
            "replace_fn=lambda module: eqx.replace(module, activation=...))`",
        ),
        (  # `activation` is the same function as an item of the tuple
            lambda t: t[1].layers,
            [mlp, sequential],
            "`tree[1].layers`, which",
            "`eqx.tree_at(lambda tree: tree[1], tree, replace_fn=lambda module: eqx.replace(module, layers=...))`",
        ),
    ]:
        with pytest.raises(ValueError, match="`where` returned .* is static or has static items") as error:
            eqx.tree_at(where, tree, replace_fn=lambda x: x)
        assert place in str(error.value) and "Change it with " + call in str(error.value)
    with pytest.raises(ValueError, match="which is no node of the tree"):
        eqx.tree_at(lambda m: jnp.sin, mlp, 1)
