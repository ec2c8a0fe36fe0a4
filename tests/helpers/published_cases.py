"""Models that both the published Equinox and this package can make. `tests/data/make_published.py` uses them too."""

import base64
import inspect
import io
import json
import pathlib
import zlib

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np

DATA = pathlib.Path(__file__).parent.parent / "data"
VERSIONS = ("0.11.10", "0.13.8")


def numbers(*shape):
    """An array of numbers between -1 and 1, the same everywhere."""
    return np.cos(np.arange(1, 1 + int(np.prod(shape))) ** 2).reshape(shape).astype(np.float32)


def models(eqx):
    """Return `{name: (make, call)}`: a function that makes the model, and one from the model to its outputs."""
    nn, key = eqx.nn, jrandom.PRNGKey(0)
    modes = "mode" in inspect.signature(nn.BatchNorm).parameters  # Equinox 0.11 has none
    ema = {"mode": "ema"} if modes else {}

    def on(*shapes, **options):
        inputs = [numbers(*shape) for shape in shapes]
        return lambda model: model(*inputs, **options)

    def linear(**options):
        return nn.Linear(3, 2, key=key, **options)

    def with_state(make):
        def call(model_and_state):
            model, state = model_and_state
            call = jax.vmap(nn.inference_mode(model), axis_name="batch", in_axes=(0, None), out_axes=(0, None))
            return call(numbers(4, 3), state)[0]

        return nn.make_with_state(make), call

    def attention(**options):
        return lambda: nn.MultiheadAttention(2, 4, key=key, **options)

    made = {
        "Linear": (linear, on((3,))),
        "Linear without bias": (lambda: linear(use_bias=False), on((3,))),
        "MLP": (lambda: nn.MLP(3, 2, 4, 2, key=key), on((3,))),
        "Conv2d": (lambda: nn.Conv2d(2, 4, (2, 3), groups=2, key=key), on((2, 4, 4))),
        "ConvTranspose1d": (lambda: nn.ConvTranspose1d(2, 3, 3, stride=2, key=key), on((2, 4))),
        "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 2, (2, 3), groups=2, key=key), on((4, 3, 3))),
        "LayerNorm": (lambda: nn.LayerNorm(3), on((3,))),
        "RMSNorm": (lambda: nn.RMSNorm(3), on((3,))),
        "GroupNorm": (lambda: nn.GroupNorm(2, 4), on((4, 3))),
        "BatchNorm": with_state(lambda: nn.BatchNorm(3, "batch", **ema)),
        "Embedding": (lambda: nn.Embedding(4, 3, key=key), lambda model: model(2)),
        "GRUCell": (lambda: nn.GRUCell(3, 2, key=key), on((3,), (2,))),
        "GRUCell without bias": (lambda: nn.GRUCell(3, 2, use_bias=False, key=key), on((3,), (2,))),
        "LSTMCell": (
            lambda: nn.LSTMCell(3, 2, key=key),
            lambda model: jnp.stack(model(numbers(3), (numbers(2), -numbers(2)))),
        ),
        "LSTMCell without bias": (
            lambda: nn.LSTMCell(3, 2, use_bias=False, key=key),
            lambda model: jnp.stack(model(numbers(3), (numbers(2), -numbers(2)))),
        ),
        "MultiheadAttention": (attention(), on((3, 4), (2, 4), (2, 4))),
        "MultiheadAttention with dropout": (
            attention(dropout_p=0.25, inference=True, use_query_bias=True, use_output_bias=True),
            on((3, 4), (2, 4), (2, 4)),
        ),
        "PReLU": (nn.PReLU, on((3,))),
        "Dropout": (lambda: nn.Dropout(0.25, inference=True), on((3,))),
        "AvgPool1d": (lambda: nn.AvgPool1d(2, 2), on((1, 4))),
        "MaxPool2d": (lambda: nn.MaxPool2d(2, 2), on((1, 4, 4))),
        "Pool": (lambda: nn.Pool(0.5, jax.lax.add, 1, 2, 2), on((1, 4))),
        "AdaptiveAvgPool1d": (lambda: nn.AdaptiveAvgPool1d(2), on((1, 4))),
        "WeightNorm": (lambda: nn.WeightNorm(linear()), on((3,))),
        "SpectralNorm": with_state(lambda: nn.SpectralNorm(linear(), "weight", key=key)),
        "RotaryPositionalEmbedding": (lambda: nn.RotaryPositionalEmbedding(4), on((3, 4))),
        "Sequential": (
            lambda: nn.Sequential(
                [linear(), nn.Dropout(0.5, inference=True), nn.Lambda(jax.nn.relu), nn.Linear(2, 3, key=key)]
            ),
            on((3,)),
        ),
        "several states": with_state(lambda: _several_states(eqx, linear, ema)),
        "layer before make_with_state": (lambda: nn.BatchNorm(3, "batch", **ema), lambda model: model.weight),
        "containers": (
            lambda: {"b": [linear(), (nn.PReLU(), True)], "a": 3, "c": {"y": 2.5, "x": 1j, "z": None}, "d": np.ones(2)},
            lambda tree: tree["b"][0](numbers(3)) * tree["a"] + tree["c"]["y"],
        ),
    }
    if modes:
        made["BatchNorm of mode batch"] = with_state(lambda: nn.BatchNorm(3, "batch", mode="batch"))
    return made


def _several_states(eqx, linear, options):
    """The fields aren't in the order of the alphabet, and there are more than ten."""
    return eqx.nn.Sequential(
        [
            eqx.nn.BatchNorm(3, "batch", **options),
            eqx.nn.SpectralNorm(linear(), "weight", key=jrandom.PRNGKey(1)),
            *[eqx.nn.BatchNorm(2, "batch", **options) for _ in range(9)],
        ]
    )


def with_numbers(tree):
    """The tree with other numbers in its JAX arrays. They are positive, because variances are."""
    leaves, structure = jax.tree_util.tree_flatten(tree)
    for i, x in enumerate(leaves):
        if hasattr(x, "dtype") and type(x) is not np.ndarray:
            new = 1 + 0.5 * np.cos(7 * i + np.arange(x.size)).reshape(x.shape)
            if not jnp.issubdtype(x.dtype, jnp.floating):
                new = np.full(x.shape, 0 if x.dtype == bool else 3)  # after three batches
            leaves[i] = jnp.asarray(new, x.dtype)
    return structure.unflatten(leaves)


def written(eqx, tree):
    """The bytes that the package writes."""
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, tree)
    return file.getvalue()


def load(version):
    """Return `{name: (bytes of the file, outputs)}` of `published_<version>.json`."""
    with open(str(DATA / "published_{}.json".format(version))) as file:
        cases = json.load(file)
    return {
        name: (zlib.decompress(base64.b64decode(case["file"])), np.array(case["outputs"], np.float32))
        for name, case in cases.items()
        if name != "made_by"
    }
