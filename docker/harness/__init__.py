"""The host's side of the harness: it runs one suite on every JAX and every backend.

The words that all modules use:

- A *row* of docker/matrix.toml is one release line of JAX. A *backend* is `cpu`, `cuda` or `tpu`.
- A *cell* is one Python, one JAX and one backend: `py311-jax0.4.30-cpu`. A row makes a cell for each backend.
- A *lock* names the exact packages of a cell. A *floating* cell has none: its JAX is the latest, or a nightly build.
- The *bridge* (docker/bridge) runs an old JAX whose own jaxlib is gone from the package index.
- An *environment* is the folder with the installed packages of a cell. An *image* is the same for a container.
- A *snapshot* is a copy of the source that is hashed, built and tested. Later changes of the checkout don't matter.
- A *result* has one of six *outcomes*, and the hashes of what was tested. It is *stale* if these have changed.
- The *proof of place* shows that the tests ran on the device of the cell, and not on the CPU.

The code that runs inside a cell is in docker/inside.
"""
