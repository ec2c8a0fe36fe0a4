"""State: arrays that a layer updates at each call, such as the running statistics of `BatchNorm`.

A module never changes, so such arrays are kept beside the model, in a `State`. The whole idea:

1. A layer with state holds a `StateIndex`, made with the first value.
2. `make_with_state(Model)(...)` makes the model, takes the first values out of it and returns `(model, state)`.
   The index keeps the path of its first place in the model. The path is the key of the value in the state, so the
   models that a class makes have the same structure and errors name the layer.
3. A layer reads with `state.get(index)`. It writes with `state.set(index, value)`, which returns a new state.
4. Each call takes the state and returns the new one: `y, state = layer(x, state)`.
5. Writing spends the state: the old one can't be used again. So a layer that isn't passed the newest state is an
   error, not a lost update.
6. A state is a pytree with a dictionary of values. All transformations take it and return it.
"""

from __future__ import annotations

import collections
import functools
import os
import sys
import uuid
from typing import Any, Callable, Dict, List, Optional, Tuple

import jax.numpy as jnp
from jax import lax, tree_util

from .. import _compat
from .._compat.types import P, PyTree, T
from .._module import Module, field
from .._module.replace import replace_unchecked
from .._trees.paths import describe_leaf, first_difference, leaf_paths, named_leaves
from .._trees.predicates import is_array_like
from ._checks import in_words

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class _NoPath(str):
    """The key of an index that `make_with_state` hasn't walked to: a unique text. `State(model)` adds the path."""

    path: Optional[str] = None

    def __repr__(self) -> str:
        """The key in the names of the leaves of a state, as in `to_dict`. It is the path, if there is one."""
        return repr(str(self) if self.path is None else self.path)


def _path(key: str) -> str:
    """The path of an index in the model, from its key in a state."""
    return getattr(key, "path", key)


class StateIndex(Module):
    """Stand in a layer for a value that is kept in a `State`.

    If one index is in two places of a model, as in a layer that is used twice, the value is kept once.

    Args:
        init: The first value: an array, or any pytree of arrays. Numbers become arrays.

    Raises:
        TypeError: A leaf of `init` is no array.
        ValueError: `init` has no leaves.

    Example:
        >>> class Counter(eqx.nn.StatefulLayer):
        ...     count: eqx.nn.StateIndex
        ...
        ...     def __init__(self):
        ...         self.count = eqx.nn.StateIndex(jnp.array(0))
        ...
        ...     def __call__(self, x, state, *, key=None):
        ...         count = state.get(self.count)
        ...         return x * count, state.set(self.count, count + 1)
        >>> counter, state = eqx.nn.make_with_state(Counter)()
        >>> y, state = counter(2, state)
        >>> y, state = counter(2, state)
        >>> int(y), int(state.get(counter.count))
        (2, 2)
    """

    init: Any = field(trainable=False)
    key: str = field(static=True)

    def __init__(self, init: PyTree) -> None:
        for path, leaf in named_leaves(init, "init"):
            if not is_array_like(leaf):
                raise TypeError("`StateIndex` expects `{}` to be an array, got {}.".format(path, in_words(leaf)))
        self.init = tree_util.tree_map(_as_array, init)
        if not tree_util.tree_leaves(self.init):
            raise ValueError("`StateIndex` expects `init` to hold at least one array, got {}.".format(in_words(init)))
        self.key = _NoPath(uuid.uuid4().hex)


def _as_array(x: Any) -> Any:
    """`x` as an array whose dtype isn't weak. So the carry of a loop keeps its type when the value is replaced."""
    x = jnp.asarray(x)
    return lax.convert_element_type(x, x.dtype) if jnp.issubdtype(x.dtype, jnp.number) else x


