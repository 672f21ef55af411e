"""The last module that the fork server imports: it excludes the shared objects from garbage collection.

Without it each process would traverse the objects of all modules again, and copy their memory pages.
"""

import gc

gc.collect()
gc.freeze()
