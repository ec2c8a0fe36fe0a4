"""Why a bisection can't be done; each with its exit status."""


class Problem(Exception):
    """A message for the user."""

    status: int


class WrongUsage(Problem):
    """What was asked for makes no sense, or has no answer."""

    status = 2


class SetupFailed(Problem):
    """It could be done, but not here and now."""

    status = 3
