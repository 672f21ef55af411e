"""Exclude the objects that exist after the start from garbage collection.

A full collection of Django and all libraries pauses the process for a moment, and reading a few thousand stored items
triggers one.
"""

import gc


def freeze() -> None:
    """Move all existing objects out of the garbage collector's generations."""
    gc.collect()
    gc.freeze()
