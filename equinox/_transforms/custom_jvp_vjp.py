"""`filter_custom_jvp` and `filter_custom_vjp`: functions of models with derivative rules of the user's own."""

from __future__ import annotations

import types
import warnings
from typing import Any, Callable, Optional, TypeVar, overload

import jax
import jax.numpy as jnp
from jax import core, tree_util

from .. import _compat
from .._compat.types import P, R
from .._dispatch.arguments import inputs_of, positional_names
from .._dispatch.leaf_groups import Rest, separate
from .._trees.agreement import agrees_with_shape, first_disagreement, shapes_of
from .._trees.paths import leaf_paths
from .._trees.predicates import is_array, is_inexact_jax_or_numpy, is_none
from .._trees.static import hashable_key
from .tangents import tangents_of_leaves
from .wrap import Options, Transformed, check_callable, check_pair, transform, transformation

Rule = TypeVar("Rule", bound=Callable[..., Any])

_UNKNOWN = object()


@overload
def filter_custom_jvp(fun: Callable[P, R], *, jvp: Optional[Callable[..., Any]] = ...) -> CustomJvp[P, R]: ...
@overload
def filter_custom_jvp(
    fun: None = ..., *, jvp: Optional[Callable[..., Any]] = ...
) -> Callable[[Callable[P, R]], CustomJvp[P, R]]: ...
@transformation
def filter_custom_jvp(fun: Optional[Callable[..., Any]] = None, *, jvp: Optional[Callable[..., Any]] = None) -> Any:
    """Wrap `jax.custom_jvp`: give a function a rule for its derivative in forward mode. Reverse mode uses it too.

    Positional inputs may be differentiated. Keyword inputs may not, and the arrays of `fun` itself may not if it is a
    model. All of them may be any pytrees.

    Args:
        fun: A function or another callable. Without `fun`, the result is a decorator.
        jvp: The rule. Usually it is given later, by the decorator `def_jvp` of the result.

    Returns:
        A function with the inputs and outputs of `fun`. The result is a pytree whose child is `fun`. Its decorator
        `def_jvp` takes the rule, a function `(primals, tangents, **kwargs) -> (out, out_tangents)`. `primals` is the
        tuple of the positional inputs. `tangents` has the same structure, with `None` for each leaf that isn't a
        floating-point or complex array, or isn't differentiated. `out_tangents` has the structure of `out`. It has
        `None` for each leaf that isn't a floating-point or complex array. `None` may stand for any tangent, and for a
        whole subtree, that is zero. Before JAX 0.4.16, arrays that aren't differentiated have tangents of zeros.

    Raises:
        TypeError: `fun` or a rule isn't callable.
        AttributeError: The function is called before it has a rule.
        ValueError: A keyword input, an array of `fun` itself, or a variable that `fun` closes over is differentiated.
        TypeError: The rule doesn't return a tuple or a list.
        ValueError: The rule returns a tuple or a list that isn't a pair.
        TypeError: The rule returns another output than `fun`, a tangent of another dtype, or one for a leaf that has
            none. The message says where.
        ValueError: The rule returns tangents of another structure, or a tangent of another shape.

    Example:
        >>> @eqx.filter_custom_jvp
        ... def power(x, *, exponent):
        ...     return x**exponent
        >>> @power.def_jvp
        ... def power_jvp(primals, tangents, *, exponent):
        ...     (x,), (tx,) = primals, tangents
        ...     return power(x, exponent=exponent), exponent * x ** (exponent - 1) * tx
        >>> float(eqx.filter_grad(lambda x: power(x, exponent=3))(jnp.array(2.0)))
        12.0
    """
    return transform(CustomJvp, fun, _Rules("filter_custom_jvp", {"jvp": jvp}))


