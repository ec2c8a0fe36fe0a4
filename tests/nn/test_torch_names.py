"""`torch_names`: models of PyTorch are loaded by its names and in its layouts, and given back."""

import functools as ft
import re

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from helpers.torch_cases import filled

import equinox as eqx
from equinox import nn

KEY = jrandom.PRNGKey(0)


def shapes(tree):
    return {name: x.shape for name, x in eqx.to_dict(tree, rename=nn.torch_names(tree)).items()}


def linear(key=KEY):
    return nn.Linear(3, 2, key=key)


def spectral(layer):
    return nn.SpectralNorm(layer, key=KEY)


# The shapes are those of the `state_dict` of PyTorch 2.13 for the same layers.
LINEAR_IN_PARAMETRIZATIONS = {
    "bias": (2,),
    "parametrizations.weight.original0": (2, 1),
    "parametrizations.weight.original1": (2, 3),
    "parametrizations.weight.1._u": (2,),
    "parametrizations.weight.1._v": (3,),
}
CONTENTS = {
    "embedding": (lambda: nn.Embedding(3, 2, key=KEY), {"weight": (3, 2)}),
    "indices of a list": (lambda: {"a": [jnp.ones(2), nn.PReLU()]}, {"a.0": (2,), "a.1.weight": (1,)}),
    "functions and dropout": (
        lambda: nn.Sequential([jax.nn.relu, nn.Dropout(jnp.array(0.5)), linear()]),
        {"2.weight": (2, 3), "2.bias": (2,)},
    ),
    "recurrent network of one cell": (
        lambda: nn.RNN(nn.RNNCell(3, 2, bias=False, key=KEY)),
        {"weight_ih_l0": (2, 3), "weight_hh_l0": (2, 2)},
    ),
    "parameter of a recurrent network": (
        lambda: nn.RNN(nn.WeightNorm(nn.RNNCell(3, 2, bias=False, key=KEY), "weight_hh")),
        {
            "weight_ih_l0": (2, 3),
            "parametrizations.weight_hh_l0.original0": (2, 1),
            "parametrizations.weight_hh_l0.original1": (2, 2),
        },
    ),
    "lengths of a transposed weight": (
        lambda: nn.WeightNorm(nn.ConvTranspose1d(3, 2, 4, use_bias=False, key=KEY), axis=1),
        {"parametrizations.weight.original0": (3, 1, 1), "parametrizations.weight.original1": (3, 2, 4)},
    ),
    "two parametrizations": (
        nn.make_with_state(lambda: spectral(nn.WeightNorm(linear()))),
        LINEAR_IN_PARAMETRIZATIONS,
    ),
    "first values in the model": (lambda: spectral(nn.WeightNorm(linear())), LINEAR_IN_PARAMETRIZATIONS),
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
    assert eqx.tree_equal(eqx.from_dict(other, arrays, rename=nn.torch_names(other)), stacked, rtol=1e-6)
    mlps = [nn.MLP(2, 3, 4, depth=3, scan=scan, key=KEY) for scan in (True, False)]
    arrays = eqx.to_dict(mlps[1], rename=nn.torch_names(mlps[1]))
    assert eqx.tree_equal(eqx.from_dict(mlps[0], arrays, rename=nn.torch_names(mlps[0])), mlps[0])


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
        "    `in_proj_weight`: `ShapeDtypeStruct` float32[12,4]. Near: `in_proj_weights`",
        "    `out_proj.weight`: `Array` float32[4,4]",
        "Unknown in `like` (1):",
        "Another shape, dtype or type (1):",
        "    `in_proj_bias`: `ndarray` float32[11]. Expected `ShapeDtypeStruct` float32[12]",
    ):
        assert line in str(error.value).splitlines() or line in str(error.value)
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
    arrays = {"0.weight": np.ones((3, 2), "f"), "1.weight": np.ones((3, 2), "f")}
    assert load(arrays)()[1].weight.tolist() == np.ones((3, 2)).tolist()
    with pytest.raises(ValueError, match="but `0.weight` and `1.weight` differ"):
        load(dict(arrays, **{"1.weight": np.zeros((3, 2), "f")}))


def test_errors():
    """Two arrays of one name. Something else as `rename` of `to_dict`."""
    with pytest.raises(ValueError, match="two arrays of the model have the name 'a.b' in PyTorch"):
        nn.torch_names({"a.b": jnp.ones(1), "a": {"b": jnp.ones(1)}})
    with pytest.raises(TypeError, match="`to_dict` expects `rename` to be what `nn.torch_names` returns, got `dict`"):
        eqx.to_dict(linear(), rename={})


def test_a_filter_selects_whole_arrays_of_pytorch():
    """An array that isn't made of wanted leaves alone is left out."""
    model = nn.Sequential([nn.MultiheadAttention(2, 4, key=KEY), linear()])
    wanted = eqx.tree_at(lambda m: m[0].key_proj.weight, jax.tree_util.tree_map(lambda x: True, model), False)
    assert sorted(eqx.to_dict(model, wanted, rename=nn.torch_names(model))) == [
        "0.out_proj.weight",
        "1.bias",
        "1.weight",
    ]
