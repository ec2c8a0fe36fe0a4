"""Write `torch_attention.json`: attention and embedding. How to run it: `torch_case.py`."""

import torch
from torch_case import draw, make_case, new_rng, write

rng = new_rng()
cases = {}
nn = torch.nn


def add_embedding(name, indices, rows, size):
    cases[name] = make_case(rng, nn.Embedding(rows, size), {"x": indices})


add_embedding("Embedding", [3, 0, 3, 1], 4, 3)
add_embedding("Embedding of one row", [0, 0], 1, 2)


def add_function(name, shape, mask=None, bias=None, **options):
    """`shape` is `(q, kv, heads, kv_heads, size, value_size)`. Heads come first in PyTorch."""
    q, kv, heads, kv_heads, size, value_size = shape
    inputs = {
        "query": draw(rng, heads, q, size),
        "key": draw(rng, kv_heads, kv, size),
        "value": draw(rng, kv_heads, kv, value_size),
    }
    if mask is not None:
        inputs["mask"] = mask
    if bias is not None:
        inputs["bias"] = bias

    def call(_, inputs):
        score = inputs.get("mask", inputs.get("bias"))
        y = nn.functional.scaled_dot_product_attention(
            inputs["query"][None],
            inputs["key"][None],
            inputs["value"][None],
            None if score is None else score.expand(1, heads, q, kv),
            enable_gqa=heads != kv_heads,
            **options,
        )
        return {"y": y[0]}

    cases[name] = make_case(rng, None, inputs, call, options)


T, F = True, False
rows = [[T, F, T], [F, F, T], [F, F, F], [T, T, T]]
heads = [rows, [[F, T, F]] * 4]
add_function("function", (4, 3, 2, 2, 3, 2))
add_function("function scale", (4, 3, 2, 2, 3, 2), scale=0.3)
add_function("function causal", (4, 4, 2, 2, 3, 2), is_causal=True)
add_function("function causal, more keys", (2, 4, 2, 2, 3, 2), is_causal=True)
add_function("function causal, fewer keys", (4, 2, 2, 2, 3, 2), is_causal=True)
add_function("function mask with an empty row", (4, 3, 2, 2, 3, 2), rows)
add_function("function mask for each head", (4, 3, 2, 2, 3, 2), heads)
add_function("function bias", (4, 3, 2, 2, 3, 2), bias=draw(rng, 4, 3))
add_function("function bias for each head", (4, 3, 2, 2, 3, 2), bias=draw(rng, 2, 4, 3))
add_function("function grouped", (4, 3, 4, 2, 3, 2))
add_function("function multi-query, causal", (3, 3, 3, 1, 3, 2), is_causal=True)
add_function("function grouped, mask", (4, 3, 4, 2, 3, 2), rows)
add_function("function grouped, mask for each head", (4, 3, 4, 2, 3, 2), heads + heads[::-1])
add_function("function grouped, bias for each head", (4, 3, 4, 2, 3, 2), bias=draw(rng, 4, 4, 3))


def add_layer(name, layer, lengths, sizes, mask=None):
    q, kv = lengths
    inputs = {"query": draw(rng, q, sizes[0]), "key": draw(rng, kv, sizes[1]), "value": draw(rng, kv, sizes[2])}
    if mask is not None:
        inputs["mask"] = mask

    def call(layer, inputs):
        attn_mask = None if mask is None else ~inputs["mask"]
        y, _ = layer(inputs["query"], inputs["key"], inputs["value"], attn_mask=attn_mask, need_weights=False)
        return {"y": y}

    options = {"num_heads": layer.num_heads, "sizes": sizes}
    cases[name] = make_case(rng, layer, inputs, call, options)


# PyTorch's layer gives NaN if no key takes part, so each query has a key here.
some = [[T, F, T], [F, F, T], [T, T, T], [F, T, F]]
add_layer("layer", nn.MultiheadAttention(4, 2), (4, 3), [4, 4, 4])
add_layer("layer no bias", nn.MultiheadAttention(4, 2, bias=False), (4, 3), [4, 4, 4])
add_layer("layer other sizes", nn.MultiheadAttention(4, 2, kdim=3, vdim=2), (4, 3), [4, 3, 2])
add_layer("layer mask", nn.MultiheadAttention(4, 2), (4, 3), [4, 4, 4], some)
add_layer("layer mask for each head", nn.MultiheadAttention(4, 2), (4, 3), [4, 4, 4], [some, some[::-1]])

write(__file__, cases)