@overload
def filter_custom_vjp(
    fun: Callable[P, R], *, fwd: Optional[Callable[..., Any]] = ..., bwd: Optional[Callable[..., Any]] = ...
) -> CustomVjp[P, R]: ...
@overload
def filter_custom_vjp(
    fun: None = ..., *, fwd: Optional[Callable[..., Any]] = ..., bwd: Optional[Callable[..., Any]] = ...
) -> Callable[[Callable[P, R]], CustomVjp[P, R]]: ...
@transformation
def filter_custom_vjp(
    fun: Optional[Callable[..., Any]] = None,
    *,
    fwd: Optional[Callable[..., Any]] = None,
    bwd: Optional[Callable[..., Any]] = None,
) -> Any:
    """Wrap `jax.custom_vjp`: give a function rules for its derivative in reverse mode.

    Only the first input may be differentiated. To differentiate several, put them into a tuple. All other inputs may be
    any pytrees too, but they may not be differentiated. The same is true for the arrays of `fun` itself, if it is a
    model.

    Args:
        fun: A function or another callable. Without `fun`, the result is a decorator.
        fwd: The first rule. Usually it is given later, by the decorator `def_fwd` of the result.
        bwd: The second rule. Usually it is given later, by the decorator `def_bwd` of the result.

    Returns:
        A function with the inputs and outputs of `fun`. The result is a pytree whose child is `fun`. It has two
        decorators for the rules. `def_fwd` takes a function `(perturbed, x, *args, **kwargs) -> (out, residuals)`.
        `perturbed` is a tree of bools with the structure of the first input `x`. It says which leaves are
        differentiated. `residuals` may hold anything. `def_bwd` takes a function
        `(residuals, grad_out, perturbed, x, *args, **kwargs) -> grad_x`. `grad_out` has the structure of `out`. It has
        `None` for each leaf that isn't a floating-point or complex array, or whose gradient is known to be zero. If
        it would have nothing else, the rule isn't called. `grad_x` has the structure of `x`. It has `None` for each
        leaf that isn't a floating-point or complex array. `None` may stand for any gradient, and for a whole subtree,
        that is zero. Before JAX 0.4.16, all floating-point and complex arrays of `x` are perturbed, and gradients of
        zero are arrays.

    Raises:
        TypeError: `fun` or a rule isn't callable.
        TypeError: The function is called without its first input, or this one is passed by keyword.
        AttributeError: The function is called before it has both rules.
        ValueError: Another input, an array of `fun` itself, or a variable that `fun` closes over is differentiated. For
            the variable JAX may have an error of its own, if the call is compiled.
        TypeError: `fwd` doesn't return a tuple or a list.
        ValueError: `fwd` returns a tuple or a list that isn't a pair.
        TypeError: `fwd` returns another output than `fun`, or `bwd` returns a gradient of another dtype, or one for a
            leaf that has none. The message says where.
        ValueError: `bwd` returns gradients of another structure than that of `x`, or a gradient of another shape.

    Example:
        >>> @eqx.filter_custom_vjp
        ... def clip_gradient(x, limit):
        ...     return x
        >>> @clip_gradient.def_fwd
        ... def clip_gradient_fwd(perturbed, x, limit):
        ...     return x, None
        >>> @clip_gradient.def_bwd
        ... def clip_gradient_bwd(residuals, grad_out, perturbed, x, limit):
        ...     return jnp.clip(grad_out, -limit, limit)
        >>> float(eqx.filter_grad(lambda x: 5 * clip_gradient(x, 1.0))(jnp.array(2.0)))
        1.0
    """
    return transform(CustomVjp, fun, _Rules("filter_custom_vjp", {"fwd": fwd, "bwd": bwd}))


class _Rules(Options):
    """The rules of a function. The user may define them later. Two are equal if they have the same rules."""

    def __init__(self, name, given):
        super().__init__(name, given)
        for rule, fun in given.items():
            if fun is not None:
                check_callable(name, fun, rule)

    def define(self, rule, fun):
        check_callable("def_" + rule, fun)
        self.given[rule] = fun
        return fun

    def of(self, fun):
        """The rules of `fun`, sorted by their names. They must be defined."""
        for rule in sorted(self.given):
            if self.given[rule] is None:
                name = getattr(fun, "__name__", "fun")
                raise AttributeError(
                    "`{0}` expects a rule before the first call: define a function with the decorator `@{1}.def_{2}`, "
                    "or pass it as `{2}`.".format(self.name, name, rule)
                )
        return [self.given[rule] for rule in sorted(self.given)]

    def __eq__(self, other):
        if self is other:
            return True
        same_name = type(other) is _Rules and self.name == other.name
        return same_name and hashable_key(self.given) == hashable_key(other.given)

    def __hash__(self):
        return hash(self.name)  # the rules may change


