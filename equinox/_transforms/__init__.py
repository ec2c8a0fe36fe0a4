"""The filtered transformations. Each file holds one family."""
