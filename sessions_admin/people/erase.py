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
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from chat.exceptions import BadInput, Conflict, NotFound
from chat.infra.database_limits import long_statements
from chat.memory import removal
from chat.memory.corrupt_files import set_aside_files
from chat.memory.removal import remove_for_good
from chat.memory.sync_store import SessionFile, opened
from chat.models import AgentSession, Conversation, PendingDeletion, Turn, User
from chat.models.session import is_held
from chat.models.turn import Status
from sessions_admin import audit
from sessions_admin.models import Action, AuditRecord
from sessions_admin.people import accounts, personal_data
from sessions_admin.people.beyond_reach import BeyondReach, beyond_reach
from sessions_admin.people.personal_data import Count, Subject
from sessions_admin.people.remains import Remains, search
from sessions_admin.people.sign_off import sign_off_of
from sessions_admin.stores.leftovers import remove_leftovers

BATCH = 50  # conversations that go at once
PATIENCE = timedelta(seconds=10)  # for turns that are asked to stop
# Of a report, what an audit record has itself, and what is looked up.
IN_RECORD = ("person", "actor", "reason", "at", "dry_run", "pending", "finished_at")
PATIENCE_FOR_READERS = 3.0  # seconds, for those of the session file
ERASED_ALREADY = "This person has been erased already."
FINISH = "sessions_admin.tasks.finish_deletions"

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
    """The report of an erasure, signed off by who did it; of a preview, with everything still there.

    `remains` is what a search of both stores found afterwards, `unsearched` the tables that it had no time for or could
    not read. While it is `pending`, what was removed can still be read in the session file or its log, since something
    reads that file; the worker finishes the erasure then, and searches them again for the id. It holds no address and
    no text.
    """

    person: str
    actor: str
    reason: str
    at: datetime
    dry_run: bool
    lines: tuple[Line, ...]
    held_conversations: int
    set_aside_files: int  # corrupt session files that hold neither the id nor an address, or something that is held
    pending: bool = False
    finished_at: datetime | None = None  # where it was pending
    remains: tuple[Remains, ...] = ()
    unsearched: tuple[str, ...] = ()
    beyond_reach: tuple[BeyondReach, ...] = ()

    @property
    def left(self) -> int:
        """How much is left that is not held: nothing, after an erasure."""
        return sum(line.after - line.held for line in self.lines)

    @property
    def elsewhere(self) -> tuple[Remains, ...]:
        """What was found besides the ids in the audit: in what is held, and in what other people wrote."""
        return tuple(each for each in self.remains if not each.stays)

    def as_json(self) -> dict[str, object]:
        """Give it as a plain dict."""
        finished_at = self.finished_at.isoformat() if self.finished_at else None
        return asdict(self) | {"at": self.at.isoformat(), "finished_at": finished_at, "left": self.left}


@long_statements()
def preview_erasure(person_id: uuid.UUID, *, seconds: float | None = None) -> Erasure:
    """Report what an erasure would find, hold back and remove; a search takes at most so many seconds.

    Raise NotFound, MemoryUnavailable.
    """
    person = User.objects.filter(pk=person_id).first()
    if person is None:
        raise NotFound("There is no such person.")
    with opened(settings.AGENT_SESSION_DB_PATH) as file:
        subject = personal_data.subject(person)
        found = personal_data.count(subject, file)
        return _report(subject, found, found, file, actor="", reason="", dry_run=True, seconds=seconds)


