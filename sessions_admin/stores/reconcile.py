"""Compare the two stores session by session, report the drift, and repair it on request.

The record is the truth. Both sides are read a page at a time without a lock; what looks wrong is looked at again with
its conversation locked, so that nothing that a turn or a clean-up is at work on is taken for drift, and is put right
under the same lock.
"""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from chat.exceptions import InvalidSessionId
from chat.memory.adoption import take_over
from chat.memory.identity import SessionId, printable
from chat.memory.items import Item
from chat.memory.rebuild import rebuild
from chat.memory.statements import RowsChanged, Size
from chat.memory.sync_store import Kept, SessionFile, StoredId, opened
from chat.models import AgentSession, Conversation
from chat.models.session import retention
from sessions_admin import audit
from sessions_admin.models import Action
from sessions_admin.sessions.lifecycle import fill_again
from sessions_admin.stores.drift import SPOILT, Drift, Record, drifts, is_doubtful, next_records, records

PAGE = 250  # sessions read at once, and locked at once where many look wrong
NAMED = 500  # findings that a report names one by one; the others it counts
NOTHING = Kept()
FIRST = uuid.UUID(int=0)

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """The drift of one session, by the item counts of both stores."""

    session_id: str
    drifts: tuple[Drift, ...]
    items_in_mirror: int
    items_in_file: int
    repaired: bool = False

    def as_json(self) -> dict[str, object]:
        """Give it as a plain dict."""
        return {
            "session_id": self.session_id,
            "drifts": [drift.value for drift in self.drifts],
            "items_in_mirror": self.items_in_mirror,
            "items_in_file": self.items_in_file,
            "repaired": self.repaired,
        }


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """What was compared, found and repaired.

    `busy` had drift and an active turn; `held` would have to be removed, which a legal hold forbids.
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
        """What came of it, in a sentence."""
        said = [f"{self.sessions:,} sessions in the file and {self.conversations:,} conversations compared"]
        said.append(f"{self.drifted:,} differ" + (f", {self.repaired:,} repaired" if self.repair else ""))
        said += [f"{self.busy:,} in use and left alone"] if self.busy else []
        said += [f"{self.held:,} held and left alone"] if self.held else []
        said += [f"{self.foreign:,} with ids that are not ours"] if self.foreign else []
        return "; ".join(said) + "."

    def as_json(self) -> dict[str, object]:
        """Give it as a plain dict."""
        plain: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        return plain | {"findings": [finding.as_json() for finding in self.findings], "is_clean": self.is_clean}


def reconcile(
    *, repair: bool, actor: str, reason: str = "", on_progress: OnProgress = lambda done, total: None
) -> ReconcileReport:
    """Compare the session file, the mirror and the record; with `repair`, make them agree. Raise MemoryUnavailable."""
    begun = time.monotonic()
    with opened(settings.AGENT_SESSION_DB_PATH) as file:
        work = _Reconciling(file, repair, actor, reason, on_progress)
        work.go_through_the_file()
        work.go_through_the_record()
    report = work.report(seconds=round(time.monotonic() - begun, 3))
    counted = {name: value for name, value in report.as_json().items() if name != "findings"}
    audit.record(Action.RECONCILE, actor=actor, person=None, session_id="", reason=reason, **counted)
    return report


@dataclass(slots=True)
class _Reconciling:
    """One comparison under way."""

    file: SessionFile
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
        """Log the result."""
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

    # -- look

    def go_through_the_file(self) -> None:
        """Check every session that has a row in the file."""
        after: StoredId = ""
        while ids := self.file.next_ids(after, PAGE):
            after = ids[-1]
            ours = self._ours(ids)
            known = records([ours[name].conversation_id for name in ours], now=timezone.now())
            kept = self.file.look(list(ours))
            suspects = []
            for name, session_id in ours.items():
                record = known.get(session_id.conversation_id)
                if record is None:
                    self._settle_orphan(session_id)
                elif record.user_id != session_id.user_id:
                    self._settle_stranger(session_id)
                elif _looks_wrong(record, kept[name]):
                    suspects.append(record)
            self._settle(suspects)
            self.sessions += len(ids)
            self._tell()

    def go_through_the_record(self) -> None:
        """Check every conversation whose session has nothing in the file."""
        after = FIRST
        while page := next_records(after, PAGE, now=timezone.now()):
            after = page[-1].conversation_id
            kept = self.file.look([record.session_id for record in page])
            absent = [record for record in page if not kept[record.session_id].has_rows]
            self._settle([record for record in absent if _looks_wrong(record, NOTHING)])
            self.conversations += len(page)
            self._tell()

    def _ours(self, ids: Sequence[StoredId]) -> dict[str, SessionId]:
        ours = {}
        for name in ids:
            try:
                session_id = SessionId.parse(name)
            except InvalidSessionId:
                self.foreign += 1
                self._name(Finding(printable(name), (Drift.FOREIGN,), 0, 0))
            else:
                ours[str(session_id)] = session_id
        return ours

    def _tell(self) -> None:
        done = self.sessions + self.conversations
        self.total = max(self.total, done)
        self.on_progress(done, self.total)

    # -- look again, under the lock

    def _settle(self, suspects: Sequence[Record]) -> None:
        """Look again at what looked wrong, many together; what is repaired is locked alone."""
        for batch in _batches(suspects, 1 if self.repair else PAGE):
            with transaction.atomic(durable=True):
                self._settle_locked([record.conversation_id for record in batch])

    def _settle_locked(self, ids: Sequence[uuid.UUID]) -> None:
        chosen = Conversation.objects.filter(pk__in=ids).order_by("pk").locked(skip_locked=not self.repair)
        locked = {conversation.pk: conversation for conversation in chosen}
        self.busy += len(ids) - len(locked)
        again = records(list(locked), now=timezone.now())
        kept_by_id = self.file.look([record.session_id for record in again.values()])
        for record in again.values():
            kept = kept_by_id[record.session_id]
            found = drifts(record, kept, due=_due(record, kept))
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
            self._find(Finding(record.session_id, tuple(found), held, kept.size.items, self.repair))

    def _settle_orphan(self, session_id: SessionId) -> None:
        with transaction.atomic(durable=True):
            if Conversation.objects.filter(pk=session_id.conversation_id).exists():
                return  # begun this moment
            self._remove(session_id, Drift.ORPHAN)

    def _settle_stranger(self, session_id: SessionId) -> None:
        """Find what no turn will ever read: the conversation's own session has its owner's id."""
        with transaction.atomic(durable=True):
            conversation = Conversation.objects.locked().filter(pk=session_id.conversation_id).first()
            if conversation is None or conversation.user_id == session_id.user_id:
                return
            session = AgentSession.objects.filter(conversation=conversation).first()
            if session is not None and session.is_held:
                self.held += 1
            else:
                self._remove(session_id, Drift.STRANGER)

    # -- put right

    def _remove(self, session_id: SessionId, drift: Drift) -> None:
        name = str(session_id)
        size = (self.file.remove if self.repair else self.file.measure)([name])[name]
        if self.repair:
            self._audit(session_id.user_id, name, [drift], size.items, 0)
        self._find(Finding(name, (drift,), 0, size.items, self.repair))

    def _repair(self, record: Record, conversation: Conversation, kept: Kept, found: Sequence[Drift]) -> None:
        """Restore a locked conversation's metadata and session from the record. PostgreSQL is committed last."""
        session = _mirror_of(record)
        size, session.pruned_count = self._repaired(record, conversation, kept, found, session)
        was_something = bool(session.gone_at or session.item_count or record.last)
        session.gone_at = (session.gone_at or timezone.now()) if was_something and not size.items else None
        session.item_count, session.byte_count, session.last_error = size.items, size.bytes, ""
        session.save()
        self._audit(record.user_id, record.session_id, found, kept.size.items, size.items)

    def _repaired(
        self,
        record: Record,
        conversation: Conversation,
        kept: Kept,
        found: Sequence[Drift],
        session: AgentSession,
    ) -> tuple[Size, int]:
        """Repair a session's items; return their number, and how many older ones are left out."""
        name = record.session_id
        if not kept.size.items:
            expired = not session.is_held and session.last_activity_at <= timezone.now() - retention()
            if session.gone_at or expired or record.last is None:
                self.file.remove([name])
                return Size(0, 0), session.pruned_count + session.item_count
            return fill_again(self.file, name, conversation, seen=kept.stored.digest)
        if Drift.UNLISTED in found:
            self.file.enlist(name)
        is_faithful = take_over(record.conversation_id, name, kept.stored)
        if not (is_faithful and SPOILT.isdisjoint(found)):
            return fill_again(self.file, name, conversation, seen=kept.stored.digest)
        self.file.seal(name, kept.stored.digest)
        return kept.size, session.pruned_count + max(session.item_count - kept.size.items, 0)

    # -- write down

    def _find(self, finding: Finding) -> None:
        self.drifted += 1
        self.kinds.update(finding.drifts)
        self._name(finding)

    def _name(self, finding: Finding) -> None:
        if len(self.findings) < NAMED:
            self.findings.append(finding)

    def _audit(self, person: uuid.UUID, name: str, found: Sequence[Drift], before: int, after: int) -> None:
        result = {"drifts": [drift.value for drift in found], "items_before": before, "items": after}
        audit.record(Action.RECONCILE, actor=self.actor, person=person, session_id=name, reason=self.reason, **result)


