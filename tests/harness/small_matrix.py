"""A docker/matrix.toml in small: its backends, to write rows below."""

BACKENDS = "".join(
    '[backend.{}]\nplatform = "{}"\nbase = "python:{{python}}-slim"\n'.format(name, platform)
    for name, platform in (("cpu", "cpu"), ("cuda", "gpu"), ("tpu", "tpu"))
)
