"""Run cells in containers, by the `docker` command."""
