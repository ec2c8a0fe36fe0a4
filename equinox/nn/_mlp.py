"""`MLP`: linear layers with activations between them."""

from typing import Any, Callable, Dict, List, Optional, Tuple

import jax
import jax.random as jrandom

from .._compat.types import AnyArray, Array, Key
from .._module import field
from .._transforms.loops import filter_scan
from .._trees.predicates import is_static_function
from ._checks import Features, as_bool, as_features, as_size, call_layer, check_callable, check_key
from ._linear import Linear
from ._parameters import Initialiser
from ._stack import HasStacks, copies, for_each, stack, take
from ._torch_layout import Each, own_names


def identity(x: Any) -> Any:
    """Return `x`. This function has a name, so it can be pickled. A lambda can't."""
    return x


class MLP(HasStacks):
    """Multi-layer perceptron: `Linear` layers, an activation after each but the last, and a final activation.

    An activation that is a function is part of the structure of the tree. It is no leaf. So all leaves are arrays, and
    `jax.jit`, `jax.grad` and `optax` take the model as it is. Functions compare by identity: if each of two models is
    made with its own lambda, the models have different structures. Whether an activation is structure or data is
    decided when the model is made. `eqx.replace` changes an activation and decides again.

    An activation that is a layer with parameters is data. It is called on the whole vector, and each hidden layer has
    its own parameters: the arrays in `activation` have an additional first axis of length `depth`.

    Args:
        in_size: The length of `input`. `"scalar"` means an input of shape `()`.
        out_size: The length of the output. `"scalar"` means an output of shape `()`.
        width_size: The length of what each hidden layer returns. It is at least 1, even if `depth` is 0.
        depth: The number of hidden layers. At 0 the model is one `Linear` from `in_size` to `out_size`.
        activation: A function or a layer. It is called on what each hidden layer returns.
        final_activation: A function or a layer. It is called on what the last layer returns. The default is the
            identity.
        use_bias: Whether the hidden layers have a bias.
        use_final_bias: Whether the last layer has a bias.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        scan: Whether to compile one hidden layer for all that map `width_size` to `width_size`, and to loop over them
            with `jax.lax.scan`. A deep model then compiles faster. The numbers are the same.
        weight_init: A function that makes the weight of each layer. See `Linear`.
        bias_init: A function that makes the bias of each layer. See `Linear`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        input: `(in_size,)`. The output: `(out_size,)`. Use `jax.vmap(mlp)(inputs)` for a batch.
        layers: A tuple of `depth + 1` `Linear`s: `in_size` to `width_size`, ..., `width_size` to `out_size`. If `scan`
            is true and `depth` is at least 2, a tuple of three. Those between the first and the last are stacked: their
            arrays have an additional first axis of length `depth - 1`.

    Initialisation:
        Each layer is initialised as `Linear` is.

    Raises:
        ValueError: A size is below 1.
        ValueError: `depth` is below 0.
        ValueError: `dtype` is not floating-point or complex.
        ValueError: An initialiser fails, or returns another shape.
        TypeError: A size is not an integer or `"scalar"`. `depth` or `width_size` is no integer.
        TypeError: An activation or an initialiser can't be called.
        TypeError: `use_bias`, `use_final_bias` or `scan` is no bool.
        TypeError: `dtype` is no dtype.
        TypeError: `key` is no PRNG key.

    Example:
        >>> mlp = eqx.nn.MLP(3, 2, width_size=8, depth=1, key=jax.random.PRNGKey(0))
        >>> jax.grad(lambda mlp: mlp(jnp.ones(3)).sum())(mlp).layers[1].bias.shape
        (2,)
    """

    layers: Tuple[Linear, ...]
    activation: Any = field(static=is_static_function)
    final_activation: Any = field(static=is_static_function)
    in_size: Features = field(static=True)
    out_size: Features = field(static=True)
    width_size: int = field(static=True)
    depth: int = field(static=True)
    scan: bool = field(static=True)

    def __init__(
        self,
        in_size: Features,
        out_size: Features,
        width_size: int,
        depth: int,
        activation: Callable[[Any], Any] = jax.nn.relu,
        final_activation: Callable[[Any], Any] = identity,
        use_bias: bool = True,
        use_final_bias: bool = True,
        dtype: Any = None,
        *,
        scan: bool = False,
        weight_init: Optional[Initialiser] = None,
        bias_init: Optional[Initialiser] = None,
        key: Key,
    ) -> None:
        self.in_size = as_features(in_size, "in_size", "MLP")
        self.out_size = as_features(out_size, "out_size", "MLP")
        self.width_size = as_size(width_size, "width_size", "MLP")
        self.depth = as_size(depth, "depth", "MLP", least=0)
        check_callable(activation, "activation", "MLP")
        check_callable(final_activation, "final_activation", "MLP")
        biases = [as_bool(use_bias, "use_bias", "MLP")] * self.depth
        biases.append(as_bool(use_final_bias, "use_final_bias", "MLP"))
        check_key(key, "MLP")
        sizes: List[Features] = [self.in_size, *[self.width_size] * self.depth, self.out_size]
        keys = jrandom.split(key, self.depth + 1)
        layers = tuple(
            Linear(i, o, bias, dtype, weight_init=weight_init, bias_init=bias_init, key=k)
            for i, o, bias, k in zip(sizes[:-1], sizes[1:], biases, keys)
        )
        self.scan = as_bool(scan, "scan", "MLP")
        if self.scan and self.depth > 1:
            layers = (layers[0], stack(layers[1:-1]), layers[-1])
        self.layers = layers
        self.activation = copies(activation, self.depth)
        self.final_activation = final_activation

    def __call__(self, input: AnyArray, *, key: Optional[Key] = None) -> Array:
        """Apply the layers to one example.

        Args:
            input: An array of shape `(in_size,)`.
            key: It is ignored. Every layer takes a key.

        Returns:
            An array of shape `(out_size,)`.

        Raises:
            ValueError: `input` has another shape.
            ValueError: The model is a stack of models, as `jax.vmap` over the construction makes it.
            TypeError: `input` can't be made into an array.

        Example:
            >>> mlp = eqx.nn.MLP(3, 2, width_size=8, depth=1, key=jax.random.PRNGKey(0))
            >>> jax.vmap(mlp)(jnp.ones((5, 3))).shape
            (5, 2)
        """
        activation = for_each(self.activation, self.depth, "activation", "MLP")
        if self.scan and self.depth > 1:
            first, hidden, last = self.layers
            input = _hidden_layer(input, (first, take(activation, 0)), "layers[0]")[0]
            input = filter_scan(_hidden_layer, input, (hidden, take(activation, slice(1, None))), self.depth - 1)[0]
            return call_layer("final_activation", self.final_activation, call_layer("layers[2]", last, input))
        for i, layer in enumerate(self.layers[:-1]):
            input = _hidden_layer(input, (layer, take(activation, i)), "layers[{}]".format(i))[0]
        output = call_layer("layers[{}]".format(len(self.layers) - 1), self.layers[-1], input)
        return call_layer("final_activation", self.final_activation, output)

    def _torch_names(self) -> Dict[str, Any]:
        """The names are the same with and without `scan`."""
        names = own_names(self)
        if self.scan and self.depth > 1:
            first, hidden, last = self.layers
            names["layers"] = {"0": first, "": Each(hidden, self.depth - 1, 1), str(self.depth): last}
        return names

    def _stacks(self) -> Tuple[str, ...]:
        return (".activation", ".layers[1]") if self.scan and self.depth > 1 else (".activation",)


def _hidden_layer(input: Any, layer_and_activation: Any, path: str = "layers[1]") -> Tuple[Any, None]:
    layer, activation = layer_and_activation
    return call_layer("activation", activation, call_layer(path, layer, input)), None
