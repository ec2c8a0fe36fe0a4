"""What a cell tests: a snapshot of the source, its hash, the wheel, and the copy of the suite."""
