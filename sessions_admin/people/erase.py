"""Erase a user: everything about them in both stores, except legal holds and the audit, which stores only ids.

The account is closed first, so that nothing is added meanwhile; its row is deleted last, because the rest is found
through it. If an erasure is interrupted, the user is found by the same address, and the next erasure completes it. The
session of a conversation is removed just before its record is committed: if the process ends between the two, the
record still identifies the session, which is only a copy.
"""

import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from chat.exceptions import BadInput, Conflict, NotFound
from chat.infra.database_limits import long_statements
from chat.infra.lookup import get_one
from chat.memory import removal
from chat.memory.configured import opened, unused
from chat.memory.corrupt_files import set_aside_files
from chat.memory.removal import remove_for_good
from chat.memory.sync_store import SyncStore
from chat.models import AgentSession, Conversation, PendingDeletion, Turn, User
from chat.models.session import is_held
from chat.models.turn import Status
from sessions_admin import audit
from sessions_admin.models import Action
from sessions_admin.people import accounts, personal_data
from sessions_admin.people.beyond_reach import BeyondReach, beyond_reach
from sessions_admin.people.personal_data import Count, Subject
from sessions_admin.people.remains import Remains, search
from sessions_admin.people.sign_off import find_sign_off
from sessions_admin.reports import OnProgress, Report, batches, ignore_progress
from sessions_admin.stores.leftovers import remove_leftovers

BATCH = 50  # conversations removed in one transaction
TURN_TIMEOUT = timedelta(seconds=10)  # for turns to stop
# Fields of a report that the audit record has itself, or that are computed.
AUDIT_FIELDS = ("person", "actor", "reason", "at", "dry_run", "pending", "finished_at")
READER_TIMEOUT = 3.0  # seconds, for readers of the session file to finish
ERASED_ALREADY = "This user has already been erased."
FINISH = "sessions_admin.tasks.finish_deletions"


@dataclass(frozen=True, slots=True)
class Line:
    """How many rows of a kind existed, are left, and are on hold."""

    store: str
    kind: str
    before: int
    after: int
    held: int


@dataclass(frozen=True, slots=True)
class Erasure(Report):
    """The report of an erasure, or of a preview, where everything is still there.

    `remains` is the result of a search of both stores afterwards; `unsearched` are the tables that it could not read in
    time. While it is `pending`, deleted text can still be read in the session file or its log, because a process reads
    the file; the worker then completes the erasure and searches the files for the id. The report contains no address
    and no text.
    """

    person: str
    actor: str
    reason: str
    at: datetime
    dry_run: bool
    lines: tuple[Line, ...]
    held_conversations: int
    set_aside_files: int  # corrupt session files, which may contain text of the user
    pending: bool = False
    finished_at: datetime | None = None  # if it was pending
    remains: tuple[Remains, ...] = ()
    unsearched: tuple[str, ...] = ()
    beyond_reach: tuple[BeyondReach, ...] = ()

    @property
    def left(self) -> int:
        """The rows that are left and not on hold: none after an erasure."""
        return sum(line.after - line.held for line in self.lines)

    @property
    def elsewhere(self) -> tuple[Remains, ...]:
        """What was found other than ids in the audit: in held conversations, or in other users' texts."""
        return tuple(each for each in self.remains if not each.is_expected)

    def as_json(self) -> dict[str, object]:
        """Return a dict for JSON."""
        return Report.as_json(self) | {"left": self.left}


@long_statements()
def preview_erasure(person_id: uuid.UUID, *, seconds: float | None = None) -> Erasure:
    """Report what an erasure would find, keep and remove; the search takes at most `seconds`.

    Raise NotFound, MemoryUnavailable.
    """
    person = get_one(User.objects.filter(pk=person_id), "user")
    with opened() as file:
        subject = personal_data.subject(person)
        found = personal_data.count(subject, file)
        return _report(subject, found, found, file, _Request("", "", seconds), dry_run=True)


