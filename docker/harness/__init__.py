"""The test harness: one suite against every JAX, on every backend. It is the host's side; docker/inside is the cell's."""
