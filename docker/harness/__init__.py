"""The harness on the host: one suite against every JAX, on every backend. What runs in a cell is in docker/inside."""
