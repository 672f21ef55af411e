"""The last module that the parent of forked processes imports: what they share is no garbage of theirs.

Without it each process would go through the objects of all modules once more, and copy the pages that they are on.
"""

import gc

gc.collect()
gc.freeze()
