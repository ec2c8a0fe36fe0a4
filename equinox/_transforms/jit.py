"""`jitf` and `filter_jit`: `jax.jit`, told leaf by leaf what to trace. One engine, two spellings."""

import functools as ft

from .._dispatch.dispatcher import dispatcher_of
from .._dispatch.options import Options as InputOptions
from .._trees.predicates import is_array
from .._trees.selection import Selection
from .wrap import Options, Transformed, transform, transformation


@transformation
def jitf(fun=None, *, filter_fn=None, filter_tree=None, **kwargs):
    """`jax.jit`, tracing the leaves of the inputs that are selected and holding the others static.

    Frozen modules are trusted: that a model is the same object means that its fields are the same. Lists, dictionaries
    and other nodes in it are looked at again at each call. To change a module by `object.__setattr__` isn't supported.

    Args:
        fun: A pure function, or anything callable. If it is a pytree, such as a module or one of its methods, its
            arrays are traced too, and its other leaves are static. Without it, the result is a decorator.
        filter_fn: A function `leaf -> bool`, called on the leaves of the inputs: true to trace the leaf.
        filter_tree: Instead of `filter_fn`, a filter specification of the inputs, see `filter`. For several inputs it
            is a tuple or list of one for each. Inputs marked by `static_argnums` or `static_argnames` have none.
            Inputs passed by keyword come in the order of the parameters.
        kwargs: As for `jax.jit`. `static_argnums`, `static_argnames`, `donate_argnums` and `donate_argnames` apply
            to whole inputs. `in_shardings` is a prefix of the tuple of positional inputs that aren't static, and
            `out_shardings` one of the output. They are for arrays; other leaves have none. Leaves of `fun` itself
            count nowhere.

    Returns:
        The compiled function. It binds as a method does, and has `lower`, `clear_cache` and `__wrapped__`. Arrays and
        Python numbers in its output are returned as JAX arrays, as by `jax.jit`. What `jax.jit` would refuse is the
        very object that the function returned when it was traced. So a flag in a model that is returned becomes an
        array: use `filter_jit` for a step that returns a model.

        Static leaves that are equal and of equal types never cause a second compilation. Arrays are compared by their
        content. As for `jax.jit`, a static object must not change. What is compiled belongs to the plain function and
        the options: the same function, jitted again, or a method of another model, is not compiled again.

    Raises:
        ValueError: Not exactly one of `filter_fn` and `filter_tree` was given, or `filter_tree` or a sharding doesn't
            fit the inputs.
        TypeError: A leaf is selected that JAX can't trace.
        TypeError: A static leaf can't be hashed, or a transformation around the call traces it.
        TypeError: `jax.jit` has no such keyword argument.

    Example:
        >>> @eqx.jitf(filter_fn=eqx.is_array)
        ... def forward(model, x):
        ...     return model(x)
        >>> forward(eqx.nn.Linear(2, 3, key=jax.random.PRNGKey(0)), jnp.ones(2)).shape
        (3,)
    """
    spec = {"filter_fn": filter_fn, "filter_tree": filter_tree}
    return transform(Jitted, fun, _JitOptions(Selection("jitf", **spec), False, kwargs, **spec))


@transformation
def filter_jit(fun=None, **kwargs):
    """`jitf` that traces all arrays, of JAX and of NumPy, and holds everything else static.

    A Python number that the function returns stays a number, and so does a flag of a model.

    Args:
        fun: As for `jitf`.
        kwargs: As for `jax.jit`, see `jitf`.

    Returns:
        The compiled function, as by `jitf`.

    Raises:
        TypeError: As for `jitf`.
        ValueError: A sharding doesn't fit the inputs.

    Example:
        >>> model = eqx.nn.Linear(2, 3, key=jax.random.PRNGKey(0))
        >>> eqx.filter_jit(model)(jnp.ones(2)).shape
        (3,)
    """
    return transform(Jitted, fun, _options_of_filter_jit(kwargs) if kwargs else _defaults_of_filter_jit())


class _JitOptions(Options):
    """Which leaves to trace, and what `jax.jit` is told. `spec` is what the user gave to say which leaves."""

    def __init__(self, selection, keeps_numbers, kwargs, **spec):
        super().__init__(selection.name, dict(kwargs, **spec))
        self.selection = selection
        self.inputs = InputOptions(selection.name, keeps_numbers, **kwargs)


def _options_of_filter_jit(kwargs):
    return _JitOptions(Selection("filter_jit", is_array), True, kwargs)


@ft.lru_cache(maxsize=None)
def _defaults_of_filter_jit():
    return _options_of_filter_jit({})


class Jitted(Transformed):
    """What `jitf` and `filter_jit` return."""

    _target = None  # `(dispatcher, callee)`, once there was a call

    def __init__(self, fun, options):
        super().__init__(fun, options)
        options.inputs.check(fun)

    def __call__(__self, *args, **kwargs):  # `self` may be the name of a keyword argument
        dispatcher, callee = __self._target or __self._find_target()
        return dispatcher.call(callee, args, kwargs)

    def lower(__self, *args, **kwargs):
        """Trace and lower for these inputs, without running; as `jax.jit(...).lower`. Since JAX 0.2.25.

        Args:
            args, kwargs: The inputs, in which `jax.ShapeDtypeStruct`s may stand for arrays.

        Returns:
            An object with what JAX's own has (`as_text`, ...) and a `compile()`, whose result takes the same inputs as
            the function.

        Raises:
            NotImplementedError: The running JAX is older.
        """
        dispatcher, callee = __self._target or __self._find_target()
        return dispatcher.lower(callee, args, kwargs)

    def clear_cache(self):
        """Forget all that was traced and compiled, also for others that were made of the function in the same way."""
        dispatcher, _ = self._target or self._find_target()
        dispatcher.clear()

    def _find_target(self):
        self._target = dispatcher_of(self.__wrapped__, self._options)
        return self._target
