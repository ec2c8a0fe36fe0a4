"""Write docs/api.md: every public name, with the first sentence of its docstring. `make docs` runs it."""

import inspect
import os
import re

import equinox as eqx

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "api.md")

# The sections, in the order of the page. The first one that fits is taken: that of a module, or of a folder.
SECTIONS = [
    ("equinox._transforms.jit", "Compilation"),
    ("equinox._transforms.clear_caches", "Compilation"),
    ("equinox._transforms.grad", "Derivatives"),
    ("equinox._transforms.jvp_vjp", "Derivatives"),
    ("equinox._transforms.jacobian", "Derivatives"),
    ("equinox._transforms.custom_jvp_vjp", "Derivatives"),
    ("equinox._transforms.closure_convert", "Derivatives"),
    ("equinox._transforms.checkpoint", "Derivatives"),
    ("equinox._transforms.vmap", "Batches and ensembles"),
    ("equinox._transforms.pmap", "Batches and ensembles"),
    ("equinox._transforms.loops", "Loops and branches"),
    ("equinox._transforms.branches", "Loops and branches"),
    ("equinox._transforms.shard", "Sharding"),
    ("equinox._transforms.shard_map", "Sharding"),
    ("equinox._transforms.shardings", "Sharding"),
    ("equinox._transforms.eval_shape", "Shapes, programs and callbacks"),
    ("equinox._transforms.make_jaxpr", "Shapes, programs and callbacks"),
    ("equinox._transforms.pure_callback", "Shapes, programs and callbacks"),
    ("equinox._trees.predicates", "Filters"),
    ("equinox._trees.partition", "Filters"),
    ("equinox._module", "Modules"),
    ("equinox._trees.trainable", "Training"),
    ("equinox._trees", "Trees"),
    ("equinox._training", "Training"),
    ("equinox._runtime", "Checks at run time"),
    ("equinox.nn", "Layers"),
    ("equinox.debug", "Debugging"),
]

HEAD = """\
# API

<!-- Written by `make docs` from the docstrings: DO NOT EDIT. -->

Each name links to its definition. `help(eqx.jitf)` shows the whole docstring.
"""


def page():
    """The text of the page."""
    rows = {title: [] for _, title in SECTIONS}
    for name, public in public_names():
        rows[section(name, public)].append(row(name, public))
    parts = [HEAD]
    for title, lines in rows.items():
        if lines:
            parts.append("\n## {}\n\n| Name | In one sentence |\n|---|---|\n{}\n".format(title, "\n".join(lines)))
    return "".join(parts)


def public_names():
    """Every public name with what it names. A public module is followed by its own names."""
    for name in eqx.__all__:
        public = getattr(eqx, name)
        yield name, public
        if inspect.ismodule(public):
            for inner in public.__all__:
                yield "{}.{}".format(name, inner), getattr(public, inner)


def section(name, public):
    """The title of the section that a name belongs to."""
    for prefix, title in SECTIONS:
        if (module_of(public) + ".").startswith(prefix + "."):
            return title
    raise LookupError("`{}` of {} has no section: add one to SECTIONS.".format(name, module_of(public)))


def row(name, public):
    """One line of a table."""
    sentence = first_sentence(inspect.getdoc(public)).replace("|", "\\|")
    return "| [`{}`](../{}) | {} |".format(name, file_of(public), sentence)


def first_sentence(docstring):
    """As in "Keep some leaves." of "Keep some leaves. Replace the others."."""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return re.split(r"(?<=[.?!])\s+(?=[A-Z`])", paragraph)[0]


def file_of(public):
    """The file with the definition, relative to the repository, as in "equinox/_trees/at.py"."""
    parts = module_of(public).split(".")
    return "/".join(parts) + ("/__init__.py" if inspect.ismodule(public) else ".py")


def module_of(public):
    return public.__name__ if inspect.ismodule(public) else public.__module__


if __name__ == "__main__":
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page())
