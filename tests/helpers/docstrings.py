"""What a docstring in Google style documents, and what the source of a function shows."""

import ast
import builtins
import inspect
import textwrap
import types


def documented(docstring, title):
    """The names of the entries in one section: `["x", "**kwargs"]` under `Args`, exceptions under `Raises`."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    if title + ":" not in lines:
        return []
    names = []
    for line in lines[lines.index(title + ":") + 1 :]:
        if line and not line.startswith(" "):
            break
        if line.startswith("    ") and not line.startswith("     "):
            names.append(line.split(":")[0].strip())
    return names


def parameters(function, is_method=False):
    """The names of the parameters as `Args` lists them. `self` is left out of those of a method.

    The library makes its exceptions itself, so they have none. A generic class that isn't made has none either.
    """
    if isinstance(function, type) and issubclass(function, Exception):
        return []
    if isinstance(function, type) and function.__init__ is object.__init__:
        return []  # before Python 3.9, `typing.Generic` has a `__new__`
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    names = [stars.get(p.kind, "") + p.name for p in inspect.signature(function).parameters.values()]
    return names[1:] if is_method else names


def raised(function, seen=None):
    """The names of the exceptions that `function` raises itself, or in functions of the library that it calls.

    This reads the source. It follows the calls of functions and classes that stand there by their names.
    """
    seen = set() if seen is None else seen
    function = inspect.unwrap(function) if callable(function) else None
    if not isinstance(function, types.FunctionType) or function in seen or not _is_ours(function):
        return set()
    seen.add(function)
    found = set()
    try:
        source = inspect.getsource(function)
    except OSError:  # `dataclasses` keeps no source of what it makes
        return found
    for node in ast.walk(ast.parse(textwrap.dedent(source))):
        if isinstance(node, ast.Raise) and node.exc is not None:
            names = [n.id for n in ast.walk(node.exc) if isinstance(n, ast.Name)]
            found.update(name for name in names if _is_exception(getattr(builtins, name, None)))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = function.__globals__.get(node.func.id)
            found |= raised(called.__init__ if isinstance(called, type) else called, seen)
    return found


def _is_ours(function):
    return (function.__module__ or "").split(".")[0] == "equinox"


def _is_exception(x):
    return isinstance(x, type) and issubclass(x, Exception)
