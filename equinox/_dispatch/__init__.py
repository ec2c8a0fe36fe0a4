"""The engine of filtered `jit`: from the inputs of a call to the compiled function for them."""