class State:
    """Keep the values of all `StateIndex`es of a model. It is a pytree.

    Usually `make_with_state` makes it. `State(model)` makes it for a model that still has its first values.

    `set` and `update` return a new state and spend the old one. A spent state can't be used again, also not as the
    argument of a transformation. A function that was transformed spends its own copy.

    Args:
        model: The model. It isn't changed. Use `delete_init_state` to take the first values out of it.

    Raises:
        ValueError: The first values were taken out of `model`.

    Example:
        >>> model = [eqx.nn.StateIndex(0), eqx.nn.StateIndex(jnp.ones(3))]
        >>> state = eqx.nn.State(model)
        >>> model = eqx.nn.delete_init_state(model)
        >>> state.get(model[1]).tolist()
        [1.0, 1.0, 1.0]
    """

    __slots__ = ("_spent", "_values")
    __marks__ = (("", False),)  # a state isn't trained: see `trainable`

    _values: Dict[str, Any]
    _spent: Optional[str]

    def __init__(self, model: PyTree) -> None:
        values = {}
        for path, index in _indices(model):
            if index.init is None:
                raise ValueError(
                    "`State` expects a model that has its first values, but `{}` has none: `make_with_state` or "
                    "`delete_init_state` took them out. Use the state that `make_with_state` returned.".format(path)
                )
            key = index.key
            if isinstance(key, _NoPath):
                key = _NoPath(key)
                key.path = path
            values[key] = index.init
        self._values, self._spent = values, None

    def get(self, item: StateIndex) -> Any:
        """Return the value of an index.

        Args:
            item: A `StateIndex` of the model.

        Returns:
            The value that was set last. Before that, the first value.

        Raises:
            ValueError: The state is spent.
            ValueError: The state has no value for `item`: it belongs to another model.
            TypeError: `item` is no `StateIndex`.

        Example:
            >>> index, state = eqx.nn.make_with_state(eqx.nn.StateIndex)(3)
            >>> int(state.get(index))
            3
        """
        return self._unspent()[self._key(item, "get")]

    def set(self, item: StateIndex, value: PyTree) -> State:
        """Make a state with another value of an index. This state is spent.

        Args:
            item: A `StateIndex` of the model.
            value: The new value. It has the structure, shapes and dtypes of the value before.

        Returns:
            The new state.

        Raises:
            ValueError: The state is spent.
            ValueError: The state has no value for `item`: it belongs to another model.
            ValueError: `value` has another structure, or an array of another shape or dtype.
            TypeError: `item` is no `StateIndex`.
            TypeError: A leaf of `value` is no array.

        Example:
            >>> index, state = eqx.nn.make_with_state(eqx.nn.StateIndex)(3)
            >>> state = state.set(index, 5)
            >>> int(state.get(index))
            5
        """
        values = self._unspent()
        key = self._key(item, "set")
        values = dict(values)
        values[key] = _like(values[key], value, _path(key))
        return self._spend(values, "`set` of `{}`".format(_path(key)))

    def substate(self, model: PyTree) -> State:
        """Make a state of the values of a part of the model. This state isn't spent.

        Args:
            model: A part of the model, such as a layer.

        Returns:
            A state with the values of the indices in `model` only.

        Raises:
            ValueError: The state is spent.
            ValueError: The state has no value for an index in `model`.

        Example:
            >>> model, state = eqx.nn.make_with_state(lambda: [eqx.nn.StateIndex(1), eqx.nn.StateIndex(2)])()
            >>> jax.tree_util.tree_map(int, state.substate(model[1])).get(model[1])
            2
        """
        values = self._unspent()
        keys = {self._key(index, "substate") for _, index in _indices(model)}
        return _new_state({key: value for key, value in values.items() if key in keys})

    def update(self, substate: State) -> State:
        """Make a state with the values of another one, such as one that `substate` made. This state is spent.

        Args:
            substate: A state for a part of the model. It isn't spent.

        Returns:
            The new state.

        Raises:
            ValueError: One of the states is spent.
            ValueError: This state lacks a value that `substate` has.
            ValueError: A value has another structure, shape or dtype than here.
            TypeError: `substate` is no `State`.

        Example:
            >>> model, state = eqx.nn.make_with_state(lambda: [eqx.nn.StateIndex(1), eqx.nn.StateIndex(2)])()
            >>> part = state.substate(model[1])
            >>> state = state.update(part.set(model[1], 5))
            >>> [int(state.get(index)) for index in model]
            [1, 5]
        """
        if not isinstance(substate, State):
            raise TypeError("`State.update` expects `substate` to be a `State`, got {}.".format(in_words(substate)))
        values = dict(self._unspent())
        for key, value in substate._unspent().items():
            if key not in values:
                raise ValueError(self._unknown(key, "update"))
            values[key] = _like(values[key], value, _path(key))
        return self._spend(values, "`update`")

    def _copy(self) -> State:
        """A state with the same values. A call of several layers works with it, and ends with `_follow`."""
        return _new_state(self._unspent())

    def _follow(self, copy: State, last: State) -> State:
        """Give the result of a call that began with `copy` and ended with `last`. Only now this state is spent.

        So a call that fails in between doesn't spend it.
        """
        if last is copy:
            return self
        self._spent, self._values = copy._spent, copy._values
        return last

    def __repr__(self) -> str:
        if self._spent is not None:
            return "State(spent by {})".format(self._spent)
        return "State({})".format(
            ", ".join(
                "{}={}".format(path, describe_leaf(leaf).split("` ")[-1])
                for key, value in sorted(self._values.items())
                for path, leaf in named_leaves(value, _path(key))
            )
        )

    def _unspent(self) -> Dict[str, Any]:
        if self._spent is not None:
            raise ValueError(
                "This `State` is spent, by {}. Use the state that it returned, as in `y, state = layer(x, state)`: "
                "pass each layer the state that the layer before returned.".format(self._spent)
            )
        return self._values

    def _spend(self, values: Dict[str, Any], by: str) -> State:
        self._spent = by + _where()
        self._values = {}
        return _new_state(values)

    def _key(self, item: Any, method: str) -> str:
        if not isinstance(item, StateIndex):
            raise TypeError("`State.{}` expects a `StateIndex`, got {}.".format(method, in_words(item)))
        if item.key not in self._values:
            raise ValueError(self._unknown(item.key, method))
        return next(key for key in self._values if key == item.key) if isinstance(item.key, _NoPath) else item.key

    def _unknown(self, key: str, method: str) -> str:
        path = getattr(key, "path", key)
        known = ", ".join("`{}`".format(_path(key)) for key in sorted(self._values))
        return (
            "`State.{}` got {}, for which the state has no value. It is the state of another model: it has {}. Use the "
            "model and the state that one call of `make_with_state` returned.".format(
                method, "an index without a path" if path is None else "`{}`".format(path), known or "no values"
            )
        )


