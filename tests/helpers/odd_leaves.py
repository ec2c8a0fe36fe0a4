"""Leaves that are hard to put in words."""


class Broken:
    def __repr__(self):
        raise RuntimeError("broken")


class Tall:
    def __repr__(self):
        return "Tall(\n  1,\n  2\n)"
