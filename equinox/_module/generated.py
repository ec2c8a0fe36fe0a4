"""Run generated source code so that tracebacks and debuggers can show its lines."""

import linecache


def define(title, source, scope, variables=None):
    """Run `source`, which defines functions, and return its variables as a dictionary.

    The source is registered with `linecache`, like that of a file. So tracebacks, debuggers and `inspect.getsource`
    show its lines.

    Args:
        title: What the source is, such as `"A.__init__"`. It is shown instead of the name of a file.
        source: The source. It is run, so the caller must check every part that comes from a user.
        scope: The globals of the functions.
        variables: The dictionary that gets the names that `source` defines. The default is `scope`.

    Returns:
        `variables`.
    """
    lines = source.splitlines(True)
    filename, count = "<generated {}>".format(title), 1
    # Two classes may have the same name and different sources. Then the second one needs another file name.
    # `linecache` never drops an entry that has no modification time.
    while linecache.cache.setdefault(filename, (len(source), None, lines, filename))[2] != lines:
        count += 1
        filename = "<generated {} ({})>".format(title, count)
    variables = scope if variables is None else variables
    exec(compile(source, filename, "exec"), scope, variables)
    return variables
