"""What type checkers say of the functions on trees, and of the predicates."""

from typing import Any, Dict, List, Tuple, Union

import jax
import numpy as np
from typing_extensions import assert_type

import equinox as eqx

Tree = Dict[str, float]
tree: Tree = {"a": 1.0}


# They return what they take.

assert_type(eqx.tree_at(lambda t: t["a"], tree, 2.0), Tree)
assert_type(eqx.tree_at(lambda t: t["a"], tree, replace_fn=lambda x: x + 1), Tree)
assert_type(eqx.tree_at(lambda t: (t["a"], t["a"]), tree, replace=(1, 2), is_leaf=lambda x: x is None), Tree)
assert_type(eqx.filter(tree, eqx.is_array), Tree)
assert_type(eqx.filter(tree, {"a": True}, inverse=True, replace=0.0), Tree)
assert_type(eqx.partition(tree, eqx.is_array), Tuple[Tree, Tree])
assert_type(eqx.combine(tree, tree), Tree)
assert_type(eqx.apply_updates(tree, {"a": None}), Tree)
assert_type(eqx.tree_equal(tree, tree, 3), bool)
assert_type(eqx.tree_equal(tree, tree, typematch=True, rtol=1e-3, atol=1), bool)

eqx.tree_at(lambda t: t.b, tree, 2.0)  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]
eqx.tree_at(lambda t: t["a"], tree)  # error: mypy[call-overload] pyright[reportCallIssue]
eqx.tree_at("a", tree, 2.0)  # error: mypy[call-overload] pyright[reportArgumentType]
eqx.tree_at(lambda t: t["a"], tree, 1.0, replace_fn=abs)  # error: mypy[call-overload] pyright[reportCallIssue]
eqx.filter(tree)  # error: mypy[call-arg] pyright[reportCallIssue]
eqx.filter(tree, eqx.is_array, inverse="yes")  # error: mypy[arg-type] pyright[reportArgumentType]
eqx.partition(tree, eqx.is_array, is_leaf=True)  # error: mypy[arg-type] pyright[reportArgumentType]
eqx.tree_equal(tree, tree, rtol="much")  # error: mypy[arg-type] pyright[reportArgumentType]
eqx.apply_updates(tree)  # error: mypy[call-arg] pyright[reportCallIssue]


# Nodes.

assert_type(eqx.tree_inference(tree, True), Tree)
assert_type(eqx.tree_flatten_one_level(tree)[0], List[Any])
eqx.tree_check(tree)

eqx.tree_inference(tree, "yes")  # error: mypy[arg-type] pyright[reportArgumentType]
eqx.tree_flatten_one_level(tree, 1)  # error: mypy[call-arg] pyright[reportCallIssue]
eqx.tree_check()  # error: mypy[call-arg] pyright[reportCallIssue]


# Paths.

assert_type(eqx.named_leaves(tree), List[Tuple[str, Any]])
assert_type(eqx.tree_at(eqx.select(tree, "*.weight"), tree, replace_fn=abs), Tree)
assert_type(eqx.select(tree, (int, float))[0], str)
assert_type(len(eqx.select(tree, lambda node: node is None)), int)

eqx.select(tree, 3)  # error: mypy[arg-type] pyright[reportArgumentType]
eqx.named_leaves(tree, 3)  # error: mypy[arg-type] pyright[reportArgumentType]


# Names.

assert_type(eqx.to_dict(tree), Dict[str, Any])
eqx.to_dict(tree, eqx.is_inexact_array, sep="/")
assert_type(eqx.from_dict(tree, {"a": 1}, rename={"a*": "b*", "c": None}, sep="/"), Tree)
assert_type(eqx.from_dict(tree, {"a": 1}, rename=str.lower, strict=False), Tuple[Tree, Dict[str, Any]])
assert_type(eqx.from_dict(tree, {"a": 1}, strict=bool(tree)), Any)
eqx.from_dict(tree, {"a": 1}, rename=eqx.nn.torch_names(tree))
assert_type(eqx.to_dict(tree, rename=eqx.nn.torch_names(tree)), Dict[str, Any])

eqx.to_dict(tree, sep=1)  # error: mypy[arg-type] pyright[reportArgumentType]
eqx.to_dict(tree, rename=str.lower)  # error: mypy[arg-type] pyright[reportArgumentType]
eqx.from_dict(tree, [1])  # error: mypy[call-overload] pyright[reportCallIssue,reportArgumentType]
eqx.from_dict(tree, {}, rename=1)  # error: mypy[call-overload] pyright[reportCallIssue,reportArgumentType]


# Files.

eqx.save("path", tree, metadata={"width": 8})
assert_type(eqx.load_metadata("path"), Dict[str, Any])
assert_type(eqx.load("path"), Dict[str, Any])
assert_type(eqx.load("path", tree, rename={"*": "a.*"}), Tree)
assert_type(eqx.load("path", tree, strict=False, sep="/"), Tuple[Tree, Dict[str, Any]])

eqx.save("path")  # error: mypy[call-arg] pyright[reportCallIssue]
eqx.save("path", tree, metadata=[1])  # error: mypy[arg-type] pyright[reportArgumentType]
eqx.load(1)  # error: mypy[call-overload] pyright[reportCallIssue,reportArgumentType]

eqx.tree_serialise_leaves("path", tree, eqx.default_serialise_filter_spec)
assert_type(eqx.tree_deserialise_leaves("path", tree), Tree)

eqx.tree_serialise_leaves(1, tree)  # error: mypy[arg-type] pyright[reportArgumentType]


# Text.

assert_type(eqx.tree_pformat(tree, width=60, indent=4, truncate_leaf=callable), str)
eqx.tree_pprint(tree, short_arrays=False, struct_as_array=True)

eqx.tree_pformat(tree, 60)  # error: mypy[misc] pyright[reportCallIssue]
eqx.tree_pprint(tree, width="60")  # error: mypy[arg-type] pyright[reportArgumentType]


# Predicates.


def narrow(x: Any, y: Union[str, jax.Array]) -> List[bool]:
    if eqx.is_inexact_array(y):
        assert_type(y, jax.Array)
    if eqx.is_array(x):
        assert_type(x.ndim, int)
        print(x.dimensions)  # error: mypy[union-attr] pyright[reportAttributeAccessIssue]
    assert_type(eqx.is_array_like(x), bool)
    return [eqx.is_array(x), eqx.is_inexact_array(x), eqx.is_inexact_array_like(x)]


eqx.is_array()  # error: mypy[call-arg] pyright[reportCallIssue]
eqx.is_array(np.ones(2), 3)  # error: mypy[call-arg] pyright[reportCallIssue]