@long_statements()
def erase_person(
    person_id: uuid.UUID,
    *,
    actor: str,
    reason: str,
    seconds: float | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Erasure:
    """Remove everything about a user that is not on hold, count and search again; the audit keeps the report.

    While something is on hold, the account stays, too: closed, without password and rights, but with its address. The
    search takes at most `seconds`. Raise NotFound, BadInput without a reason, Conflict if the actor may not or a turn
    does not stop, MemoryUnavailable.
    """
    if not reason.strip():
        raise BadInput("An erasure requires a reason.")
    attempt = audit.attempt(Action.ERASE, actor=actor, person=person_id, reason=reason)
    request = _Request(actor, reason, seconds)
    with attempt, opened() as file:
        before = _begin(person_id, file, request)
        accounts.end_access(person_id)
        _await_turns(person_id)
        ids = list(Conversation.objects.owned_by(person_id).order_by("pk").values_list("pk", flat=True))
        done = 0
        for batch in batches(ids, BATCH):
            _remove_batch(batch, file)
            done += len(batch)
            on_progress(done, len(ids))
        subject = _remove_remaining(person_id, file)
        removal.note_deletion([str(person_id)])
        is_pending = not removal.finish_deletions(seconds=READER_TIMEOUT)
        remove_leftovers()
        return _finish(subject, file, before, request, is_pending=is_pending)


def newest_report(person_id: uuid.UUID) -> Erasure | None:
    """Return the report of a user's last completed erasure from the audit."""
    record = audit.completed_erasures(person_id).order_by("-pk").first()
    if record is None:
        return None
    kept, finished = record.result, find_sign_off(record)
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


@dataclass(frozen=True, slots=True)
class _Request:
    actor: str
    reason: str
    seconds: float | None  # for the search


def _begin(person_id: uuid.UUID, file: SyncStore, request: _Request) -> list[Count]:
    """Close the account, and record what exists; return the counts of the first attempt."""
    with transaction.atomic(durable=True):
        person = accounts.lock_person(person_id, actor=request.actor)
        accounts.check_not_last(person)
        found = personal_data.count(personal_data.subject(person), file)
        before = _first_counts(person_id, found)
        User.objects.filter(pk=person_id).update(is_active=False)
        counts = [asdict(count) for count in before]
        audit.record(
            Action.ERASE, actor=request.actor, person=person_id, reason=request.reason, began=True, counts=counts
        )
    return before


def _first_counts(person_id: uuid.UUID, found: list[Count]) -> list[Count]:
    """Return the counts of an interrupted erasure, or the current ones."""
    newest = audit.successful_records().filter(action=Action.ERASE, person=str(person_id)).order_by("-pk").first()
    if newest is None or "counts" not in newest.result:
        return found
    then = {(count["store"], count["kind"]): count["there"] for count in newest.result["counts"]}
    return [replace(count, there=max(count.there, then.get((count.store, count.kind), 0))) for count in found]


def _await_turns(person_id: uuid.UUID) -> None:
    """Wait until no turn runs that could still write. Raise Conflict."""
    deadline = time.monotonic() + TURN_TIMEOUT.total_seconds()
    while _has_running_turn(Turn.objects.filter(user=person_id).values_list("conversation_id", flat=True)):
        if time.monotonic() > deadline:
            raise Conflict("A turn of this user is still running; the account is closed, so try again soon.")
        time.sleep(0.05)


def _has_running_turn(conversations: Iterable[uuid.UUID]) -> bool:
    """Return whether a process runs a turn within its lease."""
    running = Turn.objects.filter(conversation__in=conversations, status=Status.RUNNING)
    return running.filter(lease_until__gt=Now()).exists()


def _remove_batch(ids: Sequence[uuid.UUID], file: SyncStore) -> None:
    with transaction.atomic(durable=True):
        theirs = list(Conversation.objects.filter(pk__in=ids).order_by("pk").locked())
        # Read again, now that no hold can be added.
        held = AgentSession.objects.filter(is_held(timezone.now()), conversation__in=theirs)
        kept = set(held.values_list("conversation_id", flat=True))
        gone = [row for row in theirs if row.pk not in kept]
        if _has_running_turn([row.pk for row in gone]):
            raise Conflict("A turn of this user is running; try again soon.")
        remove_for_good(file, gone)


def _remove_remaining(person_id: uuid.UUID, file: SyncStore) -> Subject:
    person = User.objects.filter(pk=person_id).first()
    if person is None:
        raise NotFound(ERASED_ALREADY)
    subject = personal_data.subject(person)
    # Sessions without a conversation.
    with unused() as others:
        for store in (*others, file):
            store.secure_delete([name for name in store.of_user(person_id) if not subject.holds(name)])
    for rows in personal_data.owned_rows(subject).values():
        rows.delete()
    runs = personal_data.runs_of(subject)
    runs.filter(actor=person_id).update(actor=None)
    runs.filter(stopped_by=person_id).update(stopped_by=None)
    return subject


def _finish(subject: Subject, file: SyncStore, before: list[Count], request: _Request, *, is_pending: bool) -> Erasure:
    """Remove the account, or all but its address if something is on hold; count, search, and record it atomically.

    The search needs the addresses, so it runs before the account's removal is committed.
    """
    with transaction.atomic(durable=True):
        person = User.objects.select_for_update().filter(pk=subject.id).first()
        if person is None:
            raise NotFound(ERASED_ALREADY)
        # No row can refer to the user any more.
        subject = personal_data.subject(person)
        if subject.held:
            person.set_unusable_password()
            person.is_staff = person.is_superuser = False
            person.last_login, person.time_zone = None, "UTC"
            person.save()
        else:
            person.delete()
        after = personal_data.count(subject, file)
        report = _report(subject, before, after, file, request, is_pending=is_pending)
        if report.left:
            left = ", ".join(line.kind for line in report.lines if line.after > line.held)
            raise Conflict(f"New data was added meanwhile ({left}); the account is closed, so erase it again.")
        kept = {name: value for name, value in asdict(report).items() if name not in AUDIT_FIELDS}
        kept["at"] = report.at.isoformat()
        record = audit.record(Action.ERASE, actor=request.actor, person=subject.id, reason=request.reason, **kept)
        if is_pending:
            PendingDeletion.objects.create(report=record.pk)
            removal.enqueue(FINISH)
    return report


def _report(
    subject: Subject,
    before: list[Count],
    after: list[Count],
    file: SyncStore,
    request: _Request,
    *,
    dry_run: bool = False,
    is_pending: bool = False,
) -> Erasure:
    found = {(count.store, count.kind): count.there for count in before}
    searched = search(subject.terms, file, seconds=request.seconds)
    return Erasure(
        person=str(subject.id),
        actor=request.actor,
        reason=audit.without_addresses(request.reason.strip()[: audit.REASON_LENGTH]),
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
