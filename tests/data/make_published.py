"""Write `published_<version>.json`: files of the published Equinox, and the outputs of its layers.

    uv venv --python 3.11 ENV && uv pip install --python ENV equinox==0.13.8 jax==0.10.2 jaxlib==0.10.2
    ENV/bin/python tests/data/make_published.py
    uv venv --python 3.11 ENV2 && uv pip install --python ENV2 equinox==0.11.10 jax==0.4.30 jaxlib==0.4.30 numpy==2.0.2
    ENV2/bin/python tests/data/make_published.py

The other direction is checked by hand. This package writes files, and the published one reads them:

    PYTHONPATH=. python tests/data/make_published.py --write FOLDER
    ENV/bin/python tests/data/make_published.py --check FOLDER
"""

import base64
import importlib.metadata
import json
import pathlib
import sys
import warnings
import zlib

import jax
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "helpers"))
from published_cases import DATA, models, with_numbers, written

import equinox as eqx


def make(version):
    """Write the JSON file."""
    cases = {"made_by": "Equinox {} with JAX {}, tests/data/make_published.py".format(version, jax.__version__)}
    for name, (model, call) in models(eqx).items():
        tree = with_numbers(model())
        file = base64.b64encode(zlib.compress(written(eqx, tree), 9)).decode()
        cases[name] = {"file": file, "outputs": np.asarray(call(tree), np.float64).round(6).tolist()}
    lines = ["{}: {}".format(json.dumps(name), json.dumps(case)) for name, case in cases.items()]
    (DATA / "published_{}.json".format(version)).write_text("{\n" + ",\n".join(lines) + "\n}\n")


def write(folder):
    """Write a file and the outputs of each model of this package."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (model, call) in models(eqx).items():
        tree = with_numbers(model())
        (folder / (name + ".eqx")).write_bytes(written(eqx, tree))
        np.save(folder / (name + ".npy"), np.asarray(call(tree)))


def check(folder):
    """Read the files with the published package, and compare the outputs."""
    for name, (model, call) in models(eqx).items():
        tree = eqx.tree_deserialise_leaves(folder / (name + ".eqx"), model())
        np.testing.assert_allclose(call(tree), np.load(folder / (name + ".npy")), 1e-5, 1e-6, err_msg=name)
        print("same outputs:", name)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if len(sys.argv) == 1:
        make(importlib.metadata.version("equinox"))
    else:
        {"--write": write, "--check": check}[sys.argv[1]](pathlib.Path(sys.argv[2]))