def as_state(state: Any, layer: str) -> State:
    """`state`, the argument of the call of `layer`, as a `State`."""
    how = "Make model and state with `eqx.nn.make_with_state`, and call `y, state = layer(..., state=state)`."
    if state is None:
        raise ValueError("`{}` needs a state. {}".format(layer, how))
    if not isinstance(state, State):
        raise TypeError("`{}` expects `state` to be a `State`, got {}. {}".format(layer, in_words(state), how))
    return state


SHARE_STATE = (
    "A `jax.vmap` added an axis to the state. A batch shares one state: `{}`. In an ensemble each model has its own "
    "state: map over it too."
)


def value_for(state: State, index: StateIndex, shapes: PyTree, layer: str, next_move: str) -> Any:
    """The value of `index` in the state of a call of `layer`. Its arrays are checked to have the expected shapes.

    Args:
        state: The state.
        index: The index that the layer holds.
        shapes: A tree of shapes, with the structure of the value.
        layer: The name of the layer.
        next_move: What to do if the arrays have an additional axis, as `jax.vmap` adds it.
    """
    value = state.get(index)
    expected = tree_util.tree_flatten(shapes, is_leaf=_is_shape)[0]
    leaves = named_leaves(value, _path(state._key(index, "get")))
    for (path, leaf), shape in zip(leaves, expected):
        if leaf.shape != shape:
            if leaf.shape[max(len(leaf.shape) - len(shape), 1) :] != shape:
                next_move = (
                    "It is the state of another model. Use the model and the state that one call of `make_with_state` "
                    "returned."
                )
            else:
                next_move += " A `Stacked` keeps the states of its layers together: call it, not one of its layers."
            raise ValueError(
                "`{}` expects `{}` in the state to have shape {}, got {}. {}".format(
                    layer, path, shape, leaf.shape, next_move
                )
            )
    return value


def _is_shape(x: Any) -> bool:
    return isinstance(x, tuple) and all(isinstance(n, int) for n in x)


def _new_state(values: Any) -> State:
    state = object.__new__(State)
    state._values, state._spent = values, None
    return state


def _flatten(state: State) -> Tuple[Tuple[Dict[str, Any]], None]:
    return (_in_order(state),), None


def _in_order(state: State) -> Dict[str, Any]:
    """The values in the order of the model, as in the published Equinox. JAX sorts the keys of a `dict`."""
    return collections.OrderedDict(state._unspent())


_compat.register_node(
    State,
    lambda state: ([("values", _in_order(state))], None),
    _flatten,
    lambda _, children: _new_state(children[0]),
)


def _like(old: PyTree, new: PyTree, path: str) -> PyTree:
    """`new`, whose structure, shapes and dtypes are checked to be those of `old`."""
    old_leaves, structure = tree_util.tree_flatten(old)
    leaves, new_structure = tree_util.tree_flatten(new)
    if structure != new_structure:
        where, expected, got = first_difference(old, new, path) or (path, str(structure), str(new_structure))
        raise ValueError("The state expects `{}` to be {}, got {}.".format(where, expected, got))
    return structure.unflatten([_like_leaf(a, b, new, i, path) for i, (a, b) in enumerate(zip(old_leaves, leaves))])


