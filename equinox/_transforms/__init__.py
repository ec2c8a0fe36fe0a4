"""The filtered transformations, one family a file."""
