"""The `[backend]` tables of a small docker/matrix.toml. A test appends its own rows."""

BACKENDS = "".join(
    '[backend.{}]\nplatform = "{}"\nbase = "python:{{python}}-slim"\n'.format(name, platform)
    for name, platform in (("cpu", "cpu"), ("cuda", "gpu"), ("tpu", "tpu"))
)
