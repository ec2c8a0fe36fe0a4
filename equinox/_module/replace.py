"""`replace`: a copy of a module with some of its fields changed."""

from .._trees.layout import layout_of
from .._trees.paths import describe_leaf
from .construction import assignable, finish, set_field
from .pickling import get_state, new_module
from .static_fields import decide, places_of


def replace(__module, **fields):  # named so that a field may be called `module`
    """A copy of a module with some of its fields changed, static ones too.

    Each new value is treated as construction treats it: converted, checked, and decided about by the field's `static`.
    `__check_init__` runs. `__init__` doesn't, whatever it is, so every field can be changed. The other fields stay as
    they are. `tree_at` changes leaves, at any depth, and checks nothing.

    Args:
        __module: The module, by position. It is unchanged.
        **fields: The new values, by the names of the fields.

    Returns:
        A new module of the same class.

    Raises:
        TypeError: `__module` is no module.
        TypeError: The module has no field of such a name.
        TypeError: The new value of a static field holds an array or can't be hashed.

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
    """A copy of `module` that has `value[index]` for the tuple `value` of the field `name`. `index` is a slice.

    Each item stays what it is, static or data, and nothing is checked. So the module may be a tree of gradients.
    """
    places = places_of(module)
    if type(places.get(name)) is tuple:
        places[name] = places[name][index]
    new = _copy(module, places)
    new.__dict__[name] = new.__dict__[name][index]
    if new.__dict__.keys() >= layout_of(new).names:
        decide(new)
    return new


def _copy(module, places):
    """A copy that isn't complete, of which `places` are decided."""
    new = new_module(type(module), places)
    new.__dict__.update(get_state(module))
    return new
