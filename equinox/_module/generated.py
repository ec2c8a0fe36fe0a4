"""Functions that are written out for a class, with a source that a traceback can show."""

import linecache


def define(title, source, scope, variables=None):
    """Run `source`, which defines functions, and return the variables that it leaves.

    The source is registered with `linecache`, as that of a file. So tracebacks, debuggers and `inspect.getsource`
    show its lines.

    Args:
        title: What the source is, such as `"A.__init__"`. It is shown in the place of the name of the file.
        source: The source. It may be trusted: no part of it comes from a user unchecked.
        scope: The globals of the functions.
        variables: Where the names that `source` defines are put. The default is `scope`.
    """
    lines = source.splitlines(True)
    filename, count = "<generated {}>".format(title), 1
    # Another class of the same name has another source, so it needs another name. An entry without a time of
    # modification is never dropped by `linecache`.
    while linecache.cache.setdefault(filename, (len(source), None, lines, filename))[2] != lines:
        count += 1
        filename = "<generated {} ({})>".format(title, count)
    variables = scope if variables is None else variables
    exec(compile(source, filename, "exec"), scope, variables)
    return variables
