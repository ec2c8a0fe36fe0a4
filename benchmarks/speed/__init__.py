"""How fast the library is, beside the floor and its peers."""
