"""The cases. Each file holds one kind of work: the floor, the library, and other contenders."""
