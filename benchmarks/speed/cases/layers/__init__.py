"""The time of each compiled layer, of its value and of its gradient. A file has a family of layers.

The floor is handwritten code on the same arrays. Both use `jax.jit`. The first word of a name is that of the layer. The
published package is measured with the layers that it has.
"""

import re
from collections.abc import Iterator

import dispatch_speed

import equinox as eqx
from speed.case import Case
from speed.cases.layers import attention, conv, linear, norms, pool, recurrent, stacked

FAMILIES = (attention, conv, linear, norms, pool, recurrent, stacked)
LAYERS = {name: make for family in FAMILIES for name, make in family.LAYERS.items()}


def cases() -> Iterator[Case]:
    for name, make in LAYERS.items():
        if hasattr(eqx.nn, re.findall(r"\w+", name)[0]):
            yield Case("layer: " + name, make, timed=dispatch_speed.done, seconds=1.5)
