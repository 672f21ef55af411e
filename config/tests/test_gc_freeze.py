"""Objects that are loaded at the start are excluded from garbage collection."""

import gc
import subprocess
import sys


def test_freeze_excludes_existing_objects_from_garbage_collection() -> None:
    # In a separate process, since objects frozen in this one would stay frozen.
    code = (
        "import gc; from config.runtime.gc_freeze import freeze; kept = [[] for _ in range(5000)];"
        "freeze(); print(any(one is kept for one in gc.get_objects()), gc.get_freeze_count() > 5000)"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert completed.stdout.split() == ["False", "True"]
    assert gc.isenabled()