def _looks_wrong(record: Record, kept: Kept) -> bool:
    return bool(drifts(record, kept)) or is_doubtful(record, kept)


def _due(record: Record, kept: Kept) -> list[Item] | None:
    """Return what the record would fill a session with, where that has to be known."""
    if not is_doubtful(record, kept):
        return None
    return rebuild(record.conversation_id, before=2**31 - 1, limit=settings.AGENT_SESSION_MAX_MESSAGES).items


def _mirror_of(record: Record) -> AgentSession:
    """Return a conversation's mirror, locked, named and dated as it must be; a new one where there was none."""
    session = AgentSession.objects.select_for_update(no_key=True).filter(conversation=record.conversation_id).first()
    session = session or AgentSession(conversation_id=record.conversation_id)
    at = record.ended_at or timezone.now()
    session.first_activity_at = session.first_activity_at or at
    session.last_activity_at = max(session.last_activity_at or at, record.ended_at or session.last_activity_at or at)
    if (session.user_id, session.session_id) != (record.user_id, record.session_id):
        # The conversation with this number is renumbered later, when it is checked.
        others = AgentSession.objects.filter(session_id=record.session_id).exclude(pk=session.pk)
        for other in others:
            others.filter(pk=other.pk).update(session_id=f"taken from conversation {other.conversation_id}")
        session.user_id, session.session_id = record.user_id, record.session_id
    return session


def _batches(suspects: Sequence[Record], size: int) -> Iterator[Sequence[Record]]:
    for start in range(0, len(suspects), size):
        yield suspects[start : start + size]
