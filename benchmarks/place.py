"""The temporary environment of a benchmark: a data folder and a PostgreSQL, both removed afterwards."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.runtime import embedded_postgres


@contextmanager
def isolated_environment(*, durable: bool = True, **variables: str) -> Iterator[Path]:
    """Start both, set the environment variables that point the settings at them, and yield the folder."""
    with tempfile.TemporaryDirectory(prefix="threadkeeper-benchmark-", ignore_cleanup_errors=True) as folder:
        server = embedded_postgres.start(Path(folder, "postgres"), durable=durable)
        try:
            os.environ |= {"DATABASE_URL": server.url, "DATA_DIR": folder, "ENV_FILE": os.devnull, **variables}
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
            yield Path(folder)
        finally:
            _close_connections()
            server.stop()


def set_up() -> None:
    """Set up Django, and migrate an empty database."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)


def _close_connections() -> None:
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]
