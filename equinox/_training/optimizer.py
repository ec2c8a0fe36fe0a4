"""`Optimizer`: an Optax transformation with its state, for the trained leaves of a model."""

from __future__ import annotations

import functools as ft
from typing import Any, List, Tuple

import jax.numpy as jnp
from jax import tree_util

from .._compat.types import FilterSpec, PyTree, T
from .._module import Module, field
from .._module.replace import replace_unchecked
from .._trees.partition import combine
from .._trees.paths import describe_leaf, first_difference, leaf_paths
from .._trees.predicates import is_array_or_shape, is_inexact_array_like, is_inexact_dtype, is_jax_array, is_none
from .._trees.prefix import mismatch
from .._trees.selection import mask
from .._trees.trainable import trainable
from .._trees.update import apply_updates


class _Trained:
    """Which leaves of a model are trained. It can be compared and hashed, so it is static.

    Args:
        tree: The model with a bool for each leaf. Unlike a `PyTreeDef` it can be pickled, and an error can name its
            paths.
    """

    __slots__ = ("selected", "structure", "tree")

    def __init__(self, tree: PyTree) -> None:
        self.tree = tree
        self.selected, self.structure = tree_util.tree_flatten(tree)

    def __eq__(self, other: Any) -> bool:
        if self is other:
            return True
        return type(other) is _Trained and self.selected == other.selected and self.structure == other.structure

    def __hash__(self) -> int:
        return hash(tuple(self.selected))

    def __reduce__(self) -> Any:
        return _Trained, (self.tree,)

    def __repr__(self) -> str:
        return "<{} of {} leaves>".format(sum(self.selected), len(self.selected))


