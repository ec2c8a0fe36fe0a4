"""The harness as an installed command, `jax-matrix`. This folder has the files of a checkout, in the same places."""
