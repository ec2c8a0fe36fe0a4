"""`torch_names`: models of PyTorch are loaded by its names and in its layouts, and given back."""

import functools as ft
import re

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from helpers.torch_cases import filled, load

import equinox as eqx
from equinox import nn

KEY = jrandom.PRNGKey(0)
MODELS = load("models")


def shapes(tree):
    return {name: x.shape for name, x in eqx.to_dict(tree, rename=nn.torch_names(tree)).items()}


def linear(key=KEY):
    return nn.Linear(3, 2, key=key)


def spectral(layer):
    return nn.SpectralNorm(layer, inference=True, key=KEY)


def numbers(name):
    """The case `name` of PyTorch: the `state_dict` as arrays, and the rest."""
    case = dict(MODELS[name])
    arrays = {name: np.array(x, np.int64 if x == 0 else np.float32) for name, x in case.pop("state_dict").items()}
    return arrays, {name: np.array(x) if isinstance(x, list) else x for name, x in case.items()}


def assert_close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


LAYERS = {
    "RNN": lambda: nn.RNN(nn.RNNCell(3, 2, bias=False, key=KEY)),
    "RNN with weight norm": lambda: nn.RNN(nn.WeightNorm(nn.RNNCell(3, 2, key=KEY), "weight_hh")),
    "weight norm of ConvTranspose1d": lambda: nn.WeightNorm(nn.ConvTranspose1d(3, 2, 4, key=KEY), axis=1),
    "weight norm of the whole Conv1d": lambda: nn.WeightNorm(nn.Conv1d(3, 2, 4, key=KEY), axis=None),
    "spectral norm of ConvTranspose1d": lambda: spectral(nn.ConvTranspose1d(3, 2, 4, key=KEY)),
    "spectral norm of Conv2d with groups": lambda: spectral(nn.Conv2d(4, 2, 2, groups=2, key=KEY)),
    "spectral norm of weight norm": lambda: spectral(nn.WeightNorm(linear())),
}


@pytest.mark.parametrize("name", list(LAYERS))
def test_layers(name):
    """With PyTorch's arrays the output is PyTorch's. The arrays are given back."""
    arrays, case = numbers(name)
    model, state = filled(nn.make_with_state(LAYERS[name])(), arrays)
    y = model(case["x"], state) if model.__class__ is nn.SpectralNorm else model(case["x"])
    assert_close(y[0] if isinstance(y, tuple) else y, case["y"])


# Whole models


def make_cnn():
    conv, pool = ft.partial(nn.Conv2d, key=KEY), nn.MaxPool2d(2, 2)
    norms = [nn.BatchNorm(4, "batch"), nn.BatchNorm(6, "batch", momentum=0.3)]
    block = nn.Sequential([conv(4, 6, 3, 2, groups=2), norms[1], nn.PReLU(num_parameters=6)])
    up = nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2, key=KEY)
    layers = [conv(2, 4, 3, padding=1, use_bias=False), norms[0], jax.nn.relu, pool, block, up, jnp.ravel]
    return nn.Sequential(layers + [nn.Linear(16, 3, key=KEY)])


def test_cnn():
    """The output in evaluation. The output of a training step, and the statistics after it."""
    arrays, case = numbers("cnn")
    model, state = filled(nn.make_with_state(make_cnn)(), arrays)

    def batched(model):
        return jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))

    y, state = batched(nn.inference_mode(model))(case["x"], state)
    assert_close(y, case["evaluated"])
    y, state = batched(model)(case["x"], state)
    assert_close(y, case["trained"])
    after = eqx.to_dict((model, state), rename=nn.torch_names(model))
    for name, expected in case["after"].items():
        assert_close(after[name], expected)