class Optimizer(Module):
    """Keep an Optax transformation, its state, and the choice of the leaves that it trains.

    It is a module, so it goes through `filter_jit`, `filter_vmap`, `filter_scan` and donation like the model. Its
    leaves are those of the state, so a checkpoint saves it like the model, too.

    Optax sees a tree of the structure of the model, with `None` for the leaves that aren't trained. So they get no
    update, no weight decay and no state. A function that Optax calls with the parameters, such as `mask` of
    `optax.masked`, gets such a tree. The second example chooses a transformation by the paths of the leaves. Give Optax
    a function there, not a tree: Optax would call a tree that has the method `__call__` of a model. Before 0.2.4 Optax
    also calls what such a function returns. There keep the model in a list, `[model]`, if you use masks or labels.

    JAX's gradient of a real loss with respect to complex parameters points in the conjugate of the direction of the
    steepest ascent. `step` conjugates it before Optax gets it, so don't conjugate it yourself. For example, 20 steps of
    `optax.sgd(0.1)` on `abs(z - 1j) ** 2` bring the distance from 1 to 0.012. Without the conjugation it becomes 38.

    Args:
        transform: An Optax transformation, such as `optax.adamw(1e-3)`. Any object with methods `init` and `update` of
            the same meaning works. It is static: make it once, because a new one is compiled again.
        model: The model. It isn't kept.
        wrt: Which leaves are trained: a filter specification, as for `partition`. It is asked once, here.

    Raises:
        TypeError: `transform` has no `init` and `update`.
        TypeError: A leaf of `wrt` is no bool and no function.
        TypeError: `wrt` selects a leaf that is no floating-point or complex array or number.
        ValueError: The structure of `wrt` isn't a prefix of that of `model`.
        ValueError: `wrt` selects no leaf.

    Example:
        >>> import optax
        >>> model = eqx.nn.MLP(3, 2, width_size=8, depth=1, key=jax.random.PRNGKey(0))
        >>> model = eqx.freeze(model, lambda model: model.layers[0])
        >>> optimizer = eqx.Optimizer(optax.adamw(1e-3), model)
        >>> @eqx.filter_jit
        ... def train(model, optimizer, x):
        ...     loss = lambda model: jnp.sum(model(x) ** 2)
        ...     grads = eqx.gradf(loss, filter_fn=eqx.trainable)(model)
        ...     return optimizer.step(model, grads)
        >>> new, optimizer = train(model, optimizer, jnp.ones(3))
        >>> [bool((a != b).any()) for a, b in zip(jax.tree_util.tree_leaves(model), jax.tree_util.tree_leaves(new))]
        [False, False, True, True]

        >>> def labels(params):
        ...     names = ["bias" if path.endswith("bias") else "other" for path, _ in eqx.named_leaves(params)]
        ...     return jax.tree_util.tree_structure(params).unflatten(names)
        >>> transform = optax.multi_transform({"bias": optax.sgd(0.1), "other": optax.adamw(1e-3)}, labels)
        >>> optimizer = eqx.Optimizer(transform, [model])  # the list is needed before Optax 0.2.4, see above
    """

    state: Any = field(trainable=False)
    transform: Any = field(static=True)
    trained: _Trained = field(static=True)

    def __init__(self, transform: Any, model: PyTree, wrt: FilterSpec = trainable) -> None:
        for name in ("init", "update"):
            if not callable(getattr(transform, name, None)):
                raise TypeError(
                    "`Optimizer` expects `transform` to be an Optax transformation, such as `optax.adam(1e-3)`. It has "
                    "no function `{}`: {}.".format(name, describe_leaf(transform))
                )
        leaves, treedef = tree_util.tree_flatten(model)
        selected = mask(leaves, treedef, wrt, "wrt")
        if selected is None:
            raise ValueError(
                "`Optimizer` expects `wrt` to have the structure of `model`, or of a prefix of it. {}".format(
                    mismatch(model, wrt, "model")
                )
            )
        _check_selected(model, leaves, selected)
        params = treedef.unflatten([x if s else None for x, s in zip(leaves, selected)])
        self.transform = transform
        self.trained = _Trained(treedef.unflatten(selected))
        self.state = _without_repeats(transform.init(params), leaves)

    def step(self, model: T, grads: PyTree, **extra: Any) -> Tuple[T, Optimizer]:
        """Update the model by one step.

        Args:
            model: The model. It has the structure that it had when the optimiser was made.
            grads: The gradients, as `filter_grad` or `gradf` return them. It is a tree of the structure of `model`. The
                gradients of leaves that aren't trained are ignored, and may be `None`.
            **extra: What `update` of the transformation takes in addition, such as `value`, `grad` and `value_fn` of
                `optax.lbfgs`. A tree of the structure of the model holds gradients: it is filtered and conjugated as
                `grads` is. A function gets the model, where Optax calls it with the parameters.

        Returns:
            The new model and the new optimiser.

        Raises:
            ValueError: `model` has another structure than the one that the optimiser was made for.
            ValueError: `grads` has another structure than `model`, or a gradient has another shape than its leaf.
            ValueError: The gradient of a trained leaf is `None`.
            TypeError: A leaf and its update can't be added.

        Example:
            >>> import optax
            >>> model = {"weight": jnp.ones(2), "activation": jnp.tanh}
            >>> optimizer = eqx.Optimizer(optax.sgd(0.5), model)
            >>> grads = eqx.filter_grad(lambda model: jnp.sum(model["weight"]))(model)
            >>> model, optimizer = optimizer.step(model, grads)
            >>> model["weight"].tolist()
            [0.5, 0.5]
        """
        leaves, treedef = tree_util.tree_flatten(model)
        self._check_model(model, treedef)
        params = self._select(leaves, treedef)
        ascent = self._ascent(self._gradients(grads, model, leaves, treedef), treedef)
        extra = {name: self._for_optax(x, leaves, treedef) for name, x in extra.items()}
        updates, state = self.transform.update(ascent, self.state, params, **extra)
        return apply_updates(model, updates), replace_unchecked(self, {"state": state})

    def _select(self, leaves: List[Any], treedef: Any) -> PyTree:
        """The tree that Optax sees."""
        return treedef.unflatten([x if s else None for x, s in zip(leaves, self.trained.selected)])

    def _ascent(self, gradients: List[Any], treedef: Any) -> PyTree:
        """The direction of the steepest ascent: the gradients that Optax sees."""
        return self._select([jnp.conj(g) if jnp.iscomplexobj(g) else g for g in gradients], treedef)

    def _for_optax(self, x: Any, leaves: List[Any], treedef: Any) -> Any:
        """An extra argument as Optax needs it."""
        is_function = callable(x) and tree_util.all_leaves([x])
        gradients = None if is_function else _leaves_like(x, treedef)
        if gradients is not None:
            return self._ascent(gradients, treedef)
        if not callable(x):
            return x
        others = treedef.unflatten([None if s else leaf for leaf, s in zip(leaves, self.trained.selected)])

        @ft.wraps(x)  # Optax reads the names of the parameters
        def function(params, *args, **kwargs):
            return x(combine(params, others), *args, **kwargs)

        return function

    def _check_model(self, model: PyTree, treedef: Any) -> None:
        if treedef == self.trained.structure:
            return
        path, expected, got = first_difference(self.trained.tree, model, "model")
        if expected.startswith("a leaf"):
            expected = "a leaf"  # only its place is known, not its type
        raise ValueError(
            "`Optimizer.step` expects the model to have the structure that it had when the optimiser was made. At "
            "`{}` expected {}, got {}. If the change is intended, as by `freeze`, make a new `Optimizer`.".format(
                path, expected, got
            )
        )

    def _gradients(self, grads: PyTree, model: PyTree, leaves: List[Any], treedef: Any) -> List[Any]:
        """The gradient of each leaf, or `None`."""
        gradients = _leaves_like(grads, treedef)
        if gradients is None:
            path, expected, got = first_difference(model, grads, "grads", covers=is_none)
            raise ValueError(
                "`Optimizer.step` expects `grads` to have the structure of `model`. At `{}` expected {}, got "
                "{}.".format(path, expected, got)
            )
        for i, (leaf, g, selected) in enumerate(zip(leaves, gradients, self.trained.selected)):
            if selected and (g is None or jnp.shape(g) != jnp.shape(leaf)):
                raise ValueError(
                    "`Optimizer.step` expects a gradient of shape {} for the trained leaf `{}`, got {}. Differentiate "
                    "with the filter that is `wrt` of the optimiser, as `gradf(..., filter_fn=eqx.trainable)` "
                    "does.".format(
                        jnp.shape(leaf), leaf_paths(model, "model")[i], "`None`" if g is None else describe_leaf(g)
                    )
                )
        return gradients


