"""Names of leaves, as a user would write them: `model.layers[0].activation`. Only error messages pay for these."""

from ._compat import named_children


def leaf_paths(tree, root="", is_leaf=None):
    """The path of each leaf of `tree`, in flattening order, each beginning with `root`."""
    paths = []
    pending = [(root, tree)]  # a stack, not recursion: trees may be deeper than Python's
    while pending:
        path, node = pending.pop()
        children = named_children(node, is_leaf)
        if children is None:
            paths.append(path)
        else:
            pending.extend((path + name, child) for name, child in reversed(children))
    return paths


def first_difference(expected, got, root=""):
    """Where and how the structure of `got` first departs from that of `expected`: `(path, expected, got)`.

    The last two say in words what is there. `None` where the structures agree as far as names and types can tell.
    """
    pending = [(root, expected, got)]
    while pending:
        path, left, right = pending.pop()
        left_children, right_children = named_children(left), named_children(right)
        if left_children is None and right_children is None:
            continue
        if left_children is None or right_children is None or type(left) is not type(right):
            return path, describe_node(left), describe_node(right)
        left_names = [name for name, _ in left_children]
        right_names = [name for name, _ in right_children]
        if left_names != right_names:
            return path, describe_node(left, left_names), describe_node(right, right_names)
        triples = zip(left_names, left_children, right_children)
        pending.extend(reversed([(path + name, a, b) for name, (_, a), (_, b) in triples]))
    return None


def describe_node(node, names=None):
    """A node or leaf in a few words: its type, and for a container what is in it."""
    if node is None:
        return "`None`"
    if named_children(node) is None:
        return "a leaf ({})".format(describe_leaf(node))
    if names is None:
        return "a `{}`".format(type(node).__name__)
    return "a `{}` with {}".format(type(node).__name__, ", ".join("`{}`".format(n) for n in names) or "no children")


def describe_leaf(x):
    """A leaf in a few words: its type, and for an array its dtype and shape."""
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        return "`{}` {}[{}]".format(type(x).__name__, x.dtype, ",".join(map(str, x.shape)))
    text = repr(x)
    return "`{}` {}".format(type(x).__name__, text if len(text) <= 40 else text[:37] + "...")
