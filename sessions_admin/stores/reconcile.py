"""Compare the two stores session by session, report the drift, and repair it on request.

The record is the truth. Both sides are read a page at a time without locks; suspected drift is checked again with the
conversation locked, so that active turns and clean-ups are not reported, and repaired under the same lock.
"""

import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from chat.exceptions import InvalidSessionId
from chat.memory.adoption import take_over
from chat.memory.configured import opened
from chat.memory.identity import SessionId, printable
from chat.memory.items import Item
from chat.memory.rebuild import rebuild
from chat.memory.statements import RowsChanged, Size
from chat.memory.sync_store import StoredId, StoredSession, SyncStore
from chat.models import AgentSession, Conversation
from chat.models.session import retention
from sessions_admin import audit
from sessions_admin.models import Action
from sessions_admin.reports import OnProgress, Report, batches, ignore_progress
from sessions_admin.sessions.lifecycle import refill
from sessions_admin.stores.drift import CONTENT_DRIFTS, Drift, Record, drifts, is_doubtful, next_records, records

PAGE_SIZE = 250  # sessions read at once, and locked at once for a second check
MAX_FINDINGS = 500  # listed in a report; the others are counted
NO_ROWS = StoredSession()
FIRST = uuid.UUID(int=0)


@dataclass(frozen=True, slots=True)
class Finding(Report):
    """The drift of one session, by the item counts of both stores."""

    session_id: str
    drifts: tuple[Drift, ...]
    items_in_mirror: int
    items_in_file: int
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class ReconcileReport(Report):
    """The result of a comparison.

    `busy` sessions have drift and an active turn; `held` ones would have to be removed, which a legal hold forbids.
    """

    repair: bool
    sessions: int
    conversations: int
    found: dict[str, int]  # sessions by drift; one may have several
    drifted: int
    repaired: int
    busy: int
    held: int
    foreign: int
    seconds: float
    findings: tuple[Finding, ...]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left to repair."""
        return self.drifted == self.repaired

    @property
    def summary(self) -> str:
        """The result, as a sentence."""
        parts = [f"{self.sessions:,} sessions in the store and {self.conversations:,} conversations compared"]
        parts.append(f"{self.drifted:,} differ" + (f", {self.repaired:,} repaired" if self.repair else ""))
        parts += [f"{self.busy:,} in use, skipped"] if self.busy else []
        parts += [f"{self.held:,} on hold, skipped"] if self.held else []
        parts += [f"{self.foreign:,} with ids of other programs"] if self.foreign else []
        return "; ".join(parts) + "."

    def as_json(self) -> dict[str, object]:
        """Return a dict for JSON."""
        return Report.as_json(self) | {"is_clean": self.is_clean}


def reconcile(
    *, repair: bool, actor: str, reason: str = "", on_progress: OnProgress = ignore_progress
) -> ReconcileReport:
    """Compare the session store, the metadata and the record; `repair` makes them agree. Raise MemoryUnavailable."""
    begun = time.monotonic()
    with opened() as file:
        work = _Reconciliation(file, repair, actor, reason, on_progress)
        work.check_file()
        work.check_record()
    report = work.report(seconds=round(time.monotonic() - begun, 3))
    counted = {name: value for name, value in report.as_json().items() if name != "findings"}
    audit.record(Action.RECONCILE, actor=actor, person=None, session_id="", reason=reason, **counted)
    return report


@dataclass(slots=True)
class _Reconciliation:
    """A running comparison."""

    file: SyncStore
    repair: bool
    actor: str
    reason: str
    on_progress: OnProgress
    total: int = 0
    sessions: int = 0
    conversations: int = 0
    drifted: int = 0
    busy: int = 0
    held: int = 0
    foreign: int = 0
    kinds: Counter[Drift] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.total = self.file.count() + Conversation.objects.count()

    def report(self, *, seconds: float) -> ReconcileReport:
        """Return the report."""
        return ReconcileReport(
            repair=self.repair,
            sessions=self.sessions,
            conversations=self.conversations,
            found={drift.value: self.kinds[drift] for drift in Drift if self.kinds[drift]},
            drifted=self.drifted,
            repaired=self.drifted if self.repair else 0,
            busy=self.busy,
            held=self.held,
            foreign=self.foreign,
            seconds=seconds,
            findings=tuple(self.findings),
        )

    # -- first check, without locks

    def check_file(self) -> None:
        """Check every session that has a row in the store."""
        after: StoredId = ""
        while ids := self.file.next_ids(after, PAGE_SIZE):
            after = ids[-1]
            ours = self._ours(ids)
            known = records([ours[name].conversation_id for name in ours], now=timezone.now())
            kept = self.file.load(list(ours))
            suspects = []
            for name, session_id in ours.items():
                record = known.get(session_id.conversation_id)
                if record is None:
                    self._check_orphan(session_id)
                elif record.user_id != session_id.user_id:
                    self._check_stranger(session_id)
                elif _may_drift(record, kept[name]):
                    suspects.append(record)
            self._recheck(suspects)
            self.sessions += len(ids)
            self._report_progress()

    def check_record(self) -> None:
        """Check every conversation whose session has nothing in the store."""
        after = FIRST
        while page := next_records(after, PAGE_SIZE, now=timezone.now()):
            after = page[-1].conversation_id
            kept = self.file.load([record.session_id for record in page])
            absent = [record for record in page if not kept[record.session_id].has_rows]
            self._recheck([record for record in absent if _may_drift(record, NO_ROWS)])
            self.conversations += len(page)
            self._report_progress()

    def _ours(self, ids: Sequence[StoredId]) -> dict[str, SessionId]:
        ours = {}
        for name in ids:
            try:
                session_id = SessionId.parse(name)
            except InvalidSessionId:
                self.foreign += 1
                self._list_finding(Finding(printable(name), (Drift.FOREIGN,), 0, 0))
            else:
                ours[str(session_id)] = session_id
        return ours

    def _report_progress(self) -> None:
        done = self.sessions + self.conversations
        self.total = max(self.total, done)
        self.on_progress(done, self.total)

    # -- second check, under the lock

    def _recheck(self, suspects: Sequence[Record]) -> None:
        """Check suspected drift again, in batches; repairs lock one conversation at a time."""
        for batch in batches(suspects, 1 if self.repair else PAGE_SIZE):
            with transaction.atomic(durable=True):
                self._recheck_locked([record.conversation_id for record in batch])

    def _recheck_locked(self, ids: Sequence[uuid.UUID]) -> None:
        chosen = Conversation.objects.filter(pk__in=ids).order_by("pk").locked(skip_locked=not self.repair)
        locked = {conversation.pk: conversation for conversation in chosen}
        self.busy += len(ids) - len(locked)
        again = records(list(locked), now=timezone.now())
        kept_by_id = self.file.load([record.session_id for record in again.values()])
        for record in again.values():
            kept = kept_by_id[record.session_id]
            found = drifts(record, kept, due=_expected_items(record, kept))
            if not found:
                continue
            if record.is_busy:
                self.busy += 1
                continue
            if self.repair:
                try:
                    self._repair(record, locked[record.conversation_id], kept, found)
                except RowsChanged:  # another program is writing; the next comparison finds it
                    self.busy += 1
                    continue
            held = record.mirror.size.items if record.mirror else 0
            self._add_finding(Finding(record.session_id, tuple(found), held, kept.size.items, self.repair))

    def _check_orphan(self, session_id: SessionId) -> None:
        with transaction.atomic(durable=True):
            if Conversation.objects.filter(pk=session_id.conversation_id).exists():
                return  # created a moment ago
            self._remove(session_id, Drift.ORPHAN)

    def _check_stranger(self, session_id: SessionId) -> None:
        """Check a session that no turn will read: the conversation's own session has its owner's id."""
        with transaction.atomic(durable=True):
            conversation = Conversation.objects.locked().filter(pk=session_id.conversation_id).first()
            if conversation is None or conversation.user_id == session_id.user_id:
                return
            session = AgentSession.objects.filter(conversation=conversation).first()
            if session is not None and session.is_held:
                self.held += 1
            else:
                self._remove(session_id, Drift.STRANGER)

    # -- repair

    def _remove(self, session_id: SessionId, drift: Drift) -> None:
        name = str(session_id)
        size = (self.file.remove if self.repair else self.file.measure)([name])[name]
        if self.repair:
            self._record_audit(session_id.user_id, name, [drift], size.items, 0)
        self._add_finding(Finding(name, (drift,), 0, size.items, self.repair))

    def _repair(self, record: Record, conversation: Conversation, kept: StoredSession, found: Sequence[Drift]) -> None:
        """Restore a locked conversation's metadata and session from the record. PostgreSQL is committed last."""
        session = _lock_metadata(record)
        size, session.pruned_count = self._repaired(record, conversation, kept, found, session)
        was_something = bool(session.gone_at or session.item_count or record.last)
        session.gone_at = (session.gone_at or timezone.now()) if was_something and not size.items else None
        session.item_count, session.byte_count, session.last_error = size.items, size.bytes, ""
        session.save()
        self._record_audit(record.user_id, record.session_id, found, kept.size.items, size.items)

    def _repaired(
        self,
        record: Record,
        conversation: Conversation,
        kept: StoredSession,
        found: Sequence[Drift],
        session: AgentSession,
    ) -> tuple[Size, int]:
        """Repair a session's items; return its size, and the number of older items that are omitted."""
        name = record.session_id
        if not kept.size.items:
            expired = not session.is_held and session.last_activity_at <= timezone.now() - retention()
            if session.gone_at or expired or record.last is None:
                self.file.remove([name])
                return Size(0, 0), session.pruned_count + session.item_count
            return refill(self.file, name, conversation, seen=kept.stored.digest)
        if Drift.UNLISTED in found:
            self.file.add_session_row(name)
        is_faithful = take_over(record.conversation_id, name, kept.stored)
        if not (is_faithful and CONTENT_DRIFTS.isdisjoint(found)):
            return refill(self.file, name, conversation, seen=kept.stored.digest)
        self.file.seal(name, kept.stored.digest)
        return kept.size, session.pruned_count + max(session.item_count - kept.size.items, 0)

    # -- record

    def _add_finding(self, finding: Finding) -> None:
        self.drifted += 1
        self.kinds.update(finding.drifts)
        self._list_finding(finding)

    def _list_finding(self, finding: Finding) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)

    def _record_audit(self, person: uuid.UUID, name: str, found: Sequence[Drift], before: int, after: int) -> None:
        result = {"drifts": [drift.value for drift in found], "items_before": before, "items": after}
        audit.record(Action.RECONCILE, actor=self.actor, person=person, session_id=name, reason=self.reason, **result)


