"""A real worker process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.tests.forked import Forked
from config.tests.support import ROOT, SECONDS, LiveDatabase, clean_environment

# The worker checks its schedule at its start and every 30 seconds.
SCHEDULE_TIMEOUT = 120.0


@contextmanager
def worker(database: LiveDatabase, data_dir: Path, **variables: str) -> Iterator[Forked]:
    """Run `manage.py qcluster` for a while, without the checks, as `up` does."""
    env = clean_environment(DATABASE_URL=database.url, DATA_DIR=str(data_dir), **variables)
    process = Forked("manage", "qcluster", "--skip-checks", env=env, cwd=ROOT, output=data_dir / "worker.log")
    try:
        yield process
    finally:
        process.terminate()
        process.wait(SECONDS)


def make_due(database: LiveDatabase, func: str) -> None:
    """Make one schedule due, and no other."""
    database.query("UPDATE django_q_schedule SET next_run = now() + interval '1 day'")
    database.query("UPDATE django_q_schedule SET next_run = now() - interval '1 minute' WHERE func = %s", func)
