"""How arrays are spread over devices."""

import importlib

import jax

from .arrays import is_typed_key
from .features import require
from .release import jax_release


def constrain(x, sharding, jax=jax):
    """The traced array `x`, with a sharding: inside `jax.jit`, XLA gives it this sharding.

    `with_sharding_constraint` came in JAX 0.4.1. Before 0.7.0 it may refuse typed keys (see `is_typed_key`), so their
    data is constrained. A floor of 0.7.0 retires this. On the explicit axes of a mesh, `jax.sharding.reshard` does the
    same.

    Args:
        x: The array.
        sharding: A sharding, a `PartitionSpec` or a device.
        jax: The module `jax`, or a stand-in.

    Raises:
        NotImplementedError: The running JAX is older than 0.4.1, or than 0.4.18 for typed keys.
    """
    require("filter_shard in a transformation", jax)
    if is_device(sharding):
        sharding = jax.sharding.SingleDeviceSharding(sharding)
    if _is_explicit(sharding, jax):
        return jax.sharding.reshard(x, sharding)
    if is_typed_key(x, jax) and jax_release(jax) < (0, 7, 0):
        require("filter_shard of typed keys in a transformation", jax)
        data = jax.lax.with_sharding_constraint(jax.random.key_data(x), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    return jax.lax.with_sharding_constraint(x, sharding)


def sharding_of_type(x):
    """The sharding that belongs to the type of an array, as text. It is empty if there is none.

    The type of an array on a mesh holds the mesh since about JAX 0.5, and on explicit axes also the spec. `jax.jit`
    traces a function again for another type. Older types have no mesh. No floor retires this function.

    Args:
        x: An array, or a shape and dtype.
    """
    sharding = getattr(getattr(x, "aval", None), "sharding", None)
    axes = getattr(getattr(sharding, "mesh", None), "shape", None)
    if sharding is None or not axes:
        return ""
    mesh = ", ".join("{}={}".format(*axis) for axis in axes.items())
    return "P({}) on the mesh ({})".format(", ".join(map(repr, sharding.spec)), mesh)


def placement(x, jax=jax):
    """Where an array is, as `jax.device_put` takes it: a sharding or a device. `None` for JAX's own choice.

    JAX never chooses a mesh by itself, also not one of a single device. It never chooses the memory of the host.
    `jax.eval_shape` gives shapes on an abstract mesh, which has no devices, so JAX chooses there.

    Arrays have a sharding since JAX 0.4.1. Before, an array on one device has a method `device`. A floor of 0.4.1
    retires this branch.

    Args:
        x: A JAX array, or a `ShapeDtypeStruct`, which may have a sharding too.
        jax: The module `jax`, or a stand-in.
    """
    if isinstance(x, jax.core.Tracer):
        return None
    default = getattr(jax.config, "jax_default_device", None)
    if default is None or isinstance(default, str):
        default = jax.local_devices(backend=default)[0]
    if jax_release(jax) < (0, 4, 1):
        on_one_device = callable(getattr(x, "device", None)) and not hasattr(x, "sharding_spec")
        device = x.device() if on_one_device else default
        return None if device == default else device
    sharding = getattr(x, "sharding", None)
    if sharding is None or sharding == jax.sharding.SingleDeviceSharding(default):
        return None
    try:
        return sharding if sharding.device_set else None
    except ValueError:  # an abstract mesh
        return None


def is_device(x):
    """Whether `x` is one of `jax.devices()`. Every JAX has another class for them."""
    return hasattr(x, "device_kind") and hasattr(x, "platform")


def _is_explicit(sharding, jax):
    """Whether a sharding names only explicit axes of a mesh. A `PartitionSpec` is for the mesh of the context."""
    if not hasattr(jax.sharding, "reshard"):
        return False
    explicit = jax.sharding.AxisType.Explicit
    if isinstance(sharding, jax.sharding.PartitionSpec):
        mesh = jax.sharding.get_abstract_mesh()
    else:
        mesh = getattr(sharding, "mesh", None)
    types = getattr(mesh, "axis_types", ())
    return bool(types) and all(kind == explicit for kind in types)


def shard_map(fun, mesh, in_specs, out_specs, axis_names=None, check_vma=True, jax=jax):
    """`jax.shard_map`, with the options of its newest form.

    It came in JAX 0.4.4, in `jax.experimental.shard_map`. There `check_vma` is called `check_rep`, and `auto` has the
    axes that are not in `axis_names`. `auto` came in 0.4.16, and works from 0.4.38. The function is `jax.shard_map`
    since 0.6.1. Before 0.6.1, JAX can't check some operations, such as loops. Its error says so and names `check_rep`,
    which becomes `check_vma` here. A floor of 0.6.1 retires this function.

    Args:
        fun: The function.
        mesh: The mesh. `None` for that of the context.
        in_specs: As for `jax.shard_map`.
        out_specs: As for `jax.shard_map`.
        axis_names: The names of the axes over which `fun` is mapped. `None` for all.
        check_vma: As for `jax.shard_map`.
        jax: The module `jax`, or a stand-in.

    Raises:
        NotImplementedError: The running JAX lacks the function or an option.
    """
    require("filter_shard_map", jax)
    options = {} if axis_names is None else {"axis_names": frozenset(axis_names)}
    if hasattr(jax, "shard_map"):
        if mesh is not None:
            options["mesh"] = mesh
        return jax.shard_map(fun, in_specs=in_specs, out_specs=out_specs, check_vma=check_vma, **options)
    if mesh is None:
        require("filter_shard_map(mesh=None)", jax)
    experimental = importlib.import_module(jax.__name__ + ".experimental.shard_map").shard_map
    auto = frozenset() if axis_names is None else frozenset(mesh.axis_names) - options.pop("axis_names")
    if auto:
        require("filter_shard_map(axis_names=...)", jax)
    options = {"auto": auto} if auto else {}
    mapped = experimental(fun, mesh, in_specs, out_specs, check_rep=check_vma, **options)

    def call(*args):
        try:
            return mapped(*args)
        except (NotImplementedError, ValueError) as error:
            if "check_rep" not in str(error):
                raise
            raise type(error)(str(error).replace("check_rep", "check_vma")) from error

    return call
