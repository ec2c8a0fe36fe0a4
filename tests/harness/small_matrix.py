"""The tables `[project]` and `[backend]` of a small matrix.toml. A test appends its own rows."""

PROJECT = """
[project]
package = "equinox"
built_from = ["equinox", "pyproject.toml", "README.md", "LICENSE"]
suite = ["tests", "examples", "docs", "pyproject.toml", "README.md"]
left_out = ["tests/harness"]
extras = ["test"]
"""
BACKENDS = PROJECT + "".join(
    '[backend.{}]\nplatform = "{}"\nbase = "python:{{python}}-slim"\n'.format(name, platform)
    for name, platform in (("cpu", "cpu"), ("cuda", "gpu"), ("tpu", "tpu"))
)
