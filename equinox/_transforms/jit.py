"""`jitf` and `filter_jit`: `jax.jit` with a choice of leaves to trace. Both use the engine in `_dispatch`."""

from __future__ import annotations

import functools as ft
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, overload

from .._compat.types import Concatenate, FilterSpec, Literal, P, R
from .._dispatch.dispatcher import dispatcher_of
from .._dispatch.lowered import Lowered
from .._dispatch.options import InputOptions
from .._module import Module
from .._trees.predicates import is_array
from .._trees.selection import Selection
from .wrap import Options, Q, Self, Transformed, transform, transformation


@overload
def jitf(
    fun: Callable[P, R],
    *,
    filter_fn: Optional[Callable[[Any], bool]] = ...,
    filter_tree: FilterSpec = ...,
    **kwargs: Any,
) -> Jitted[P, R]: ...
@overload
def jitf(
    fun: None = ...,
    *,
    filter_fn: Optional[Callable[[Any], bool]] = ...,
    filter_tree: FilterSpec = ...,
    **kwargs: Any,
) -> Callable[[Callable[P, R]], Jitted[P, R]]: ...
@transformation
def jitf(
    fun: Optional[Callable[..., Any]] = None,
    *,
    filter_fn: Optional[Callable[[Any], bool]] = None,
    filter_tree: FilterSpec = None,
    **kwargs: Any,
) -> Any:
    """Wrap `jax.jit`: trace the selected leaves of the inputs, and hold the others static.

    Exactly one of `filter_fn` and `filter_tree` must be given.

    A new value or type of a static leaf causes a new compilation. Static arrays are compared by their content. As for
    `jax.jit`, a static object must not change. Compiled functions belong to the plain function and the options. So a
    function that is jitted again isn't compiled again, and neither is the same method of another model.

    Modules are frozen, so the same model object is expected to have the same fields. Lists, dictionaries and other
    nodes in it are compared at each call. Don't change a module with `object.__setattr__`: a call may then use the old
    fields.

    Args:
        fun: A pure function or another callable. If it is a pytree, such as a module or one of its methods, its arrays
            are traced and its other leaves are static. Without `fun`, the result is a decorator.
        filter_fn: A function `leaf -> bool`. It is called with each leaf of the inputs. If it returns true, the leaf is
            traced.
        filter_tree: A filter specification, as for `partition`: a tree of bools or functions with the structure of the
            input. For several inputs, pass a tuple or list of trees, in the order of the parameters. Leave out inputs
            that `static_argnums` or `static_argnames` name.
        **kwargs: As for `jax.jit`, or `donate`, `in_shardings` and `out_shardings` as for `filter_jit`.
            `static_argnums`, `static_argnames`, `donate_argnums` and `donate_argnames` name whole inputs. `fun` doesn't
            count as an input, even if it is a pytree.

    Returns:
        A function with the inputs of `fun`. It has the methods `lower` and `clear_cache`. As with `jax.jit`, arrays,
        Python numbers and bools in the output become JAX arrays. Any other object in the output is the object that
        `fun` returned when it was traced. If `fun` returns a model, its bools become arrays too: use `filter_jit` to
        keep them. The result is a pytree whose child is `fun`.

    Raises:
        ValueError: Both or neither of `filter_fn` and `filter_tree` were given.
        ValueError: `filter_tree` doesn't fit the inputs.
        ValueError: A keyword argument names a parameter that `fun` doesn't have.
        ValueError: A sharding doesn't fit the inputs or the output.
        TypeError: `fun` isn't callable.
        TypeError: `filter_fn` isn't a function, or a leaf of `filter_tree` is something other than a bool or function.
        TypeError: JAX can't trace a selected leaf.
        TypeError: A static leaf can't be hashed, or is an array with more than its bytes, such as a masked array.
        TypeError: An outer transformation traces a static leaf.
        TypeError: The running JAX doesn't accept a keyword argument.

    Example:
        >>> @eqx.jitf(filter_fn=eqx.is_array)
        ... def forward(model, x):
        ...     return model(x)
        >>> forward(eqx.nn.Linear(2, 3, key=jax.random.PRNGKey(0)), jnp.ones(2)).shape
        (3,)
    """
    spec: Dict[str, Any] = {"filter_fn": filter_fn, "filter_tree": filter_tree}
    return transform(Jitted, fun, _JitOptions(Selection("jitf", **spec), False, kwargs, **spec))


