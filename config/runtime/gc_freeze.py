"""Exclude the objects that exist after the start from garbage collection.

A full pass over Django and all that comes with it stops everything for a moment, and reading a few thousand stored
items brings one on.
"""

import gc


def freeze() -> None:
    """Move all existing objects out of the garbage collector's generations."""
    gc.collect()
    gc.freeze()
