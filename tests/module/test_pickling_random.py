"""Random object graphs with shared parts and cycles are the same after pickling."""

import collections
import dataclasses
import pickle
import random
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import equinox as eqx

Pair = collections.namedtuple("Pair", ["x", "y"])


@dataclasses.dataclass
class Data:
    x: Any
    y: Any


class Slots:
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x = x
        self.y = y


class Model(eqx.Module):
    x: Any
    y: Any

    def method(self):
        pass


MAKERS = [
    lambda a, b: [a, b],
    lambda a, b: (a, b),
    lambda a, b: {"a": a, "b": b},
    lambda a, b: collections.OrderedDict([("b", a), ("a", b)]),
    lambda a, b: collections.defaultdict(list, a=a, b=b),
    lambda a, b: Model(a, b).method,
    Pair,
    Data,
    Slots,
    Model,
    Model,
]


def random_model(rng):
    pool = [jax.nn.relu, jnp.tanh, 1, "text", None]
    for _ in range(rng.randrange(3, 25)):
        pool.append(rng.choice(MAKERS)(rng.choice(pool), rng.choice(pool)))
    for x in pool[5:]:  # close some cycles
        if rng.random() < 0.2:
            if isinstance(x, list):
                x.append(rng.choice(pool))
            elif isinstance(x, dict):
                x["c"] = rng.choice(pool)
            elif isinstance(x, (Data, Slots)):
                x.y = rng.choice(pool)
    return Model(rng.choice(pool[-3:]), pool[-4:])


def children(x):
    if isinstance(x, dict):
        return [*x, *x.values()]
    if isinstance(x, (list, tuple)):
        return list(x)
    if isinstance(x, (Data, Slots, Model)):
        return [x.x, x.y]
    return [x.__func__, x.__self__] if hasattr(x, "__self__") else None


def described(x):
    """Describe a graph by a list.

    Two graphs have the same list if they have the same types and leaves, and share the same parts.
    """
    description, numbers, met, pending = [], {}, [], [x]
    while pending:
        x = pending.pop()
        if id(x) in numbers:
            description.append(("met before", numbers[id(x)]))
        elif children(x) is None:
            description.append(x)
        else:
            numbers[id(x)] = len(numbers)
            met.append(x)  # kept alive, so no other object gets its `id`
            description.append((type(x), len(children(x))))
            pending += children(x)
    return description


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_graph_has_the_same_parts_in_the_same_places(protocol):
    for seed in range(60):
        model = random_model(random.Random(seed))
        assert described(pickle.loads(pickle.dumps(model, protocol))) == described(model), seed