@overload
def filter_jit(
    fun: Callable[P, R],
    *,
    donate: Literal["all", "all-except-first", "warn", "warn-except-first", "none"] = ...,
    **kwargs: Any,
) -> Jitted[P, R]: ...
@overload
def filter_jit(fun: None = ..., *, donate: str = ..., **kwargs: Any) -> Callable[[Callable[P, R]], Jitted[P, R]]: ...
@transformation
def filter_jit(fun: Optional[Callable[..., Any]] = None, *, donate: str = "none", **kwargs: Any) -> Any:
    """Wrap `jax.jit`: trace all arrays in the inputs, of JAX and of NumPy, and hold everything else static.

    A new value or type of a static leaf causes a new compilation. As for `jax.jit`, a static object must not change.
    Compiled functions belong to the plain function and the options. So a function that is jitted again isn't compiled
    again, and neither is the same method of another model.

    Modules are frozen, so the same model object is expected to have the same fields. Lists, dictionaries and other
    nodes in it are compared at each call. Don't change a module with `object.__setattr__`: a call may then use the old
    fields.

    Args:
        fun: A pure function or another callable. If it is a pytree, such as a module or one of its methods, its arrays
            are traced and its other leaves are static. Without `fun`, the result is a decorator.
        donate: Which inputs are donated: JAX deletes their arrays, and uses their memory for the output. It is "all",
            "all-except-first" or "none". "warn" and "warn-except-first" are the same as the first two, but let JAX warn
            of arrays whose memory it can't use. `fun` doesn't count as an input, even if it is a pytree. For a method
            that is decorated in its class, the first input is the model.
        **kwargs: As for `jax.jit`. `static_argnums`, `static_argnames`, `donate_argnums` and `donate_argnames` name
            whole inputs. `in_shardings` is for the arrays in the tuple of the positional inputs that aren't static. It
            is a sharding, `None`, or a function from an array to one of these, which may read the shape and dtype. It
            may also be a pytree of these that is a prefix of this tuple. Each item then applies to all arrays below it.
            `out_shardings` is the same for the output.

    Returns:
        A function with the inputs of `fun`. It has the methods `lower` and `clear_cache`. Arrays in the output become
        JAX arrays. Any other object in the output, such as a Python number or a bool in a model, is the object that
        `fun` returned when it was traced. The result is a pytree whose child is `fun`.

    Raises:
        ValueError: A keyword argument names a parameter that `fun` doesn't have.
        ValueError: `donate` is something else, or inputs are chosen by `donate_argnums` or `donate_argnames` too.
        ValueError: A donated array is another input too.
        ValueError: A sharding doesn't fit the inputs or the output, or can't split an array.
        TypeError: `fun` isn't callable.
        TypeError: A static leaf can't be hashed, or is an array with more than its bytes, such as a masked array.
        TypeError: An outer transformation traces a leaf of a static input.
        TypeError: A function in `in_shardings` or `out_shardings` returns a function.
        TypeError: The running JAX doesn't accept a keyword argument.
        NotImplementedError: There are shardings, and the running JAX is older than 0.4.4, which added them to
            `jax.jit`.

    Example:
        >>> model = eqx.nn.Linear(2, 3, key=jax.random.PRNGKey(0))
        >>> eqx.filter_jit(model)(jnp.ones(2)).shape
        (3,)
        >>> eqx.filter_jit(lambda x, times: (times * x, times))(jnp.ones(()), 3)[1]
        3
    """
    if donate != "none":
        kwargs["donate"] = donate
    return transform(Jitted, fun, _options_of_filter_jit(kwargs) if kwargs else _defaults_of_filter_jit())


