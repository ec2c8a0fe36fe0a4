"""One file per patch. `releases.py` says which releases of JAX need which patch. `apply(jax)` gets the version of JAX.

A patch is imported and applied once, when `jaxlib` is imported. So its file may import jaxlib at the top.
"""
