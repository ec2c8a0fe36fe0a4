"""A stand-in for a module, such as `jax`."""


class Only:
    """A stand-in for a module that has only these names. It records which of them were used."""

    def __init__(self, **names):
        self.names = names
        self.asked = []

    def __getattr__(self, name):
        self.asked.append(name)
        if name not in self.names:
            raise AttributeError(name)
        return self.names[name]
