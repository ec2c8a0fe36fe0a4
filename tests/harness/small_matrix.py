"""The table `[project]` of a small matrix.toml, the tables `[backend]` of a small jax.toml, and cells."""

from harness.rows import Cell

PROJECT = """
[project]
package = "equinox"
built_from = ["equinox", "pyproject.toml", "README.md", "LICENSE"]
build_constraints = "docker/wheel-constraints.txt"
suite = ["tests", "examples", "docs", "pyproject.toml", "README.md"]
left_out = ["tests/harness"]
extras = ["test"]
backends = ["cpu"]
"""
BACKENDS = "".join(
    '[backend.{}]\nplatform = "{}"\nbase = "python:{{python}}-slim"\n'.format(name, platform)
    for name, platform in (("cpu", "cpu"), ("cuda", "gpu"), ("tpu", "tpu"))
)


def a_cell(jax="0.4.30", backend="cpu", **more):
    """A cell. `more` are fields of it."""
    platform = {"cuda": "gpu"}.get(backend, backend)
    usual = {"python": "3.11", "platform": platform, "tier": "pr", "jaxlib": jax, "as_of": None, "requires": ()}
    return Cell(jax=jax, backend=backend, **{**usual, **more})
