"""Erase a person: everything about them in both stores, but what is held and the audit, which knows them by id only.

The account is closed first, so that nothing is added meanwhile; the account's row goes last, since it says whose all
the rest is. Whatever an erasure that was cut off has left is therefore found again by the same address, and the next
one finishes it. Of a conversation the memory goes right before its record is committed away: cut off between
the two, the record still tells which session it was, and the memory is only a copy of it.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from chat.exceptions import BadInput, Conflict, NotFound
from chat.memory.maintenance import SessionFile, opened
from chat.memory.removal import remove_for_good
from chat.models import AgentSession, Conversation, Turn, User
from chat.models.session import is_held
from chat.models.turn import Status
from sessions_admin import audit
from sessions_admin.models import Action, AuditRecord
from sessions_admin.people import accounts, traces
from sessions_admin.people.traces import Count, Whose

BATCH = 50  # conversations that go at once
PATIENCE = timedelta(seconds=10)  # for turns that are asked to stop

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Line:
    """What there was of a kind, what is left, and how much of that is held."""

    store: str
    kind: str
    before: int
    after: int
    held: int


@dataclass(frozen=True, slots=True)
class Erasure:
    """The report of an erasure, signed off by who did it; of a preview, with everything still there."""

    person: str
    actor: str
    reason: str
    at: datetime
    dry_run: bool
    lines: tuple[Line, ...]
    held_conversations: int
    set_aside_files: int  # corrupt session files, from which one person's part cannot be taken

    @property
    def left(self) -> int:
        """How much is left that is not held: nothing, after an erasure."""
        return sum(line.after - line.held for line in self.lines)

    def as_json(self) -> dict[str, object]:
        """Give it as a plain dict."""
        return asdict(self) | {"at": self.at.isoformat(), "left": self.left}


def preview_erasure(person_id: uuid.UUID) -> Erasure:
    """Say what an erasure would find, hold back and remove. Raise NotFound, MemoryUnavailable."""
    person = User.objects.filter(pk=person_id).first()
    if person is None:
        raise NotFound("There is no such person.")
    with opened(settings.AGENT_SESSION_DB_PATH) as file:
        whose = traces.whose(person)
        found = traces.count(whose, file)
    return _report(whose, found, found, actor="", reason="", dry_run=True)


def erase_person(
    person_id: uuid.UUID, *, actor: str, reason: str, on_progress: OnProgress = lambda done, total: None
) -> Erasure:
    """Remove everything about a person that is not held, and count again; the audit keeps the report.

    While something is held, the account stays too: closed, without password and rights, by its address. Raise NotFound,
    BadInput without a reason, Conflict where the actor may not or a turn does not stop, MemoryUnavailable.
    """
    if not reason.strip():
        raise BadInput("An erasure needs a reason.")
    with opened(settings.AGENT_SESSION_DB_PATH) as file:
        before = _begin(person_id, file, actor=actor, reason=reason)
        accounts.end_everything(person_id)
        _await_turns(person_id)
        _remove_conversations(person_id, file, on_progress)
        whose = _remove_the_rest(person_id, file)
        file.settle()
        return _finish(whose, file, before, actor=actor, reason=reason)


def newest_report(person_id: uuid.UUID) -> Erasure | None:
    """Return the report of a person's last erasure that came to an end, as the audit keeps it."""
    ended = AuditRecord.objects.filter(action=Action.ERASE, person=str(person_id), result__has_key="lines")
    record = ended.order_by("-pk").first()
    if record is None:
        return None
    kept = record.result
    return Erasure(
        person=record.person,
        actor=record.actor,
        reason=record.reason,
        at=parse_datetime(kept["at"]) or record.at,
        dry_run=False,
        lines=tuple(Line(**line) for line in kept["lines"]),
        held_conversations=kept["held_conversations"],
        set_aside_files=kept["set_aside_files"],
    )


# The steps.


def _begin(person_id: uuid.UUID, file: SessionFile, *, actor: str, reason: str) -> list[Count]:
    """Close the account, and write down what there is; return it, as it was before the first of several tries."""
    with transaction.atomic(durable=True):
        person = accounts.locked(person_id, actor=actor)
        accounts.check_not_last(person)
        found = traces.count(traces.whose(person), file)
        before = _first_found(person_id, found)
        User.objects.filter(pk=person_id).update(is_active=False)
        counts = [asdict(count) for count in before]
        audit.record(Action.ERASE, actor=actor, person=person_id, reason=reason, began=True, counts=counts)
    return before


