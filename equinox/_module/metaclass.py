"""The metaclass that makes classes of modules, and `Module` itself."""

import abc
import dataclasses
import inspect
import sys
import threading

from jax import tree_util

from .. import _compat
from .._trees.equal import tree_equal
from .._trees.format import tree_repr
from .._trees.predicates import is_jax_array
from .construction import assignable, construct, delete_field, finish, is_constructed, set_field, settle_init
from .fields import Layout, check_fields, declared_fields, drop_overridden, field, mend
from .flattening import register
from .methods import Method, is_method
from .pickling import deep_copy, get_state, reduce, set_state, shallow_copy
from .static_fields import HasDecision

if sys.version_info >= (3, 11):
    from typing import dataclass_transform
else:  # which takes as long to import as a third of the library
    from typing_extensions import dataclass_transform


# Without `frozen_default`: type checkers would then refuse the assignments in an `__init__` written by hand.
@dataclass_transform(field_specifiers=(field, dataclasses.field))
class _ModuleMeta(abc.ABCMeta):
    """Makes each class a frozen dataclass and a pytree node, and watches over the making of its instances.

    A class may change after it is made. cloudpickle, for one, makes an empty class and then assigns its attributes
    one by one, the dictionary of its fields among them. So everything that follows from the attributes of a class is
    worked out by `_settle`, and again when one of them is assigned.
    """

    def __new__(*args, **kwargs):  # no named parameter: a keyword in the line of a class may have any name
        mcs, name, _, namespace = args
        if "__slots__" in namespace:
            raise TypeError(
                "`{}` has `__slots__`, but a module keeps its fields in a dictionary. Annotate them instead.".format(
                    name
                )
            )
        cls = super(_ModuleMeta, mcs).__new__(*args, **kwargs)
        cls = dataclasses.dataclass(**_AS_DATACLASS)(cls)
        check_fields(cls)
        drop_overridden(cls)
        if "__match_args__" not in namespace and hasattr(cls, "__match_args__"):  # since Python 3.10
            arguments = tuple(key for key in cls.__match_args__ if key in cls.__dataclass_fields__)
            type.__setattr__(cls, "__match_args__", arguments)
        if "__doc__" not in namespace:
            cls.__doc__ = None  # dataclasses wrote the signature of the wrong `__init__`
        _settle(cls)
        if namespace.keys() <= _EMPTY:
            cls.__layout__.waiting = []
        for key, value in list(vars(cls).items()):
            if _becomes_method(cls, key, value):
                setattr(cls, key, value)
        return cls

    def __call__(__cls, *args, **kwargs):  # `cls` may be the name of a field
        new = __cls.__new__
        self = new(__cls, *args, **kwargs)
        if isinstance(self, __cls) and (new is _object_new or not is_constructed(self)):
            construct(self, args, kwargs)
        return self

    def __setattr__(cls, name, value):
        if name == "__layout__":
            return  # `_settle` alone makes it
        layout = vars(cls).get("__layout__")
        if name in _ASSIGNMENT:  # by `dataclasses`: its functions know only "frozen"
            value = _ASSIGNMENT[name]  # and these know a module that is being made
        elif name == "__dataclass_fields__":
            mend(value)
        elif name == "__dataclass_params__" and layout:
            _open_for_decorator(cls, value)
        elif layout and _becomes_method(cls, name, value):
            value = Method(value)
        super().__setattr__(name, value)
        if layout and (name in _SETTLED or name in layout.names):
            _settle(cls)
        if layout and name == "__dataclass_fields__":
            _finish_waiting(cls)

    def __delattr__(cls, name):
        super().__delattr__(name)
        layout = vars(cls).get("__layout__")
        if layout and (name in _SETTLED or name in layout.names):
            _settle(cls)

    @property
    def __signature__(cls):
        signature = inspect.signature(cls.__init__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


_object_new = object.__new__
_settling = threading.RLock()
_AS_DATACLASS = {"init": False, "repr": False, "eq": False, "frozen": True}
_ASSIGNMENT = {"__setattr__": set_field, "__delattr__": delete_field}
_EMPTY = frozenset(["__module__", "__dict__"])  # what cloudpickle puts into a class when it makes it
_SETTLED = frozenset(  # the attributes, beside the fields, that `_settle` reads
    ["__dataclass_fields__", "__init__", "__post_init__", "__check_init__", "__getattr__", "__getattribute__"]
)


def _becomes_method(cls, name, value):
    """Whether `value` under `name` in `cls` is a method that isn't a `Method` yet."""
    special = name.startswith("__") and name.endswith("__") and name != "__call__"
    return not special and name not in cls.__layout__.names and type(value) is not Method and is_method(value)


def _settle(cls):
    """Work out what follows from the attributes of `cls`, and the same for the classes below it.

    Several threads may load one class at once. A thread that uses the class at that time sees, at each step, one whole
    value in the place of an equal one.
    """
    with _settling:
        before = vars(cls).get("__layout__")
        layout = Layout(cls, before and before.functions, before and before.waiting)
        type.__setattr__(cls, "__layout__", layout)
        settle_init(cls)
        layout.functions = register(cls, layout.functions)
        for below in cls.__subclasses__():
            if "__layout__" in vars(below):  # not one that is being made
                _settle(below)


def _finish_waiting(cls):
    """Finish the instances that were loaded before `cls` had its fields: its methods may use some."""
    waiting, cls.__layout__.waiting = cls.__layout__.waiting, None
    while waiting:
        module = waiting.pop()
        with assignable(module):
            finish(module)


def _open_for_decorator(cls, params):
    """Let `dataclasses.dataclass(frozen=True)` process the class once more, to the same effect; refuse all else.

    `make_dataclass(..., bases=(Module,), frozen=True)` does the same. The decorator's first step is to assign its
    parameters. It keeps what it finds in the class under the names that it would define.
    """
    if all(getattr(params, name) == value for name, value in _AS_DATACLASS.items()):
        return  # those that the class has, which cloudpickle assigns
    if not params.frozen or params.order or params.unsafe_hash or "__init__" not in vars(cls):
        raise TypeError(
            "`{}` is a `Module`, and so a frozen dataclass already: it needs no `@dataclasses.dataclass`. Remove the "
            "decorator. `make_dataclass` needs `frozen=True`.".format(cls.__name__)
        )
    for f in declared_fields(cls):
        type.__setattr__(cls, f.name, f)  # from where the first processing took it
    for name in ("__repr__", "__eq__", "__hash__"):
        type.__setattr__(cls, name, getattr(cls, name))
    for name in _ASSIGNMENT:
        type.__delattr__(cls, name)


class Module(HasDecision, metaclass=_ModuleMeta):
    """Base class of models: inherit from it, annotate the fields, add methods.

    A subclass is a frozen dataclass and a pytree, whose children are its fields in the order of their annotations.
    So an instance is data, to be passed through `jax.jit`, `jax.grad`, `jax.vmap` like a list or dictionary, and a
    function too once it has a `__call__`:

        class Affine(eqx.Module):
            weight: jax.Array
            bias: jax.Array

            def __call__(self, x):
                return self.weight @ x + self.bias

    The generated `__init__` takes the fields; or write your own, which is inherited as any method is, and assign
    every field in it. Afterwards nothing can be assigned: a changed model is a new one, see `tree_at`.

    Methods read from an instance are pytrees too, with the instance as their child. Any transformation takes one as
    its function, and traces, maps or differentiates what it holds where it is an argument. (`jax.jit(model.method)`
    compiles the arrays of the model into the code as constants; `eqx.filter_jit(model.method)` traces them.) Those of
    a base class that is no `Module` stay Python's own: let it be one, without fields.

    `__check_init__(self)`, if a class has one, runs once the module is complete, the derived class's first. `==` is
    `tree_equal`. A module without arrays hashes by value; one with arrays doesn't.

    `copy` and `pickle` take the fields as they are. A class may define `__getstate__` and `__setstate__`, which may
    assign the fields. A pickle can run any code when it is loaded: load only pickles that you trust.

    Raises: ValueError: a field was not set by the end of `__init__`. AttributeError: an attribute that is no field,
        or any after `__init__`. TypeError: wrong arguments, or a static field that is an array or can't be hashed.
    """

    def __eq__(self, other):
        if not isinstance(other, Module):
            return NotImplemented
        return tree_equal(self, other)

    def __hash__(self):
        leaves, treedef = tree_util.tree_flatten(self)
        if any(is_jax_array(x) or _compat.is_numpy_array(x) for x in leaves):
            raise TypeError(
                "unhashable: `{0}` holds arrays. Where JAX wants a function, as `jax.jit` and `lax.cond` do, pass "
                "`model.__call__` or use `eqx.filter_jit(model)`; to use it as a static argument, as a key or in a "
                "set, keep its arrays elsewhere.".format(type(self).__name__)
            )
        return hash((treedef, tuple(leaves)))

    def __repr__(self):
        return tree_repr(self)

    def __getstate__(self):
        return get_state(self)

    def __setstate__(self, state):
        set_state(self, state)

    __reduce__ = reduce
    __copy__ = shallow_copy
    __deepcopy__ = deep_copy
