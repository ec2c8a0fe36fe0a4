"""The host's side of the harness: it runs one suite on every JAX and every backend.

The code that runs inside a cell is in docker/inside.
"""
