"""What a compiled program can check and count while it runs."""
