"""The result of a cell: its form, its file, and whether it still counts."""

from harness.results.result import SCHEMA, Outcome, Result, ResultError, as_of_now, last, read, write

__all__ = ["SCHEMA", "Outcome", "Result", "ResultError", "as_of_now", "last", "read", "write"]
