"""A real worker process."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.runtime.processes import spawn
from config.tests.support import ROOT, SECONDS, LiveDatabase, clean_environment

# The worker looks at its schedule at its start and every 30 seconds.
NEXT_LOOK = 120.0


@contextmanager
def worker(database: LiveDatabase, data_dir: Path, **variables: str) -> "Iterator[subprocess.Popen[bytes]]":
    """Run `manage.py qcluster` for a while."""
    with open(data_dir / "worker.log", "ab") as log:
        process = spawn(
            [sys.executable, "manage.py", "qcluster"],
            env=clean_environment(DATABASE_URL=database.url, DATA_DIR=str(data_dir), **variables),
            output=log,
            cwd=ROOT,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(SECONDS)


def look_at(database: LiveDatabase, func: str) -> None:
    """Let one schedule be due, and no other."""
    database.query("UPDATE django_q_schedule SET next_run = now() + interval '1 day'")
    database.query("UPDATE django_q_schedule SET next_run = now() - interval '1 minute' WHERE func = %s", func)