class _JitOptions(Options):
    """Which leaves to trace, and the keyword arguments of `jax.jit`. `spec` has the filters that the user gave."""

    def __init__(self, selection: Selection, keeps_numbers: bool, kwargs: Dict[str, Any], **spec: Any) -> None:
        super().__init__(selection.name, dict(kwargs, **spec))
        self.selection = selection
        self.inputs = InputOptions(selection.name, keeps_numbers, **kwargs)


def _options_of_filter_jit(kwargs: Dict[str, Any]) -> _JitOptions:
    return _JitOptions(Selection("filter_jit", is_array), True, kwargs)


@ft.lru_cache(maxsize=None)
def _defaults_of_filter_jit() -> _JitOptions:
    return _options_of_filter_jit({})


class Jitted(Transformed[P, R]):
    """What `jitf` and `filter_jit` return."""

    _target = None  # `(dispatcher, callee)` after the first call

    def __init__(self, fun: Callable[P, R], options: _JitOptions) -> None:
        super().__init__(fun, options)
        options.inputs.check(fun)

    def __call__(__self, *args: P.args, **kwargs: P.kwargs) -> R:  # `self` may be the name of a keyword argument
        dispatcher, callee = __self._target or __self._find_target()
        return dispatcher.call(callee, args, kwargs)

    def lower(__self, *args: Any, **kwargs: Any) -> Lowered[P, R]:
        """Trace and lower the function for these inputs without running it, as `jax.jit(...).lower` does.

        Args:
            *args: The positional inputs. A `jax.ShapeDtypeStruct` may stand for an array.
            **kwargs: The keyword inputs. A `jax.ShapeDtypeStruct` may stand for an array.

        Returns:
            An object with all methods of JAX's own lowered function, such as `as_text`. Its `compile()` returns a
            compiled function with the same inputs. The static leaves must be those that `lower` was given.

        Raises:
            NotImplementedError: The running JAX is older than 0.2.25, which added `lower`.
            TypeError: A static leaf can't be hashed, or an outer transformation traces it.

        Example:
            >>> double = eqx.filter_jit(lambda x: 2 * x)
            >>> compiled = double.lower(jax.ShapeDtypeStruct((2,), jnp.float32)).compile()
            >>> compiled(jnp.ones(2)).tolist()
            [2.0, 2.0]
        """
        dispatcher, callee = __self._target or __self._find_target()
        return dispatcher.lower(callee, args, kwargs)

    def clear_cache(self) -> None:
        """Forget all compiled functions.

        They belong to the plain function and the options. So this also clears the cache of other transformed functions
        that have the same plain function and the same options.

        Example:
            >>> @eqx.filter_jit
            ... def double(x):
            ...     print("tracing")
            ...     return 2 * x
            >>> y = double(jnp.ones(2))
            tracing
            >>> y = double(jnp.ones(2))
            >>> double.clear_cache()
            >>> y = double(jnp.ones(2))
            tracing
        """
        dispatcher, _ = self._target or self._find_target()
        dispatcher.clear()

    if TYPE_CHECKING:  # a method of a module has `lower` and `clear_cache` too

        @overload
        def __get__(self: Self, instance: None, owner: Any = ...) -> Self: ...
        @overload
        def __get__(self: Jitted[Concatenate[Any, Q], R], instance: Module, owner: Any = ...) -> Jitted[Q, R]: ...
        @overload
        def __get__(self: Jitted[Concatenate[Any, Q], R], instance: object, owner: Any = ...) -> Callable[Q, R]: ...
        def __get__(  # pyright: ignore[reportIncompatibleMethodOverride]  # it can't compare these types of `self`
            self, instance: Any, owner: Any = None
        ) -> Any: ...

    def _find_target(self) -> Any:
        self._target = dispatcher_of(self.__wrapped__, self._options)
        return self._target
