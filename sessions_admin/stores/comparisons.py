"""Comparisons of the stores by the worker, and their reports."""

from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django_q.models import OrmQ, Task
from django_q.tasks import async_task

from chat.models import User
from sessions_admin import audit
from sessions_admin.stores.drift import Drift

COMPARE = "sessions_admin.tasks.compare_stores"


@dataclass(frozen=True, slots=True)
class ComparedSession:
    """One session with drift, for the page."""

    session_id: str
    what: list[str]
    items_in_mirror: int
    items_in_file: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A requested comparison: not ended, failed, or done with its report."""

    is_pending: bool
    failed: bool = False
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """The number of sessions by kind of drift."""
        return [(str(Drift(kind).label), count) for kind, count in self.report["found"].items()]

    @property
    def findings(self) -> list[ComparedSession]:
        """The sessions listed one by one."""
        return [
            ComparedSession(
                finding["session_id"],
                [str(Drift(drift).label) for drift in finding["drifts"]],
                finding["items_in_mirror"],
                finding["items_in_file"],
            )
            for finding in self.report["findings"]
        ]

    @property
    def unnamed(self) -> int:
        """The number of sessions that are not listed."""
        return int(self.report["drifted"]) + int(self.report["foreign"]) - len(self.report["findings"])


def request_comparison(*, actor: User, repair: bool, reason: str = "") -> str:
    """Request a comparison from the worker; return the id of its report."""
    arguments = {"repair": repair, "actor": audit.user_actor(actor), "reason": reason}
    with transaction.atomic():
        name = "Repair of the stores" if repair else "Comparison of the stores"
        return str(async_task(COMPARE, task_name=name, **arguments))


def comparison(task_id: str) -> Comparison | None:
    """Return the state of a comparison; None if it is unknown."""
    ended = Task.objects.filter(pk=task_id, func=COMPARE).first()
    if ended is not None:
        return Comparison(False, report=ended.result) if ended.success else Comparison(False, failed=True)
    return Comparison(True) if any(queued.task_id() == task_id for queued in OrmQ.objects.all()) else None