class CustomJvp(Transformed[P, R]):
    """What `filter_custom_jvp` returns."""

    def def_jvp(self, jvp: Rule) -> Rule:
        """Define the rule. This is a decorator.

        Args:
            jvp: The rule: a function `(primals, tangents, **kwargs) -> (out, out_tangents)`.

        Returns:
            The rule, as it is.

        Raises:
            TypeError: The rule isn't callable.

        Example:
            >>> sine = eqx.filter_custom_jvp(jnp.sin)
            >>> rule = sine.def_jvp(lambda primals, tangents: (sine(*primals), jnp.cos(primals[0]) * tangents[0]))
            >>> float(jax.grad(sine)(0.0))
            1.0
        """
        return self._options.define("jvp", jvp)

    def __call__(__self, *args: P.args, **kwargs: P.kwargs) -> R:  # `self` may be the name of a keyword argument
        (jvp,) = __self._options.of(__self.__wrapped__)
        call, arrays = _Call.of(__self, args, kwargs, len(args))

        def rule(arrays, tangents):
            _, _, args, kwargs = call.merge(arrays)
            _, _, tangents_of_args, _ = call.merge.with_nones(tangents)
            out, out_tangents = check_pair(
                call.name, "`jvp`", "`(out, out_tangents)`", jvp(args, tangents_of_args, **kwargs)
            )
            leaves, treedef = tree_util.tree_flatten(out)
            out_tangents = _tangents_of_arrays(call.name, leaves, treedef, out_tangents, "out_tangents", "out")
            return call.pack(out, "jvp"), out_tangents

        refuse = call.refuse("only positional inputs", "Pass it by position")
        return call.unpack(_compat.custom_jvp(call.primal, rule, call.may_vary, refuse)(*arrays))


