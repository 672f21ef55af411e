"""Where a benchmark takes place: a folder and a PostgreSQL of its own, gone afterwards."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.runtime import embedded_postgres


@contextmanager
def place(*, durable: bool = True, **variables: str) -> Iterator[Path]:
    """Make both, let the settings find them and these variables, and yield the folder."""
    with tempfile.TemporaryDirectory(prefix="threadkeeper-benchmark-", ignore_cleanup_errors=True) as folder:
        server = embedded_postgres.start(Path(folder, "postgres"), durable=durable)
        try:
            os.environ |= {"DATABASE_URL": server.url, "DATA_DIR": folder, "ENV_FILE": os.devnull, **variables}
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
            yield Path(folder)
        finally:
            _let_go()
            server.stop()


def set_up() -> None:
    """Begin with Django, and an empty record."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)


def _let_go() -> None:
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]
