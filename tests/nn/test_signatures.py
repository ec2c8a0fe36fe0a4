"""The layers are made and called as the table says. The arguments of 0.0.1 come first, as it specifies."""

import inspect

import pytest
from helpers.layer_laws import NO_LAYERS

import equinox as eqx

CELL = "(input_size, hidden_size, bias=True, dtype=None, *, use_bias=None, weight_init=None, bias_init=None, key)"
OVER_SEQUENCE = "(xs, initial=None, *, lengths=None, reverse=False, key=None)"
LAYERS_OF_CELLS = (
    "(input_size, hidden_size, num_layers=1, bidirectional=False, dropout=0.0, use_bias=True, dtype=None, *, unroll=1, "
    "weight_init=None, bias_init=None, key)"
)
AVG_POOL = "(kernel_size, stride=1, padding=0, use_ceil=False, *, count_include_pad=True)", "(x, *, key=None)"
MAX_POOL = "(kernel_size, stride=1, padding=0, use_ceil=False)", "(x, *, key=None)"
CONV = (
    "(in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, use_bias=True, "
    "padding_mode='ZEROS', dtype=None, *, weight_init=None, bias_init=None, key)"
)
CONV_TRANSPOSE = CONV.replace("stride=1, padding=0,", "stride=1, output_padding=0, padding=0,")
ADAPTIVE = "(target_shape)", "(x, *, key=None)"
SPECIFICATION = {
    "AdaptiveAvgPool1d": ADAPTIVE,
    "AdaptiveAvgPool2d": ADAPTIVE,
    "AdaptiveAvgPool3d": ADAPTIVE,
    "AdaptiveMaxPool1d": ADAPTIVE,
    "AdaptiveMaxPool2d": ADAPTIVE,
    "AdaptiveMaxPool3d": ADAPTIVE,
    "AdaptivePool": ("(target_shape, num_spatial_dims, operation)", "(x, *, key=None)"),
    "AvgPool1d": AVG_POOL,
    "AvgPool2d": AVG_POOL,
    "AvgPool3d": AVG_POOL,
    "MaxPool1d": MAX_POOL,
    "MaxPool2d": MAX_POOL,
    "MaxPool3d": MAX_POOL,
    "Pool": (
        "(init, operation, num_spatial_dims, kernel_size, stride=1, padding=0, use_ceil=False)",
        "(x, *, key=None)",
    ),
    "Conv": (CONV.replace("(", "(num_spatial_dims, ", 1), "(x, *, key=None)"),
    "Conv1d": (CONV, "(x, *, key=None)"),
    "Conv2d": (CONV, "(x, *, key=None)"),
    "Conv3d": (CONV, "(x, *, key=None)"),
    "ConvTranspose": (
        CONV.replace("(", "(num_spatial_dims, ", 1).replace("padding=0,", "padding=0, output_padding=0,"),
        "(x, *, key=None)",
    ),
    "ConvTranspose1d": (CONV_TRANSPOSE, "(x, *, key=None)"),
    "ConvTranspose2d": (CONV_TRANSPOSE, "(x, *, key=None)"),
    "ConvTranspose3d": (CONV_TRANSPOSE, "(x, *, key=None)"),
    "GRU": (LAYERS_OF_CELLS, OVER_SEQUENCE),
    "LSTM": (LAYERS_OF_CELLS, OVER_SEQUENCE),
    "RNN": ("(cell, *, unroll=1)", OVER_SEQUENCE),
    "PReLU": ("(init_alpha=0.25, num_parameters=1, dtype=None)", "(x, *, key=None)"),
    "Lambda": ("(fn)", "(x, *, key=None)"),
    "Linear": (CELL.replace("input_size, hidden_size", "in_features, out_features"), "(input, *, key=None)"),
    "Identity": ("(*args, **kwargs)", "(input, *, key=None)"),
    "Dropout": (
        "(p=0.5, deterministic=False, *, inference=None)",
        "(input, *, key=None, deterministic=None, inference=None)",
    ),
    "GRUCell": (CELL, "(input, hidden, *, key=None)"),
    "RNNCell": (CELL.replace("*,", "*, activation,"), "(input, hidden, *, key=None)"),
    "LSTMCell": (CELL, "(input, hidden, *, key=None)"),
    "Sequential": ("(layers)", "(input, state=None, *, key=None)"),
    "MLP": (
        "(in_size, out_size, width_size, depth, activation, final_activation, use_bias=True, use_final_bias=True, "
        "dtype=None, *, scan=False, weight_init=None, bias_init=None, key)",
        "(input, *, key=None)",
    ),
    "LayerNorm": (
        "(shape, eps=1e-05, use_weight=True, use_bias=True, dtype=None, *, weight_init=None, bias_init=None, key=None)",
        "(x, state=None, *, key=None)",
    ),
    "RMSNorm": (
        "(shape, eps=1e-05, use_weight=True, use_bias=True, dtype=None, *, weight_init=None, bias_init=None, key=None)",
        "(x, state=None, *, key=None)",
    ),
    "GroupNorm": (
        "(groups, channels=None, eps=1e-05, channelwise_affine=True, dtype=None, "
        "*, weight_init=None, bias_init=None, key=None)",
        "(x, state=None, *, key=None)",
    ),
    "InstanceNorm": (
        "(channels=None, eps=1e-05, channelwise_affine=False, dtype=None, "
        "*, weight_init=None, bias_init=None, key=None)",
        "(x, state=None, *, key=None)",
    ),
    "BatchNorm": (
        "(input_size, axis_name, eps=1e-05, channelwise_affine=True, momentum=None, inference=False, dtype=None, "
        "mode='torch', *, weight_init=None, bias_init=None, key=None)",
        "(x, state=None, *, key=None, inference=None)",
    ),
    "SpectralNorm": (
        "(layer, weight_name='weight', num_power_iterations=1, eps=1e-12, inference=False, *, key)",
        "(x, state=None, *args, key=None, inference=None, **kwargs)",
    ),
    "Einsum": (
        "(equation, shape, bias_shape=None, dtype=None, *, weight_init=None, bias_init=None, key)",
        "(x, *, key=None)",
    ),
    "LoRA": ("(layer, rank, *, alpha=None, weight_name='weight', key)", "(x, *args, key=None, **kwargs)"),
    "Shared": ("(pytree, where, get)", "()"),
    "Stacked": (
        "(make_layer, depth, *, unroll=1, checkpoint=False, key)",
        "(x, state=None, *, key=None, **kwargs)",
    ),
    "Embedding": (
        "(num_embeddings=None, embedding_size=None, weight=None, dtype=None, *, weight_init=None, key=None)",
        "(x, *, key=None)",
    ),
    "RotaryPositionalEmbedding": ("(embedding_size, theta=10000.0, dtype=None)", "(x, *, offset=0, key=None)"),
    "MultiheadAttention": (
        "(num_heads, query_size, key_size=None, value_size=None, output_size=None, qk_size=None, vo_size=None, "
        "use_query_bias=False, use_key_bias=False, use_value_bias=False, use_output_bias=False, dropout_p=0.0, "
        "inference=False, dtype=None, *, num_kv_heads=None, max_length=None, weight_init=None, bias_init=None, key)",
        "(query, key_, value, mask=None, *, state=None, is_causal=False, key=None, inference=None, process_heads=None)",
    ),
    "WeightNorm": ("(layer, weight_name='weight', axis=0)", "(x, *args, key=None, **kwargs)"),
}


def test_every_layer_is_specified():
    """Each public layer has an entry in the table."""
    assert sorted(SPECIFICATION) == sorted(set(eqx.nn.__all__) - NO_LAYERS)


def _without_types(function):
    return [p.replace(annotation=p.empty) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("name", sorted(SPECIFICATION))
def test_signatures(name):
    """The signatures are those of the table."""
    layer = getattr(eqx.nn, name)
    made, called = SPECIFICATION[name]
    parameters = [
        p.replace(default=p.empty) if callable(p.default) and p.default is not p.empty else p
        for p in _without_types(layer)
    ]
    if name == "MLP":  # whose defaults are functions: `jax.nn.relu`, and the identity
        assert inspect.signature(layer).parameters["final_activation"].default(3) == 3
    assert str(inspect.Signature(parameters)) == made
    assert str(inspect.Signature(_without_types(layer.__call__)[1:])) == called
