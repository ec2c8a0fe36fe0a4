"""Who is measured: this library, and the peers that run the same work."""

import dataclasses

OURS = "equinox, here"


@dataclasses.dataclass(frozen=True)
class Contestant:
    """`library` is the worker's word for its cases; `shown` says which of their contenders it stands for, and how the
    table and the plot call them."""

    name: str
    library: str
    shown: dict[str, str]
    cases: tuple[str, ...] = ()
    checkout: bool = False


HERE = Contestant(
    OURS,
    "equinox",
    {
        "equinox": OURS,
        "jitf": "jitf, here",
        "raw jit, dict": "raw jit on a dict",
        "raw jit, modules": "raw jit on modules",
        "raw jit": "raw jit",
    },
    checkout=True,
)
PUBLISHED = Contestant(
    "equinox, published",
    "equinox",
    {"equinox": "equinox, published"},
    ("dispatch", "nodes", "trees", "tracing", "overlap", "imports"),
)
NNX = Contestant("Flax NNX", "nnx", {"nnx": "Flax NNX", "nnx cached": "Flax NNX, cached"})

PEERS = (PUBLISHED, NNX)
