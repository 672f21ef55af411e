"""The one runner of this server process, from its start to its end."""

import uuid
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from django.db import DatabaseError, transaction

from chat.exceptions import ServerStopping
from chat.infra import bus, tracing
from chat.infra.db_threads import in_database

if TYPE_CHECKING:
    from chat.assistant.endpoints.providers import Models
    from chat.turns.cancel import Cancelled
    from chat.turns.runner import TurnRunner

_models: "Models | None" = None
_runner: "TurnRunner | None" = None


async def start() -> None:
    """Begin to run turns, interrupted ones first. Raise BadExtraTools."""
    global _runner, _models  # one a process, as long as the process
    # Here: processes that run no turns (the worker, commands) import this module too, without two seconds for these.
    from chat.assistant import extra
    from chat.assistant.endpoints.providers import Models
    from chat.memory.configured import session_store
    from chat.turns.runner import TurnRunner

    extra.configured()
    tracing.start()
    _models = Models()
    _runner = TurnRunner(choose=_models.choose, store=session_store(on_set_aside=_report_quarantine))
    bus.on_connect(_runner.logs.look_again)
    bus.start()
    await _runner.start()


async def _report_quarantine(moved: Path) -> None:
    """Record a corrupt session file; the turn that found it continues even if the database is unavailable."""
    from chat.memory.quarantine import quarantine_file

    with suppress(DatabaseError):
        await in_database(quarantine_file, moved)


async def drain(seconds: float) -> None:
    """Let turns finish for a few seconds, then release them and close the session store and the models."""
    global _runner, _models  # one a process, as long as the process
    if _runner is not None:
        await _runner.drain(seconds)
        await bus.stop()
        _runner = None
    if _models is not None:
        await _models.close()
        _models = None


def on_stop(cancelled: Collection["Cancelled"], requested: Collection[uuid.UUID]) -> None:
    """Log turns that a transaction cancels, and stop running ones that it requests, once it is committed.

    Without a runner here, another process finds the request with its next renewal of leases.
    """
    if _runner is not None:
        stop = partial(_runner.stop_at_once, tuple(cancelled), tuple(requested))
        transaction.on_commit(partial(_runner.loop.call_soon_threadsafe, stop), robust=True)


def current() -> "TurnRunner":
    """Return the process's runner. Raise ServerStopping if it has stopped, or was never started."""
    if _runner is None:
        raise ServerStopping()
    return _runner
