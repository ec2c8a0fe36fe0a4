"""What is measured, a file for each kind of work: the floor, the library, and what else is worth seeing beside them."""
