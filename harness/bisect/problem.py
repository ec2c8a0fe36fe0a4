"""The reasons why a bisection can't be done. Each has its own exit status."""


class Problem(Exception):
    """A message for the user."""

    status: int


class WrongUsage(Problem):
    """The arguments are wrong, or there is nothing to find between them."""

    status = 2


class SetupFailed(Problem):
    """The bisection can't be done now, for example without a network."""

    status = 3