class EncoderLayer(eqx.Module):
    """`torch.nn.TransformerEncoderLayer` with `norm_first`: its names are those of the fields."""

    self_attn: nn.MultiheadAttention
    linear1: nn.Linear
    linear2: nn.Linear
    norm1: nn.LayerNorm
    norm2: nn.LayerNorm

    def __init__(self, size, heads, hidden, key):
        biases = {"use_{}_bias".format(name): True for name in ("query", "key", "value", "output")}
        self.self_attn = nn.MultiheadAttention(heads, size, key=key, **biases)
        self.linear1, self.linear2 = nn.Linear(size, hidden, key=key), nn.Linear(hidden, size, key=key)
        self.norm1, self.norm2 = nn.LayerNorm(size), nn.LayerNorm(size)

    def __call__(self, xs):
        ys = jax.vmap(self.norm1)(xs)
        xs = xs + self.self_attn(ys, ys, ys)
        ys = jax.vmap(self.linear1)(jax.vmap(self.norm2)(xs))
        return xs + jax.vmap(self.linear2)(jax.nn.gelu(ys, approximate=False))


@pytest.mark.parametrize("stacked", [False, True])
def test_transformer(stacked):
    """An encoder of two layers, in a list or in a `Stacked`."""
    arrays, case = numbers("transformer")
    make = ft.partial(EncoderLayer, 8, 2, 12)
    layers = nn.Stacked(make, 2, key=KEY) if stacked else [make(key) for key in jrandom.split(KEY)]
    model = filled({"layers": layers, "norm": nn.LayerNorm(8)}, arrays)

    def call(xs):
        for layer in model["layers"]:
            xs = layer(xs)
        return jax.vmap(model["norm"])(xs)

    assert_close(jax.jit(jax.vmap(call))(case["x"]), case["y"])


def test_lstm():
    """An embedding, two layers in both directions, and a linear layer."""
    arrays, case = numbers("lstm")
    lstm = nn.LSTM(3, 4, 2, bidirectional=True, key=KEY)
    parts = {"embedding": nn.Embedding(5, 3, key=KEY), "lstm": lstm, "head": nn.Linear(8, 2, key=KEY)}
    model = filled(parts, arrays)

    def call(indices):
        return jax.vmap(model["head"])(model["lstm"](jax.vmap(model["embedding"])(indices))[0])

    assert_close(jax.jit(jax.vmap(call))(case["x"]), case["y"])


# Names and layouts


CONTENTS = {
    "embedding": (lambda: nn.Embedding(3, 2, key=KEY), {"weight": (3, 2)}),
    "indices of a list": (lambda: {"a": [jnp.ones(2), nn.PReLU()]}, {"a.0": (2,), "a.1.weight": (1,)}),
    "functions and dropout": (
        lambda: nn.Sequential([jax.nn.relu, nn.Dropout(jnp.array(0.5)), linear()]),
        {"2.weight": (2, 3), "2.bias": (2,)},
    ),
    "tied weights": (
        lambda: nn.Shared([nn.Embedding(3, 2, key=KEY), nn.Embedding(3, 2, key=KEY)], "[1].weight", "[0].weight"),
        {"0.weight": (3, 2), "1.weight": (3, 2)},
    ),
    # What PyTorch doesn't have keeps its own names.
    "tied weights that are computed": (
        lambda: nn.Shared([jnp.ones((3, 2)), jnp.ones((2, 3))], lambda x: x[1], lambda x: x[0].T),
        {"0": (3, 2)},
    ),
    "shared heads": (
        lambda: nn.MultiheadAttention(2, 4, num_kv_heads=1, key=KEY),
        {
            "query_proj.weight": (4, 4),
            "key_proj.weight": (2, 4),
            "value_proj.weight": (2, 4),
            "output_proj.weight": (4, 4),
        },
    ),
    "norm of mixed groups": (
        lambda: nn.WeightNorm(nn.ConvTranspose1d(4, 2, 1, groups=2, use_bias=False, key=KEY)),
        {"layer.weight": (4, 1, 1), "g": (2, 1, 1)},
    ),
    "outer norm": (
        lambda: nn.WeightNorm(nn.LoRA(nn.Linear(3, 2, bias=False, key=KEY), 1, key=KEY)),
        {"g": (2, 1), "layer.layer.weight": (2, 3), "layer.lora_a": (1, 3), "layer.lora_b": (2, 1)},
    ),
}


@pytest.mark.parametrize("name", list(CONTENTS))
def test_names_and_shapes(name):
    """They are PyTorch's. What is loaded is given back."""
    make, expected = CONTENTS[name]
    tree = make()
    assert shapes(tree) == expected
    if not name.startswith("tied"):
        filled(tree, {name: np.zeros(shape, np.float32) for name, shape in expected.items()})


