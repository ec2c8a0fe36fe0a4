"""Callable pytrees and filtered transformations: neural networks in JAX, from 0.2.18 to the newest."""

from . import debug, nn
from ._module import AbstractClassVar, AbstractVar, Module, Partial, field, module_update_wrapper, replace, static_field
from ._runtime.enumeration import Enumeration
from ._runtime.error_if import EquinoxRuntimeError, EquinoxTracetimeError, branched_error_if, error_if
from ._training.freeze import freeze, unfreeze
from ._training.optimizer import Optimizer
from ._training.precision import cast
from ._training.summary import summary
from ._transforms.branches import filter_cond, filter_switch
from ._transforms.checkpoint import filter_checkpoint
from ._transforms.clear_caches import clear_caches
from ._transforms.closure_convert import filter_closure_convert
from ._transforms.custom_jvp_vjp import filter_custom_jvp, filter_custom_vjp
from ._transforms.eval_shape import filter_eval_shape
from ._transforms.grad import filter_grad, filter_value_and_grad, gradf, value_and_grad_f
from ._transforms.jacobian import filter_hessian, filter_jacfwd, filter_jacrev
from ._transforms.jit import filter_jit, jitf
from ._transforms.jvp_vjp import filter_jvp, filter_vjp
from ._transforms.loops import filter_fori_loop, filter_map, filter_scan, filter_while_loop
from ._transforms.make_jaxpr import filter_make_jaxpr
from ._transforms.pmap import filter_pmap
from ._transforms.pure_callback import filter_pure_callback
from ._transforms.shard import filter_device_put, filter_shard
from ._transforms.shard_map import filter_shard_map
from ._transforms.shardings import shardings
from ._transforms.vmap import filter_vmap, if_array
from ._trees.at import tree_at
from ._trees.check import tree_check
from ._trees.count_parameters import count_parameters
from ._trees.diff import tree_diff
from ._trees.equal import tree_equal
from ._trees.files import load, load_metadata, save
from ._trees.flatten_one_level import tree_flatten_one_level
from ._trees.format import tree_pformat, tree_pprint
from ._trees.names import from_dict, to_dict
from ._trees.partition import combine, filter, partition
from ._trees.paths import named_leaves
from ._trees.predicates import is_array, is_array_like, is_inexact_array, is_inexact_array_like
from ._trees.select import select
from ._trees.serialise import (
    default_deserialise_filter_spec,
    default_serialise_filter_spec,
    tree_deserialise_leaves,
    tree_serialise_leaves,
)
from ._trees.trainable import trainable
from ._trees.update import apply_updates
from .nn._inference import tree_inference

__version__ = "0.1.0"

__all__ = [
    "AbstractClassVar",
    "AbstractVar",
    "Enumeration",
    "EquinoxRuntimeError",
    "EquinoxTracetimeError",
    "Module",
    "Optimizer",
    "Partial",
    "apply_updates",
    "branched_error_if",
    "cast",
    "clear_caches",
    "combine",
    "count_parameters",
    "debug",
    "default_deserialise_filter_spec",
    "default_serialise_filter_spec",
    "error_if",
    "field",
    "filter",
    "filter_checkpoint",
    "filter_closure_convert",
    "filter_cond",
    "filter_custom_jvp",
    "filter_custom_vjp",
    "filter_device_put",
    "filter_eval_shape",
    "filter_fori_loop",
    "filter_grad",
    "filter_hessian",
    "filter_jacfwd",
    "filter_jacrev",
    "filter_jit",
    "filter_jvp",
    "filter_make_jaxpr",
    "filter_map",
    "filter_pmap",
    "filter_pure_callback",
    "filter_scan",
    "filter_shard",
    "filter_shard_map",
    "filter_switch",
    "filter_value_and_grad",
    "filter_vjp",
    "filter_vmap",
    "filter_while_loop",
    "freeze",
    "from_dict",
    "gradf",
    "if_array",
    "is_array",
    "is_array_like",
    "is_inexact_array",
    "is_inexact_array_like",
    "jitf",
    "load",
    "load_metadata",
    "module_update_wrapper",
    "named_leaves",
    "nn",
    "partition",
    "replace",
    "save",
    "select",
    "shardings",
    "static_field",
    "summary",
    "to_dict",
    "trainable",
    "tree_at",
    "tree_check",
    "tree_deserialise_leaves",
    "tree_diff",
    "tree_equal",
    "tree_flatten_one_level",
    "tree_inference",
    "tree_pformat",
    "tree_pprint",
    "tree_serialise_leaves",
    "unfreeze",
    "value_and_grad_f",
]
