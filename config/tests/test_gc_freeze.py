"""What is loaded at the start costs no passes of the garbage collector later."""

import gc
import subprocess
import sys


def test_what_was_there_before_is_not_looked_at_any_more() -> None:
    # In a process of its own: what is frozen in this one would stay so.
    code = (
        "import gc; from config.runtime.gc_freeze import freeze; kept = [[] for _ in range(5000)];"
        "freeze(); print(any(one is kept for one in gc.get_objects()), gc.get_freeze_count() > 5000)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.split() == ["False", "True"]
    assert gc.isenabled()