def block(key):
    norm = nn.BatchNorm(2, "batch")
    return nn.Sequential([nn.ConvTranspose1d(2, 2, 1, groups=2, key=key), norm, nn.MultiheadAttention(1, 2, key=key)])


def test_a_stack_has_the_names_of_its_layers():
    """`Stacked` and `Sequential` have the same arrays in PyTorch. A stack in an `MLP` changes no name."""
    stacked, other = [nn.make_with_state(nn.Stacked)(block, 3, key=key) for key in (KEY, jrandom.PRNGKey(1))]
    unstacked = nn.make_with_state(lambda: nn.Sequential([block(key) for key in jrandom.split(KEY, 3)]))()
    arrays = eqx.to_dict(unstacked, rename=nn.torch_names(unstacked))
    assert shapes(stacked) == shapes(unstacked)
    # A program that was compiled with fewer optimisations, for another test, rounds differently.
    loaded = eqx.from_dict(other, arrays, rename=nn.torch_names(other))
    assert eqx.tree_equal(loaded, stacked, rtol=1e-5, atol=1e-6)
    assert eqx.from_dict(other, dict(arrays, x=1), rename=nn.torch_names(other), strict=False)[1] == {"x": 1}
    mlps = [nn.MLP(2, 3, 4, depth=3, scan=scan, key=KEY) for scan in (True, False)]
    arrays = eqx.to_dict(mlps[1], rename=nn.torch_names(mlps[1]))
    assert eqx.tree_equal(eqx.from_dict(mlps[0], arrays, rename=nn.torch_names(mlps[0])), mlps[0])


def test_a_stack_of_stacks_has_the_names_of_its_layers():
    """The first number is that of the outer layer."""

    def make(key):
        return nn.Stacked(lambda key: nn.Linear(1, 1, bias=False, key=key), 3, key=key)

    stacked, other = [nn.Stacked(make, 2, key=key) for key in (KEY, jrandom.PRNGKey(1))]
    arrays = eqx.to_dict(stacked, rename=nn.torch_names(stacked))
    weights = stacked.layers.layers.weight
    expected = {"{}.{}.weight".format(i, j): weights[i, j].tolist() for i in range(2) for j in range(3)}
    assert {name: array.tolist() for name, array in arrays.items()} == expected
    assert eqx.tree_equal(eqx.from_dict(other, arrays, rename=nn.torch_names(other)), stacked)


class Tensor:
    """Stands for a tensor of PyTorch, with the attributes that are used."""

    def __init__(self, array, dtype="torch.float32"):
        self.array, self.dtype = array, dtype

    def detach(self):
        return self

    cpu = detach

    def float(self):
        return Tensor(self.array)

    def numpy(self):
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_tensors(dtype):
    """They are taken as arrays are. NumPy has no bfloat16, so such a tensor is read as float32."""
    like = nn.PReLU(num_parameters=2, dtype=dtype)
    tensor = Tensor(np.array([0.5, 1.0], np.float32), "torch." + dtype)
    new = eqx.from_dict(like, {"weight": tensor}, rename=nn.torch_names(like))
    assert new.negative_slope.tolist() == [0.5, 1.0] and new.negative_slope.dtype == dtype


def test_counts_of_64_bits():
    """PyTorch counts in int64. It is given back so. A number that doesn't fit is an error."""
    like = nn.make_with_state(nn.BatchNorm)(1, "batch", channelwise_affine=False)
    arrays = {"running_mean": np.zeros(1, "f"), "running_var": np.ones(1, "f"), "num_batches_tracked": np.array(7)}
    model, state = eqx.from_dict(like, arrays, rename=nn.torch_names(like[0]))
    assert int(state.get(model.running)["steps"]) == 7
    assert eqx.to_dict((model, state), rename=nn.torch_names(model))["num_batches_tracked"].dtype == np.int64
    for too_much in (np.array(2**40), np.array(0.5)):
        with pytest.raises(ValueError, match=r"(?s)Another shape, dtype or type \(1\):\n    `num_batches_tracked`"):
            eqx.from_dict(like, dict(arrays, num_batches_tracked=too_much), rename=nn.torch_names(like))


