"""Show the user what happens and what came out: the progress of a run, the table, and what this machine has."""