class CustomVjp(Transformed[P, R]):
    """What `filter_custom_vjp` returns."""

    def def_fwd(self, fwd: Rule) -> Rule:
        """Define the first rule. This is a decorator.

        Args:
            fwd: The rule: a function `(perturbed, x, *args, **kwargs) -> (out, residuals)`.

        Returns:
            The rule, as it is.

        Raises:
            TypeError: The rule isn't callable.

        Example:
            >>> sine = eqx.filter_custom_vjp(jnp.sin)
            >>> fwd = sine.def_fwd(lambda perturbed, x: (sine(x), jnp.cos(x)))
            >>> bwd = sine.def_bwd(lambda cosine, grad_out, perturbed, x: cosine * grad_out)
            >>> float(jax.grad(sine)(0.0))
            1.0
        """
        return self._options.define("fwd", fwd)

    def def_bwd(self, bwd: Rule) -> Rule:
        """Define the second rule. This is a decorator.

        Args:
            bwd: The rule: a function `(residuals, grad_out, perturbed, x, *args, **kwargs) -> grad_x`.

        Returns:
            The rule, as it is.

        Raises:
            TypeError: The rule isn't callable.

        Example:
            >>> sine = eqx.filter_custom_vjp(jnp.sin)
            >>> fwd = sine.def_fwd(lambda perturbed, x: (sine(x), jnp.cos(x)))
            >>> bwd = sine.def_bwd(lambda cosine, grad_out, perturbed, x: cosine * grad_out)
            >>> float(jax.grad(sine)(0.0))
            1.0
        """
        return self._options.define("bwd", bwd)

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Define both rules in their old form. It is deprecated: use `def_fwd` and `def_bwd`.

        Args:
            fwd: A function `(x, *args, **kwargs) -> (out, residuals)`.
            bwd: A function `(residuals, grad_out, x, *args, **kwargs) -> grad_x`. `grad_out` has zeros for an array
                whose gradient is known to be zero.

        Raises:
            TypeError: A rule isn't callable.
            ValueError: `fwd` returns a tuple or a list that isn't a pair. The call that differentiates raises it.

        Example:
            >>> import warnings
            >>> sine = eqx.filter_custom_vjp(jnp.sin)
            >>> with warnings.catch_warnings():
            ...     warnings.simplefilter("ignore", DeprecationWarning)
            ...     sine.defvjp(lambda x: (sine(x), jnp.cos(x)), lambda cosine, grad_out, x: cosine * grad_out)
            >>> float(jax.grad(sine)(0.0))
            1.0
        """
        warnings.warn(
            "`defvjp` is the old way to define the rules. Use `def_fwd` and `def_bwd`, whose rules also get "
            "`perturbed`.",
            DeprecationWarning,
            stacklevel=2,
        )
        check_callable("defvjp", fwd, "fwd")
        check_callable("defvjp", bwd, "bwd")

        def new_fwd(__perturbed, *args, **kwargs):  # a keyword of the function may have any name
            out, residuals = check_pair("filter_custom_vjp", "`fwd`", "`(out, residuals)`", fwd(*args, **kwargs))
            return out, (residuals, tree_util.tree_map(_shape_of_inexact, out))

        def new_bwd(__residuals, __grad_out, __perturbed, *args, **kwargs):
            residuals, shapes = __residuals
            grad_out = tree_util.tree_map(_zeros_for_none, __grad_out, shapes, is_leaf=is_none)
            return bwd(residuals, grad_out, *args, **kwargs)

        self.def_fwd(new_fwd)
        self.def_bwd(new_bwd)

    def __call__(__self, *args: P.args, **kwargs: P.kwargs) -> R:  # `self` may be the name of a keyword argument
        bwd, fwd = __self._options.of(__self.__wrapped__)
        if not args:
            raise TypeError("`{}` expects its first input by position.".format(__self._options.name))
        call, arrays = _Call.of(__self, args, kwargs, 1)

        def fwd_rule(are_perturbed, arrays):
            _, _, args, kwargs = call.merge(arrays)
            _, _, (perturbed, *_), _ = call.merge.fill(are_perturbed, False)
            out, residuals = check_pair(call.name, "`fwd`", "`(out, residuals)`", fwd(perturbed, *args, **kwargs))
            return call.pack(out, "fwd"), (arrays, separate(residuals, is_array), Rest.of(are_perturbed))

        def bwd_rule(residuals, cotangents):
            arrays, (residuals, merge_residuals), are_perturbed = residuals
            cotangents, merge_out = cotangents
            if all(map(is_none, cotangents)):  # JAX 0.4.38 calls the rule for an unused output, JAX 0.7.2 doesn't
                return [None] * len(call.may_vary)
            _, _, args, kwargs = call.merge(arrays)
            _, _, (perturbed, *_), _ = call.merge.fill(are_perturbed(()), False)
            grad = bwd(merge_residuals(residuals), merge_out.with_nones(cotangents), perturbed, *args, **kwargs)
            first_name = (positional_names(__self.__wrapped__) or ["args[0]"])[0]
            leaves, treedef = call.leaves_of_first(arrays)
            grads = iter(_tangents_of_arrays(call.name, leaves, treedef, grad, "grad", first_name))
            return [next(grads) if is_first else None for is_first in call.may_vary]

        refuse = call.refuse("only the first input", "Put it into a tuple with the first input")
        return call.unpack(_compat.custom_vjp(call.primal, fwd_rule, bwd_rule, call.may_vary, refuse)(*arrays))


class _Call:
    """One call of a function with a custom rule, as JAX sees it: a function of arrays.

    Args:
        name: The name of the public function.
        fun: The user's function.
        merge: Makes what the function closes over, the function and its inputs from the arrays in them.
        number: How many of the positional inputs may be differentiated.

    Attributes:
        name: As above.
        merge: As above.
        may_vary: For each array, whether it may be differentiated.
    """

    def __init__(self, name, fun, merge, number):
        self.name = name
        self.merge = merge
        self._fun = fun
        self._expected = _UNKNOWN
        of_closure, of_fun, of_args, _ = merge.groups.treedef.children()
        self._treedefs = of_args.children()[:number]
        self._first = of_closure.num_leaves + of_fun.num_leaves
        last = self._first + sum(x.num_leaves for x in self._treedefs)
        self._leaf_numbers = [i for i, is_static in enumerate(merge.groups.groups) if not is_static]
        self.may_vary = [self._first <= i < last for i in self._leaf_numbers]

    @classmethod
    def of(cls, custom, args, kwargs, number):
        """The call of a custom function, and the arrays in it."""
        fun = custom.__wrapped__
        arrays, merge = separate((_closed_over(fun), fun, args, kwargs), is_array)
        return cls(custom._options.name, fun, merge, number), arrays

    def leaves_of_first(self, arrays):
        """The leaves and the structure of the first positional input."""
        treedef = self._treedefs[0]
        return self.merge.leaves(arrays)[self._first : self._first + treedef.num_leaves], treedef

    def primal(self, *arrays):
        """The user's function, of arrays."""
        _, fun, args, kwargs = self.merge(arrays)
        arrays, merge = separate(fun(*args, **kwargs), is_array)
        self._expected = merge(shapes_of(arrays))
        return arrays, merge

    def pack(self, out, rule):
        """The output of a rule in the form of that of `primal`. Check it, if `primal` was traced before."""
        difference = None
        if self._expected is not _UNKNOWN:
            difference = first_disagreement(self._expected, out, "out", agrees_with_shape)
        if difference is not None:
            path, was, came, _ = difference
            raise TypeError(
                "`{}` expects `{}` to return the output of the function, but at `{}` the function returns {}, and the "
                "rule {}.".format(self.name, rule, path, was, came)
            )
        return separate(out, is_array)

    @staticmethod
    def unpack(out):
        """The output of the user's function, from that of `primal`."""
        arrays, merge = out
        return merge(arrays)

    def refuse(self, what, advice):
        """A function from the number of an array to the error that it is differentiated."""

        def refuse(number):
            groups = self.merge.groups
            closed_over, fun, args, kwargs = groups.treedef.unflatten(range(len(groups.groups)))
            inputs = inputs_of(positional_names(self._fun), args, kwargs, (fun,))
            paths = [*sorted(closed_over), *(path for x in inputs for path in leaf_paths(x.value, x.name))]
            raise ValueError(
                "`{}` differentiates {}, but `{}` is differentiated too. {}, or stop its gradient with "
                "`jax.lax.stop_gradient`.".format(self.name, what, paths[self._leaf_numbers[number]], advice)
            )

        return refuse


