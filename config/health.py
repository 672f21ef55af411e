"""Is the process alive, and can it do its work?"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_q.status import Stat

NO_WORKER = "No worker is running: clean-ups and everything else that is left to it wait."


@dataclass(frozen=True)
class Health:
    """What works: the record, the sessions' file, and a worker somewhere."""

    database: bool
    sessions: bool
    worker: bool

    @property
    def ready(self) -> bool:
        """Whether all of it works."""
        return self.database and self.sessions and self.worker

    @property
    def problems(self) -> list[str]:
        """What does not work, a sentence each."""
        said = [] if self.database else ["The database does not answer."]
        said += [] if self.sessions else ["The session store cannot be opened."]
        # Where the database is away, nothing is known of the worker.
        return said + ([NO_WORKER] if self.database and not self.worker else [])


def health() -> Health:
    """Try everything that a turn and a clean-up need."""
    database = _works(_ask_database)
    # The worker's status is kept in the database.
    return Health(database=database, sessions=_works(_open_sessions), worker=database and _works(_find_worker))


def _works(attempt: Callable[[], bool]) -> bool:
    try:
        return attempt()
    except (DatabaseError, sqlite3.Error, OSError):
        return False


def _ask_database() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


def _open_sessions() -> bool:
    path = Path(settings.AGENT_SESSION_DB_PATH)
    if not path.exists():
        # It is made by the first message.
        return os.access(path.parent, os.W_OK)
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1)) as file:
        file.execute("SELECT 1 FROM sqlite_master").fetchone()
    return True


def _find_worker() -> bool:
    # A status that is not renewed disappears by itself after three seconds.
    return bool(Stat.get_all())


@require_safe
@never_cache
async def healthz(request: HttpRequest) -> JsonResponse:
    """Answer, and touch nothing that could hang."""
    return JsonResponse({"status": "ok", "version": settings.VERSION})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 503 while something is missing, and say what."""
    found = health()
    status = "ready" if found.ready else "not ready"
    body = {"status": status, **asdict(found)} | ({} if found.ready else {"detail": " ".join(found.problems)})
    response = JsonResponse(body, status=200 if found.ready else 503)
    # It is no error of the server's: Django would log one each time somebody asks.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response
