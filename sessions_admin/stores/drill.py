"""Prove that a backup can be restored: restore it into a scratch database, and check what is there."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from django.conf import settings
from django.utils import timezone
from psycopg import sql

from chat.exceptions import BadInput, NotFound, ThreadkeeperError
from chat.memory.configured import DATABASE, FILE, database_alias
from config.runtime.embedded_postgres import url_of
from sessions_admin.reports import Report
from sessions_admin.stores.places import place_of
from sessions_admin.stores.temporary import temporary_folder

PREFIX = "threadkeeper_drill_"


class DrillFailed(ThreadkeeperError):
    """A backup could not be restored, or what was restored is not sound."""

    code = "drill_failed"


@dataclass(frozen=True, slots=True)
class Drill(Report):
    """What a drill restored and found sound, and how long the restore took."""

    backup: str
    made_at: str
    version: str
    rows: int
    sessions: int
    items: int
    drifted: int  # sessions that a reconciliation would repair: of turns that ended while the backup was made
    restore_seconds: float


def drill(text: str) -> Drill:
    """Restore a backup, or the newest one of a place, into a scratch database, and drop it again.

    The site is not touched. Raise NotFound, BadInput, DrillFailed.
    """
    place, name = place_of(text)
    if not name:
        if not (names := place.names()):
            raise NotFound(f"There is no backup in {text}.")
        name = names[-1]
    with temporary_folder("drill", settings.DATA_DIR) as folder, _scratch_database() as url:
        file = folder / "backup.zip"
        place.get(name, file)
        (data_dir := folder / "data").mkdir()
        started = time.monotonic()
        restored = _run(["restore", str(file), "--json"], url, data_dir)
        seconds = time.monotonic() - started
        _run(["check_sessions", "--json"], url, data_dir)
        compared = _run(["reconcile_sessions", "--json"], url, data_dir, may_fail=True)
    numbers = {key: restored[key] for key in ("made_at", "version", "rows", "sessions", "items")}
    drifted = int(str(compared["drifted"]))
    return Drill(backup=name, **numbers, drifted=drifted, restore_seconds=round(seconds, 1))  # type: ignore[arg-type]


@contextmanager
def _scratch_database() -> Iterator[str]:
    """Create a database on the site's own server for a while. Raise BadInput."""
    own = settings.DATABASE_URL or url_of(settings.EMBEDDED_POSTGRES_DIR)
    name = f"{PREFIX}{timezone.now():%Y%m%d%H%M}_{uuid4().hex[:8]}"
    try:
        with psycopg.connect(own, autocommit=True) as server:
            _drop_abandoned(server)
            server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            try:
                yield urlunsplit(urlsplit(own)._replace(path=f"/{name}"))
            finally:
                server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    except psycopg.Error as error:
        raise BadInput(f"A drill needs a database of its own on the server: {str(error).strip()}") from error


def _drop_abandoned(server: "psycopg.Connection[tuple[str]]") -> None:
    """Drop the scratch databases of drills that were killed: they hold what people wrote."""
    recent = f"{PREFIX}{timezone.now() - timedelta(hours=1):%Y%m%d%H%M}"
    found = """
        SELECT datname FROM pg_database d WHERE starts_with(datname, %s) AND datname < %s
        AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)
    """
    for (name,) in server.execute(found, [PREFIX, recent]).fetchall():
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))


def _run(words: list[str], url: str, data_dir: Path, *, may_fail: bool = False) -> dict[str, object]:
    """Run a command on the scratch database; return its report. Raise DrillFailed."""
    # Whatever the settings file names is in the environment already, and the child must not read it again: the site's
    # session store is named there.
    environment = {**os.environ, "ENV_FILE": os.devnull, "DATABASE_URL": url, "DATA_DIR": str(data_dir)}
    environment |= {"AGENT_SESSION_STORE": FILE if database_alias() is None else DATABASE, "REDIS_URL": ""}
    environment.pop("AGENT_SESSION_DB_PATH", None)
    ended = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        report: dict[str, object] = json.loads(ended.stdout)
    except ValueError:
        report = {}
    if not report or "error" in report or (ended.returncode and not may_fail):
        last = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        raise DrillFailed(f"`{words[0]}` failed in the scratch database: {last}")
    return report