def test_all_mismatches_are_in_one_error_with_the_names_of_pytorch():
    """Missing, unknown and another shape. `strict=False` takes what fits, and all of a fused array or nothing."""
    like = nn.MultiheadAttention(
        2, 4, use_query_bias=True, use_key_bias=True, use_value_bias=True, use_output_bias=True, key=KEY
    )
    names = nn.torch_names(like)
    arrays = {
        "in_proj_weights": np.ones((12, 4), "f"),
        "in_proj_bias": np.ones(11, "f"),
        "out_proj.bias": np.ones(4, "f"),
    }
    with pytest.raises(ValueError) as error:
        eqx.from_dict(like, arrays, rename=names)
    for line in (
        "Missing (2):",
        "    `in_proj_weight`: `Array` float32[12,4]. Near: `in_proj_weights`",
        "    `out_proj.weight`: `Array` float32[4,4]. Near: `in_proj_weights`",
        "Unknown in `like` (1):",
        "Another shape, dtype or type (1):",
        "    `in_proj_bias`: `ndarray` float32[11]. Expected `Array` float32[12]",
    ):
        assert line in str(error.value).splitlines()
    tree, rest = eqx.from_dict(like, arrays, rename=names, strict=False)
    assert sorted(rest) == ["in_proj_bias", "in_proj_weights"]
    assert eqx.tree_equal(tree, eqx.tree_at(lambda m: m.output_proj.bias, like, jnp.ones(4)))


def test_the_next_move_is_the_state():
    """Statistics without a state in `like` are unknown. The message says what to pass."""
    norm, state = nn.make_with_state(nn.BatchNorm)(1, "batch")
    arrays = eqx.to_dict((norm, state), rename=nn.torch_names(norm))
    with pytest.raises(ValueError, match=re.escape("pass `(model, state)` as `like`")):
        eqx.from_dict(norm, arrays, rename=nn.torch_names(norm))


def test_tied_weights_are_equal():
    """One leaf at two places takes two arrays only if they are equal."""
    like = CONTENTS["tied weights"][0]()
    load = ft.partial(eqx.from_dict, like, rename=nn.torch_names(like))
    table = np.array([[1, 2], [3, np.nan], [5, 6]], np.float32)
    arrays = {"0.weight": table, "1.weight": table.copy()}
    np.testing.assert_array_equal(load(arrays)()[1].weight, table)
    assert load(arrays, strict=False)[1] == {}
    with pytest.raises(ValueError, match="but `0.weight` and `1.weight` differ"):
        load(dict(arrays, **{"1.weight": np.zeros((3, 2), "f")}))


def test_errors():
    """Two arrays of one name. Something else as `rename` of `to_dict`."""
    with pytest.raises(ValueError, match="two arrays of the model have the name 'a.b' in PyTorch"):
        nn.torch_names({"a.b": jnp.ones(1), "a": {"b": jnp.ones(1)}})
    with pytest.raises(TypeError, match="`to_dict` expects `rename` to be what `nn.torch_names` returns, got `dict`"):
        eqx.to_dict(linear(), rename={})


def test_a_file_with_the_names_of_pytorch(tmp_path):
    """`load` takes the same `rename`: here for a file of what `to_dict` gave."""
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    path = str(tmp_path / "model.safetensors")
    like = nn.make_with_state(make_cnn)()
    arrays, _ = numbers("cnn")
    model = filled(like, arrays)
    eqx.save(path, eqx.to_dict(model, rename=nn.torch_names(model)))
    assert eqx.tree_equal(eqx.load(path, like, rename=nn.torch_names(like)), model)


def test_a_filter_selects_whole_arrays_of_pytorch():
    """An array that isn't made of wanted leaves alone is left out."""
    model = nn.Sequential([nn.MultiheadAttention(2, 4, key=KEY), linear()])
    wanted = eqx.tree_at(lambda m: m[0].key_proj.weight, jax.tree_util.tree_map(lambda x: True, model), False)
    assert sorted(eqx.to_dict(model, wanted, rename=nn.torch_names(model))) == [
        "0.out_proj.weight",
        "1.bias",
        "1.weight",
    ]
