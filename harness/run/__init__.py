"""Run cells on this host: in an environment of their own, or with the JAX that is installed already."""
