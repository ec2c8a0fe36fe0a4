"""`jitf` and `filter_jit`: `jax.jit`, told leaf by leaf what to trace. One engine, two spellings."""

import functools as ft

from .._dispatch.dispatcher import dispatcher_of
from .._dispatch.options import Options as InputOptions
from .._trees.predicates import is_array
from .._trees.selection import Selection
from .wrap import Options, Transformed, transform, transformation


@transformation
def jitf(fun=None, *, filter_fn=None, filter_tree=None, **kwargs):
    """Wrap `jax.jit`: trace the selected leaves of the inputs, and hold the others static.

    Exactly one of `filter_fn` and `filter_tree` must be given.

    Static leaves that are equal, and whose types are equal, never cause a second compilation. Arrays among them are
    compared by their content. As for `jax.jit`, a static object must not change. What is compiled belongs to the plain
    function and the options. So the same function that is jitted again isn't compiled again, and a method of another
    model isn't either.

    Frozen modules are trusted: that a model is the same object means that its fields are the same. Lists, dictionaries
    and other nodes in it are looked at again at each call. To change a module by force, with `object.__setattr__`, is
    outside of what the library supports: a call may then use the old fields.

    Args:
        fun: A pure function, or anything else that is callable. If it is a pytree, such as a module or one of its
            methods, its arrays are traced too, and its other leaves are static. Without it, the result is a decorator.
        filter_fn: A function `leaf -> bool`. It is called on the leaves of the inputs. If it returns true, the leaf is
            traced.
        filter_tree: The choice as a filter specification, as for `partition`: a tree of bools or functions with the
            structure of the input. For several inputs a tuple or list of trees, in the order of the parameters. Inputs
            that `static_argnums` or `static_argnames` names have none.
        **kwargs: As for `jax.jit`. `static_argnums`, `static_argnames`, `donate_argnums` and `donate_argnames` name
            whole inputs. `in_shardings` is a prefix of the tuple of positional inputs that aren't static.
            `out_shardings` is a prefix of the output. Shardings apply to arrays alone. `fun` is no input, even where
            it is a pytree.

    Returns:
        A function with the inputs of `fun`. It has the methods `lower` and `clear_cache`. As from `jax.jit`, an array,
        a Python number or a flag in the output becomes a JAX array. What `jax.jit` would refuse is the very object
        that `fun` returned when it was traced. So the flags of a model that is returned become arrays: `filter_jit` is
        the one for a step that returns a model. The result is a pytree whose child is `fun`.

    Raises:
        ValueError: Both of `filter_fn` and `filter_tree` were given, or none.
        ValueError: `filter_tree` does not fit the inputs.
        ValueError: `fun` has no parameter that one of the keyword arguments names.
        ValueError: A sharding does not fit the inputs or the output.
        TypeError: JAX can't trace a selected leaf.
        TypeError: A static leaf can't be hashed.
        TypeError: A transformation around the call traces a static leaf.
        TypeError: JAX does not know a keyword argument.

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
    """Wrap `jax.jit`: trace all arrays in the inputs, of JAX and of NumPy, and hold everything else static.

    Static leaves that are equal, and whose types are equal, never cause a second compilation. As for `jax.jit`, a
    static object must not change. What is compiled belongs to the plain function and the options. So the same function
    that is jitted again isn't compiled again, and a method of another model isn't either.

    Frozen modules are trusted: that a model is the same object means that its fields are the same. Lists, dictionaries
    and other nodes in it are looked at again at each call. To change a module by force, with `object.__setattr__`, is
    outside of what the library supports: a call may then use the old fields.

    Args:
        fun: A pure function, or anything else that is callable. If it is a pytree, such as a module or one of its
            methods, its arrays are traced too, and its other leaves are static. Without it, the result is a decorator.
        **kwargs: As for `jax.jit`. `static_argnums`, `static_argnames`, `donate_argnums` and `donate_argnames` name
            whole inputs. `in_shardings` is a prefix of the tuple of positional inputs that aren't static.
            `out_shardings` is a prefix of the output. Shardings apply to arrays alone. `fun` is no input, even where
            it is a pytree.

    Returns:
        A function with the inputs of `fun`. It has the methods `lower` and `clear_cache`. Arrays in the output are
        JAX arrays. Everything else, such as a Python number or a flag of a model, is the very object that `fun`
        returned when it was traced. So `filter_jit` is the one for a step that returns a model. The result is a pytree
        whose child is `fun`.

    Raises:
        ValueError: `fun` has no parameter that one of the keyword arguments names.
        ValueError: A sharding does not fit the inputs or the output.
        TypeError: A static leaf can't be hashed.
        TypeError: JAX does not know a keyword argument.

    Example:
        >>> model = eqx.nn.Linear(2, 3, key=jax.random.PRNGKey(0))
        >>> eqx.filter_jit(model)(jnp.ones(2)).shape
        (3,)
        >>> eqx.filter_jit(lambda x, times: (times * x, times))(jnp.ones(()), 3)[1]
        3
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
        """Trace and lower the function for these inputs, without running it: as `jax.jit(...).lower`.

        Args:
            *args, **kwargs: The inputs. A `jax.ShapeDtypeStruct` may stand for an array.

        Returns:
            An object with what JAX's own has, such as `as_text`. Its `compile()` returns a function with the same
            inputs.

        Raises:
            NotImplementedError: The running JAX is older than 0.2.25, which brought `lower`.
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
