"""The table `[project]` of a small matrix.toml, and the tables `[backend]` of a small jax.toml. A test appends more."""

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