def _like_leaf(old: Any, new: Any, tree: PyTree, i: int, path: str) -> Any:
    """`new`, the leaf number `i` of `tree`, as an array of the shape and dtype of `old`."""
    if isinstance(new, (bool, int, float, complex)):
        new = jnp.asarray(new, old.dtype) if jnp.result_type(old.dtype, new) == old.dtype else new
    if not hasattr(new, "dtype"):
        path = leaf_paths(tree, path)[i]
        raise TypeError("The state expects `{}` to be an array of {}, got {}.".format(path, old.dtype, in_words(new)))
    if hasattr(old, "dtype") and (new.shape, new.dtype) != (old.shape, old.dtype):
        raise ValueError(
            "The state expects `{}` to be {}, as before, got {}.".format(
                leaf_paths(tree, path)[i], describe_leaf(old), describe_leaf(new)
            )
        )
    return _as_array(new) if getattr(new, "weak_type", False) else new


def _where() -> str:
    """The place of the call in the user's code."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return "" if frame is None else " at {}:{}".format(frame.f_code.co_filename, frame.f_lineno)


def _is_index(x: Any) -> bool:
    return isinstance(x, StateIndex)


def _indices(model: PyTree) -> List[Tuple[str, StateIndex]]:
    """The indices in a model, each once, with the path of its first place."""
    found: Dict[str, Tuple[str, StateIndex]] = {}
    for path, leaf in named_leaves(model, "model", is_leaf=_is_index):
        if _is_index(leaf):
            found.setdefault(leaf.key, (path, leaf))
    return list(found.values())


def _without_init(model: T, names: Dict[str, str]) -> T:
    def change(x: Any) -> Any:
        return replace_unchecked(x, {"init": None, "key": names.get(x.key, x.key)}) if _is_index(x) else x

    return tree_util.tree_map(change, model, is_leaf=_is_index)


def delete_init_state(model: T) -> T:
    """Take the first values of the state out of a model, so that they aren't kept twice.

    `make_with_state` does it already. It is of use after `State(model)`.

    Args:
        model: A model, or any pytree.

    Returns:
        The model, in which no `StateIndex` has a first value.

    Example:
        >>> index = eqx.nn.StateIndex(jnp.ones(3))
        >>> state = eqx.nn.State(index)
        >>> print(eqx.nn.delete_init_state(index).init)
        None
    """
    return _without_init(model, {})


def make_with_state(make_model: Callable[P, T]) -> Callable[P, Tuple[T, State]]:
    """Make a model and its state.

    The models that one class makes with the same arguments have the same structure. So a compiled function is used for
    all of them. Each has its own state.

    Args:
        make_model: The class of the model, or a function that makes it.

    Returns:
        A function of the same arguments that returns `(model, state)`. Use `eqx.filter_vmap` on it for an ensemble.

    Raises:
        TypeError: `make_model` can't be called.
        ValueError: A part of the model was made by `make_with_state` itself. This is raised by the function.

    Example:
        >>> index, state = eqx.nn.make_with_state(eqx.nn.StateIndex)(jnp.ones(3))
        >>> state = state.set(index, jnp.zeros(3))
    """
    if not callable(make_model):
        raise TypeError(
            "`make_with_state` expects `make_model` to be a class of models or another callable, got {}.".format(
                in_words(make_model)
            )
        )

    @functools.wraps(make_model, assigned=("__module__", "__name__", "__qualname__", "__doc__"), updated=())
    def make(*args: P.args, **kwargs: P.kwargs) -> Tuple[T, State]:
        model = make_model(*args, **kwargs)
        state = State(model)
        names = {key: _path(key) for key in state._values}
        return _without_init(model, names), _new_state({names[key]: value for key, value in state._values.items()})

    return make


class StatefulLayer(Module):
    """A base class for layers whose call takes and returns a `State`: `y, state = layer(x, state, key=key)`.

    `Sequential` passes its state through such layers. A subclass that only sometimes has state overrides
    `is_stateful`.

    Example:
        >>> class Count(eqx.nn.StatefulLayer):
        ...     index: eqx.nn.StateIndex
        ...
        ...     def __call__(self, x, state, *, key=None):
        ...         return x, state.set(self.index, state.get(self.index) + 1)
        >>> model, state = eqx.nn.make_with_state(lambda: Count(eqx.nn.StateIndex(0)))()
        >>> y, state = model(1.0, state)
    """

    def is_stateful(self) -> bool:
        """Say whether the call takes and returns a state.

        Returns:
            `True`, if a subclass doesn't override it.

        Example:
            >>> class Count(eqx.nn.StatefulLayer):
            ...     index: eqx.nn.StateIndex
            >>> Count(eqx.nn.StateIndex(0)).is_stateful()
            True
        """
        return True


def is_stateful(layer: Any) -> bool:
    """Whether a call of `layer` takes and returns a state."""
    return isinstance(layer, StatefulLayer) and layer.is_stateful()
