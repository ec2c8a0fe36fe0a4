"""Locks: the exact packages of each cell, with their hashes."""

from harness.locks.lock_file import Lock, Pin, cells_to_lock, inputs, preferred, reachable, read, unresolved
from harness.locks.resolve import make
from harness.locks.verify import verify

__all__ = ["Lock", "Pin", "cells_to_lock", "inputs", "make", "preferred", "reachable", "read", "unresolved", "verify"]