def _may_drift(record: Record, kept: StoredSession) -> bool:
    return bool(drifts(record, kept)) or is_doubtful(record, kept)


def _expected_items(record: Record, kept: StoredSession) -> list[Item] | None:
    """Return the items that a rebuild would write, if they have to be compared."""
    if not is_doubtful(record, kept):
        return None
    return rebuild(record.conversation_id, before=2**31 - 1, limit=settings.AGENT_SESSION_MAX_MESSAGES).items


def _lock_metadata(record: Record) -> AgentSession:
    """Lock and correct a conversation's metadata, or create it."""
    session = AgentSession.objects.select_for_update(no_key=True).filter(conversation=record.conversation_id).first()
    session = session or AgentSession(conversation_id=record.conversation_id)
    at = record.ended_at or timezone.now()
    session.first_activity_at = session.first_activity_at or at
    session.last_activity_at = max(session.last_activity_at or at, record.ended_at or session.last_activity_at or at)
    if (session.user_id, session.session_id) != (record.user_id, record.session_id):
        # The other conversation's session id is corrected when it is checked.
        others = AgentSession.objects.filter(session_id=record.session_id).exclude(pk=session.pk)
        for other in others:
            others.filter(pk=other.pk).update(session_id=f"taken from conversation {other.conversation_id}")
        session.user_id, session.session_id = record.user_id, record.session_id
    return session
