"""`replace`: a copy of a module with some of its fields changed."""

from __future__ import annotations

from typing import Any, TypeVar

from .._trees.layout import layout_of
from .._trees.paths import describe_leaf
from .construction import assignable, finish, set_field
from .flattening import set_marks
from .forwards_keywords import forwards_keywords
from .module import Module
from .pickling import get_state, new_module
from .static_fields import decide, places_of

M = TypeVar("M", bound=Module)


@forwards_keywords
def replace(__module: M, **fields: Any) -> M:
    """Copy a module with some of its fields changed. The fields may be static.

    Each new value is treated as in the construction of a module: it is converted and checked, and the option `static`
    of its field decides whether it is data or structure. `__check_init__` runs. `__init__` doesn't run, so every field
    can be changed. The other fields keep their values. `tree_at` changes leaves at any depth without these checks.

    Args:
        module: The module. It isn't changed.
        **fields: The new values, by the names of the fields. A field may have the name `module`.

    Returns:
        A new module of the same class.

    Raises:
        TypeError: `module` is no module.
        TypeError: The module has no field of this name.
        TypeError: The new value of a static field holds an array or can't be hashed.
        ValueError: Another field has no value, so the module isn't complete.

    Example:
        >>> mlp = eqx.nn.MLP(3, 2, width_size=8, depth=1, key=jax.random.PRNGKey(0))
        >>> eqx.replace(mlp, activation=jnp.tanh).activation is jnp.tanh
        True
    """
    layout = layout_of(__module)
    if layout is None:
        raise TypeError("`replace` expects a module, got {}.".format(describe_leaf(__module)))
    unknown = [name for name in fields if name not in layout.names]
    if unknown:
        raise TypeError(
            "`replace` got {}, but `{}` has no such field. Its fields are: {}.".format(
                ", ".join("`{}`".format(name) for name in unknown),
                type(__module).__name__,
                ", ".join("`{}`".format(name) for name in layout.dynamic + layout.static) or "none",
            )
        )
    new = _copy(__module, {name: x for name, x in places_of(__module).items() if name not in fields})
    with assignable(new):
        for name, value in fields.items():
            set_field(new, name, value)
        finish(new)
    for check in layout.checks:
        check(new)
    return new


def select_items(module, name, index):
    """Copy `module` with a slice of the tuple in the field `name`: `value[index]` instead of `value`.

    Static items stay static, data stay data, and what is frozen stays frozen. Nothing is checked, as in
    `replace_unchecked`.
    """
    places, items = places_of(module), module.__dict__[name]
    if type(places.get(name)) is tuple:
        places[name] = places[name][index]
    new = replace_unchecked(module, {name: items[index]}, places)
    marks = new.__dict__.get("__marks__")
    if marks is not None:
        kept = [mark for mark in marks if not mark[0].startswith(".{}[".format(name))]
        for i, number in enumerate(range(len(items))[index]):
            before, after = (".{}[{}]".format(name, k) for k in (number, i))
            kept += [(after + path[len(before) :], x) for path, x in marks if path.startswith(before)]
        set_marks(new, kept)
    return new


def replace_unchecked(module, fields, places=None):
    """Copy `module` with new values of `fields`, by name. What is static stays static, or is as `places` say.

    Nothing is checked or converted. So the module may be a tree of gradients, or one part of a partition.
    """
    new = _copy(module, places_of(module) if places is None else places)
    new.__dict__.update(fields)
    if new.__dict__.keys() >= layout_of(new).names:
        decide(new)
    return new


def _copy(module, places):
    """Make a copy that isn't complete yet. `places` are the decisions that it keeps."""
    new = new_module(type(module), places, module.__dict__.get("__marks__"))
    new.__dict__.update(get_state(module))
    return new
