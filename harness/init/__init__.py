"""Write the matrix.toml of a project from what is found in its folder. Only its build runs its code."""