def _leaves_like(tree, treedef):
    """For each leaf of `treedef` the leaf of `tree`, or `None`. Nothing if `tree` has another structure."""
    try:
        nodes = treedef.flatten_up_to(tree)
    except ValueError:
        return None
    return nodes if tree_util.all_leaves([x for x in nodes if x is not None]) else None


def _check_selected(model, leaves, selected):
    if not any(selected):
        raise ValueError("`Optimizer` expects `wrt` to select at least one leaf of `model`, but it selects none.")
    for i, (leaf, s) in enumerate(zip(leaves, selected)):
        if s and not (is_inexact_dtype(leaf.dtype) if is_array_or_shape(leaf) else is_inexact_array_like(leaf)):
            raise TypeError(
                "`Optimizer` can't train the leaf `{}`: expected a floating-point array, got {}. Let `wrt` leave it "
                "out, as `eqx.trainable` does.".format(leaf_paths(model, "model")[i], describe_leaf(leaf))
            )


def _without_repeats(state, leaves):
    """Copy the arrays of `state` that occur twice, or in the model. The same array can't be donated twice."""
    seen = set(map(id, leaves))

    def copy(x):
        if is_jax_array(x) and id(x) in seen:
            x = jnp.array(x)
        seen.add(id(x))
        return x

    return tree_util.tree_map(copy, state)
