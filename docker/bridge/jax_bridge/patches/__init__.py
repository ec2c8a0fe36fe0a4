"""One file per patch. Which JAX releases need which is in `releases.py`; `apply(jax)` takes the version of JAX.

All of them are run once, as `jaxlib` is imported: hence the imports of jaxlib at the top of each.
"""
