"""What some JAX releases lack. The code, its errors and the table in the documentation share this list."""

import jax

from .release import jax_release

# The public name -> the first JAX release that it works on, and what came with that release.
SINCE = {
    "backward_nan": ((0, 3, 17), "`jax.pure_callback`"),
    "breakpoint_if": ((0, 3, 17), "`jax.debug.breakpoint`"),
    "dot_product_attention(implementation=...)": ((0, 4, 31), "`jax.nn.dot_product_attention`"),
    "error_if of a typed key": ((0, 4, 18), "`jax.random.key_impl`"),
    "error_if on an accelerator": ((0, 3, 17), "`jax.pure_callback`"),
    "error_if(on_error='breakpoint')": ((0, 3, 17), "`jax.debug.breakpoint`"),
    "filter_checkpoint(policy=...)": ((0, 2, 21), "policies of `jax.checkpoint`"),
    "filter_hessian(has_aux=True)": ((0, 2, 28), "the option to `jax.jacfwd`"),
    "filter_jacfwd(has_aux=True)": ((0, 2, 28), "the option to `jax.jacfwd`"),
    "filter_jacrev(has_aux=True)": ((0, 2, 28), "the option to `jax.jacrev`"),
    "filter_pure_callback": ((0, 3, 17), "`jax.pure_callback`"),
    "filter_pure_callback(sharding=...)": ((0, 4, 16), "the option to `jax.pure_callback`"),
    "filter_pure_callback(vmap_method=...)": ((0, 4, 35), "the option to `jax.pure_callback`"),
    "filter_scan(checkpoint=policy)": ((0, 2, 21), "policies of `jax.checkpoint`"),
    "filter_shard in a transformation": ((0, 4, 1), "`jax.lax.with_sharding_constraint`"),
    "filter_shard of typed keys in a transformation": ((0, 4, 18), "`jax.random.key_impl`"),
    "filter_shard_map": ((0, 4, 4), "`shard_map`"),
    "filter_shard_map(axis_names=...)": ((0, 4, 38), "the option to `shard_map`"),
    "filter_shard_map(mesh=None)": ((0, 6, 1), "`jax.shard_map`"),
    "in_shardings": ((0, 4, 4), "the option to `jax.jit`"),
    "load of a typed key": ((0, 4, 16), "`jax.random.wrap_key_data`"),
    "lower": ((0, 2, 25), "ahead-of-time lowering"),
    "out_shardings": ((0, 4, 4), "the option to `jax.jit`"),
    "save of a typed key": ((0, 4, 16), "the option `impl` of `jax.random.key`"),
    "shardings": ((0, 4, 1), "`jax.sharding.PartitionSpec`"),
    "spmd_axis_name": ((0, 3, 17), "the option to `jax.vmap`"),
    "store_dce": ((0, 3, 18), "the removal of unused operations before they are compiled"),
}


def require(feature, jax=jax):
    """Raise an error if the running JAX lacks what `feature` needs.

    Raises:
        NotImplementedError: The running JAX is older than the release that `SINCE` names for `feature`.
    """
    release, what = SINCE[feature]
    if jax_release(jax) < release:
        raise NotImplementedError(
            "`{}` needs JAX {} or newer, which added {}. This is JAX {}.".format(
                feature, ".".join(map(str, release)), what, jax.__version__
            )
        )
