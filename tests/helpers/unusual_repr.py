"""Leaves with an unusual `repr`: one that fails, and one that has several lines."""


class FailingRepr:
    def __repr__(self):
        raise RuntimeError("broken")


class MultilineRepr:
    def __repr__(self):
        return "MultilineRepr(\n  1,\n  2\n)"
