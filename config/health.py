"""Is the process alive, and can it do its work?"""

import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from inspect import iscoroutinefunction
from pathlib import Path
from typing import cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_q.status import Stat

Answer = Callable[[HttpRequest], HttpResponseBase]
AsyncAnswer = Callable[[HttpRequest], Awaitable[HttpResponseBase]]

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
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer, and touch nothing that could hang."""
    return JsonResponse({"status": "ok"})


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


PROBES = {"/healthz": healthz, "/readyz": readyz}


@sync_and_async_middleware
def health_probes(get_response: Answer | AsyncAnswer) -> Answer | AsyncAnswer:
    """Answer the probes before all other middleware: for any Host, over http too, and without a session."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            probe = PROBES.get(request.path)
            if probe is readyz:
                return await sync_to_async(readyz)(request)
            return probe(request) if probe else await cast(AsyncAnswer, get_response)(request)

        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        probe = PROBES.get(request.path)
        return probe(request) if probe else cast(Answer, get_response)(request)

    return answer
