"""What a server process has loaded stays loaded, so that the garbage collector need not look at it again and again.

A full pass over Django and all that comes with it stops everything for a moment, and reading a few thousand stored
items brings one on.
"""

import gc


def freeze() -> None:
    """Take all that is there by now out of the garbage collector's sight."""
    gc.collect()
    gc.freeze()