def _first_found(person_id: uuid.UUID, found: list[Count]) -> list[Count]:
    """Return what was found when an erasure began that was cut off, or what is found now."""
    newest = AuditRecord.objects.filter(action=Action.ERASE, person=str(person_id)).order_by("-pk").first()
    if newest is None or "counts" not in newest.result:
        return found
    then = {(count["store"], count["kind"]): count["there"] for count in newest.result["counts"]}
    return [replace(count, there=max(count.there, then.get((count.store, count.kind), 0))) for count in found]


def _await_turns(person_id: uuid.UUID) -> None:
    """Wait until nothing runs any more that would still write. Raise Conflict."""
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while _at_work(Turn.objects.filter(user=person_id).values_list("conversation_id", flat=True)):
        if time.monotonic() > deadline:
            raise Conflict("The assistant is still at work for this person; the account is closed, so try again soon.")
        time.sleep(0.05)


def _at_work(conversations: Iterable[uuid.UUID]) -> bool:
    """Tell whether a process runs a turn; one whose lease is over will find the conversation gone."""
    running = Turn.objects.filter(conversation__in=conversations, status=Status.RUNNING)
    return running.filter(lease_until__gt=timezone.now()).exists()


def _remove_conversations(person_id: uuid.UUID, file: SessionFile, on_progress: OnProgress) -> None:
    ids = list(Conversation.objects.owned_by(person_id).order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), BATCH):
        _remove_batch(ids[start : start + BATCH], file)
        on_progress(min(start + BATCH, len(ids)), len(ids))


def _remove_batch(ids: Sequence[uuid.UUID], file: SessionFile) -> None:
    with transaction.atomic(durable=True):
        theirs = list(Conversation.objects.filter(pk__in=ids).order_by("pk").locked())
        # Asked now that nobody can hold one any more.
        held = AgentSession.objects.filter(is_held(timezone.now()), conversation__in=theirs)
        kept = set(held.values_list("conversation_id", flat=True))
        gone = [row for row in theirs if row.pk not in kept]
        if _at_work([row.pk for row in gone]):
            raise Conflict("The assistant is at work in a conversation of this person; try again soon.")
        remove_for_good(file, gone)


def _remove_the_rest(person_id: uuid.UUID, file: SessionFile) -> Whose:
    person = User.objects.get(pk=person_id)
    whose = traces.whose(person)
    # Sessions that no conversation knows of.
    file.shred([session_id for session_id in file.of_person(person_id) if session_id not in whose.held_sessions])
    for rows in traces.of_nobody_else(whose).values():
        rows.delete()
    runs = traces.runs_naming(whose)
    runs.filter(actor=person_id).update(actor=None)
    runs.filter(stopped_by=person_id).update(stopped_by=None)
    return whose


def _finish(whose: Whose, file: SessionFile, before: list[Count], *, actor: str, reason: str) -> Erasure:
    """Remove the account, or what can be spared of it, count everything again and sign it off: all or nothing."""
    with transaction.atomic(durable=True):
        person = User.objects.select_for_update().get(pk=whose.id)  # nothing can refer to it any more
        whose = traces.whose(person)
        if whose.held:
            person.set_unusable_password()
            person.is_staff = person.is_superuser = False
            person.last_login, person.time_zone = None, "UTC"
            person.save()
        else:
            person.delete()
        report = _report(whose, before, traces.count(whose, file), actor=actor, reason=reason)
        if report.left:
            left = ", ".join(line.kind for line in report.lines if line.after > line.held)
            raise Conflict(f"Something was added meanwhile ({left}); the account is closed, so erase it again.")
        audit.record(
            Action.ERASE,
            actor=actor,
            person=whose.id,
            reason=reason,
            at=report.at.isoformat(),
            lines=[asdict(line) for line in report.lines],
            held_conversations=report.held_conversations,
            set_aside_files=report.set_aside_files,
        )
    return report


def _report(
    whose: Whose, before: list[Count], after: list[Count], *, actor: str, reason: str, dry_run: bool = False
) -> Erasure:
    aside = settings.AGENT_SESSION_DB_PATH
    found = {(count.store, count.kind): count.there for count in before}
    return Erasure(
        person=str(whose.id),
        actor=actor,
        reason=reason.strip()[: audit.REASON_LENGTH],
        at=timezone.now(),
        dry_run=dry_run,
        lines=tuple(Line(c.store, c.kind, found[c.store, c.kind], c.there, c.held) for c in after),
        held_conversations=len(whose.held),
        set_aside_files=sum(1 for _ in aside.parent.glob(f"{aside.name}.corrupt-*[0-9]")),
    )
