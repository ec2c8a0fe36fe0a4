"""A plugin of pytest for suites of absltest: absl's flags have their defaults.

absl refuses to read a flag before the command line is parsed, and pytest parses the command line itself. A test that
needs another value than the default can't run under pytest, unless the suite sets the flag.
"""


def pytest_configure(config):
    try:
        from absl import flags  # noqa: PLC0415  (a suite of unittest needn't have it)
    except ImportError:
        return
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
