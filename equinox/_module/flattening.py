"""Flatten and unflatten a module.

The children of the node are the dynamic fields. The auxiliary data are the static fields and their types. The types are
needed because `True`, `1` and `1.0` are equal. If fields have predicates, the auxiliary data also hold their decision.
If the class wraps functions, they also hold the names that `module_update_wrapper` set. If `freeze` marked the module,
they are `_Marked`. The code of a class looks for marks only after the first instance got some. So other classes pay
nothing for them.
"""

import dataclasses
import threading

from .. import _compat
from .._trees.static import PLAIN_TYPES, types_of
from .generated import define
from .names import names_of
from .static_fields import data_part, get_decision, merge, set_decision

registering = threading.RLock()  # held while the layout of a class and its generated code change together


def register(cls, known=None):
    """Register `cls` with JAX, with functions that are generated for its fields. Return the two functions.

    JAX allows only one registration of a class. If the fields change later, pass the registered functions as `known`.
    They get new code.
    """
    flatten, unflatten = generate(cls)
    if known is not None:
        for function, new in zip(known, (flatten, unflatten)):
            function.__code__ = new.__code__
        return known

    def flatten_with_names(self):
        values, aux = flatten(self)
        names = aux.names if type(aux) is _Unfinished else cls.__layout__.dynamic
        return list(zip(names, values)), aux

    _compat.register_node(cls, flatten_with_names, flatten, unflatten)
    return flatten, unflatten


def generate(cls):
    """Generate the functions that flatten and unflatten an instance of `cls`.

    The code has no loop over the fields. Flattening a node takes 0.2 to 0.3 us, most of it in JAX. With a loop it would
    take more than 1 us. `register` replaces only the code of the functions, so their globals are the same for every
    layout of the class.
    """
    layout = cls.__layout__
    read, missing = ("self.{}", "AttributeError") if _reads_fields_plainly(cls) else ("self.__dict__[{!r}]", "KeyError")
    children = ["c{}".format(i) for i in range(len(layout.dynamic))]
    statics = ["s{}".format(i) for i in range(len(layout.static))]
    fields = list(zip(layout.dynamic + layout.static, children + statics))
    parts = [read.format(name) for name in layout.dynamic]
    aux = statics + ["type({0}) if type({0}) in PLAIN_TYPES else types_of({0})".format(s) for s in statics]
    aux_names = statics + ["_"] * len(statics)
    prepare = ["{} = {}".format(s, read.format(name)) for s, name in zip(statics, layout.static)]
    merges, finish = [], []
    if layout.predicates:
        places = _tuple("p{}".format(i) for i in range(len(layout.predicates)))
        values = _tuple("v{}".format(i) for i in range(len(layout.predicates)))
        missing = "(AttributeError, KeyError)"  # an incomplete module has no decision
        aux.append("decision")
        aux_names.append("decision")
        prepare += ["decision = get_decision(self)", "{} = decision[0]".format(places)]
        merges.append("{}, {}, _ = decision".format(places, values))
        for i, name in enumerate(layout.predicates):
            k = layout.dynamic.index(name)
            # Usually the whole value is static or none of it is. The first case needs no call.
            parts[k] = "None if p{0} is True else data_part({1}, p{0})".format(i, parts[k])
            merges.append("c{1} = v{0} if p{0} is True else merge(c{1}, v{0}, p{0})".format(i, k))
        finish.append("set_decision(self, decision)")
    if layout.wraps:
        aux.append("names_of(self)")
        aux_names.append("names")
        finish.append("self.__dict__.update(names.values)")
    aux = _tuple(aux)
    if layout.is_marked:
        prepare.append("marks = self.__dict__.get('__marks__')")
        aux += " if marks is None else Marked(({}, marks))".format(aux)
    scope = {
        "cls": cls,
        "PLAIN_TYPES": PLAIN_TYPES,
        "types_of": types_of,
        "new": object.__new__,
        # the same as `object.__setattr__(self, "__dict__", values)`, and faster
        "set_dict": next(c.__dict__["__dict__"] for c in cls.__mro__ if "__dict__" in c.__dict__).__set__,
        "get_decision": get_decision,
        "set_decision": set_decision,
        "data_part": data_part,
        "merge": merge,
        "names_of": names_of,
        "Marked": _Marked,
        "flatten_unfinished": _flatten_unfinished,
        "unflatten_other": _unflatten_other,
    }
    source = _FLATTEN.format(
        missing=missing,
        prepare="; ".join(prepare),
        children=_tuple(parts),
        aux=aux,
        child_names=_tuple(children),
        aux_names=_tuple(aux_names),
        merge="; ".join(merges),
        dict=", ".join("{!r}: {}".format(name, variable) for name, variable in fields),
        finish="; ".join(finish),
    )
    define("flattening of {}.{}".format(cls.__module__, cls.__qualname__), source, scope)
    return scope["flatten"], scope["unflatten"]


_FLATTEN = """
def flatten(self):
    try:
        {prepare}
        return {children}, {aux}
    except {missing}:
        return flatten_unfinished(self)

def unflatten(aux, children):
    if type(aux) is not tuple:
        return unflatten_other(cls, unflatten, aux, children)
    {child_names} = children
    {aux_names} = aux
    {merge}
    self = new(cls)
    set_dict(self, {{{dict}}})
    {finish}
    return self
"""


def _reads_fields_plainly(cls):
    """Whether `self.name` only reads the dictionary of the instance. Then the generated code uses it: it is faster."""
    return (
        cls.__getattribute__ is object.__getattribute__
        and not hasattr(cls, "__getattr__")
        and not any(hasattr(cls, name) for name in cls.__layout__.names)
    )


def _tuple(expressions):
    return "({})".format("".join(e + ", " for e in expressions))


def set_marks(module, marks):
    """Say which leaves of one module are trained. Only `freeze` and what copies a module call this.

    Args:
        module: A new module, which nobody else has seen. It is changed.
        marks: Pairs `(path, bool)`, or a dictionary of them. `_trees/trainable.py` says what they mean.
    """
    marks = tuple(sorted(dict(marks).items()))
    cls, values = type(module), module.__dict__
    with registering:
        if marks == cls.__layout__.marks:  # so equal choices make equal structures
            values.pop("__marks__", None)
            return
        values["__marks__"] = marks
        if not cls.__layout__.is_marked:
            cls.__layout__.is_marked = True
            register(cls, cls.__layout__.functions)


class _Marked(tuple):
    """The auxiliary data of a module with marks: the data that it has without them, and the marks.

    It is a tuple, because JAX compares the auxiliary data at each call, and tuples compare fast.
    """

    __slots__ = ()


@dataclasses.dataclass(frozen=True)
class _Unfinished:
    """The auxiliary data of a module that lacks fields, for example because its `__init__` flattens it."""

    names: tuple
    static: tuple
    types: tuple


def _flatten_unfinished(self):
    """Flatten a module that lacks fields. Only the fields that it has are children."""
    layout, values = type(self).__layout__, self.__dict__
    names = tuple(name for name in layout.dynamic if name in values)
    static = tuple((name, values[name]) for name in layout.static if name in values)
    return tuple(values[name] for name in names), _Unfinished(names, static, tuple(types_of(x) for _, x in static))


def _unflatten_other(cls, unflatten, aux, children):
    """Make a module with marks, or one that lacks the same fields as the flattened one."""
    if type(aux) is _Marked:
        plain, marks = aux
        self = unflatten(plain, children)
        self.__dict__["__marks__"] = marks
        return self
    self = object.__new__(cls)
    self.__dict__.update(zip(aux.names, children))
    self.__dict__.update(aux.static)
    return self