def _closed_over(fun):
    """The traced arrays that Python functions in `fun` close over, by their paths.

    JAX doesn't tell a rule about them. If they are inputs too, it tells whether they are differentiated.
    """
    found = {}
    pending, seen = tree_util.tree_leaves(fun), set()
    while pending:
        function = pending.pop()
        if not isinstance(function, types.FunctionType) or function in seen:
            continue
        seen.add(function)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            try:
                leaves = tree_util.tree_leaves(cell.cell_contents)
            except ValueError:  # the variable has no value yet
                continue
            pending += leaves
            if any(isinstance(x, core.Tracer) for x in leaves):
                paths = zip(leaf_paths(cell.cell_contents, name), leaves)
                found.update((path, x) for path, x in paths if isinstance(x, core.Tracer))
    return found


def _tangents_of_arrays(name, leaves, treedef, tangents, root, tree_root):
    """The tangents or gradients that a rule returned for the arrays among `leaves`: arrays, or `None` for zero.

    The arguments are those of `tangents_of_leaves`.
    """
    found = tangents_of_leaves(name, leaves, treedef, tangents, root, tree_root)
    return [t if t is None or is_array(t) else jnp.asarray(t) for x, t in zip(leaves, found) if is_array(x)]


def _shape_of_inexact(x):
    return jax.ShapeDtypeStruct(x.shape, x.dtype) if is_inexact_jax_or_numpy(x) else None


def _zeros_for_none(x, shape):
    return jnp.zeros(shape.shape, shape.dtype) if x is None and shape is not None else x