@long_statements()
def erase_person(
    person_id: uuid.UUID,
    *,
    actor: str,
    reason: str,
    seconds: float | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Erasure:
    """Remove everything about a person that is not held, count and search again; the audit keeps the report.

    While something is held, the account stays too: closed, without password and rights, by its address. The search
    takes at most so many seconds. Raise NotFound, BadInput without a reason, Conflict where the actor may not or a turn
    does not stop, MemoryUnavailable.
    """
    if not reason.strip():
        raise BadInput("An erasure needs a reason.")
    attempt = audit.attempt(Action.ERASE, actor=actor, person=person_id, reason=reason)
    with attempt, opened(settings.AGENT_SESSION_DB_PATH) as file:
        before = _begin(person_id, file, actor=actor, reason=reason)
        accounts.end_everything(person_id)
        _await_turns(person_id)
        _remove_conversations(person_id, file, on_progress)
        subject = _remove_the_rest(person_id, file)
        removal.note_deletion([str(person_id)])
        is_pending = not removal.finish_deletions(seconds=PATIENCE_FOR_READERS)
        remove_leftovers()
        return _finish(subject, file, before, actor=actor, reason=reason, seconds=seconds, is_pending=is_pending)


def newest_report(person_id: uuid.UUID) -> Erasure | None:
    """Return the report of a person's last erasure that came to an end, as the audit keeps it."""
    ended = AuditRecord.objects.filter(action=Action.ERASE, person=str(person_id), result__has_key="lines")
    record = ended.order_by("-pk").first()
    if record is None:
        return None
    kept, finished = record.result, sign_off_of(record)
    remains = [Remains(**each) for each in kept.get("remains", ())]
    unsearched = list(kept.get("unsearched", ()))
    if finished is not None:
        bytes_now = [Remains(**each) for each in finished.result["remains"]]
        remains = [each for each in remains if not each.is_of_bytes] + bytes_now
        unsearched += finished.result["unsearched"]
    return Erasure(
        person=record.person,
        actor=record.actor,
        reason=record.reason,
        at=parse_datetime(kept["at"]) or record.at,
        dry_run=False,
        lines=tuple(Line(**line) for line in kept["lines"]),
        held_conversations=kept["held_conversations"],
        set_aside_files=kept["set_aside_files"],
        pending=PendingDeletion.objects.filter(report=record.pk).exists(),
        finished_at=finished.at if finished else None,
        remains=tuple(remains),
        unsearched=tuple(unsearched),
        beyond_reach=tuple(BeyondReach(**each) for each in kept.get("beyond_reach", ())),
    )


# The steps.


def _begin(person_id: uuid.UUID, file: SessionFile, *, actor: str, reason: str) -> list[Count]:
    """Close the account, and record what exists; return the report as it was before the first of several attempts."""
    with transaction.atomic(durable=True):
        person = accounts.locked(person_id, actor=actor)
        accounts.check_not_last(person)
        found = personal_data.count(personal_data.subject(person), file)
        before = _first_found(person_id, found)
        User.objects.filter(pk=person_id).update(is_active=False)
        counts = [asdict(count) for count in before]
        audit.record(Action.ERASE, actor=actor, person=person_id, reason=reason, began=True, counts=counts)
    return before


def _first_found(person_id: uuid.UUID, found: list[Count]) -> list[Count]:
    """Return what was found when an erasure began that was cut off, or what is found now."""
    newest = audit.done().filter(action=Action.ERASE, person=str(person_id)).order_by("-pk").first()
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
    """Return whether a process runs a turn; after its lease, its conversation is gone for it."""
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
        # Read again, now that no hold can be added.
        held = AgentSession.objects.filter(is_held(timezone.now()), conversation__in=theirs)
        kept = set(held.values_list("conversation_id", flat=True))
        gone = [row for row in theirs if row.pk not in kept]
        if _at_work([row.pk for row in gone]):
            raise Conflict("The assistant is at work in a conversation of this person; try again soon.")
        remove_for_good(file, gone)


def _remove_the_rest(person_id: uuid.UUID, file: SessionFile) -> Subject:
    person = User.objects.filter(pk=person_id).first()
    if person is None:
        raise NotFound(ERASED_ALREADY)
    subject = personal_data.subject(person)
    # Sessions without a conversation.
    file.secure_delete([session_id for session_id in file.of_person(person_id) if not subject.holds(session_id)])
    for rows in personal_data.of_nobody_else(subject).values():
        rows.delete()
    runs = personal_data.runs_naming(subject)
    runs.filter(actor=person_id).update(actor=None)
    runs.filter(stopped_by=person_id).update(stopped_by=None)
    return subject


def _finish(
    subject: Subject,
    file: SessionFile,
    before: list[Count],
    *,
    actor: str,
    reason: str,
    seconds: float | None,
    is_pending: bool,
) -> Erasure:
    """Remove the account, or what can be spared of it, count and search again and sign it off: all or nothing.

    With the account the addresses go that a search needs. So it takes place before that is committed.
    """
    with transaction.atomic(durable=True):
        person = User.objects.select_for_update().filter(pk=subject.id).first()
        if person is None:
            raise NotFound(ERASED_ALREADY)
        # Nothing can refer to the row any more.
        subject = personal_data.subject(person)
        if subject.held:
            person.set_unusable_password()
            person.is_staff = person.is_superuser = False
            person.last_login, person.time_zone = None, "UTC"
            person.save()
        else:
            person.delete()
        after = personal_data.count(subject, file)
        how: Any = {"actor": actor, "reason": reason, "seconds": seconds, "is_pending": is_pending}
        report = _report(subject, before, after, file, **how)
        if report.left:
            left = ", ".join(line.kind for line in report.lines if line.after > line.held)
            raise Conflict(f"Something was added meanwhile ({left}); the account is closed, so erase it again.")
        kept = {name: value for name, value in asdict(report).items() if name not in IN_RECORD}
        record = audit.record(
            Action.ERASE, actor=actor, person=subject.id, reason=reason, **kept, at=report.at.isoformat()
        )
        if is_pending:
            PendingDeletion.objects.create(report=record.pk)
            removal.enqueue(FINISH)
    return report


def _report(
    subject: Subject,
    before: list[Count],
    after: list[Count],
    file: SessionFile,
    *,
    actor: str,
    reason: str,
    seconds: float | None,
    dry_run: bool = False,
    is_pending: bool = False,
) -> Erasure:
    found = {(count.store, count.kind): count.there for count in before}
    searched = search(subject.terms, file, seconds=seconds)
    return Erasure(
        person=str(subject.id),
        actor=actor,
        reason=audit.without_addresses(reason.strip()[: audit.REASON_LENGTH]),
        at=timezone.now(),
        dry_run=dry_run,
        lines=tuple(Line(c.store, c.kind, found.get((c.store, c.kind), 0), c.there, c.held) for c in after),
        held_conversations=len(subject.held),
        set_aside_files=len(set_aside_files(settings.AGENT_SESSION_DB_PATH)),
        pending=is_pending,
        remains=tuple(searched.found),
        unsearched=tuple(searched.unsearched),
        beyond_reach=beyond_reach(),
    )
