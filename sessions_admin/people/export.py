"""Everything about a user from both stores, as a zip file: JSON for programs, Markdown for people.

Rows are written a page at a time, so that the memory does not grow with the number of messages.
"""

import json
import re
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, QuerySet
from django.utils import timezone

from chat import models
from chat.accounts import login_sessions, tokens
from chat.infra.database_limits import long_statements
from chat.infra.limits import ConcurrencyLimit
from chat.infra.lookup import get_one
from chat.memory.configured import opened
from chat.memory.identity import printable
from chat.memory.sync_store import SyncStore
from chat.models.conversation import Role
from chat.read_models import TaskOut
from sessions_admin import audit
from sessions_admin.models import Action, AuditRecord, CleanedConversation, CleanedSession
from sessions_admin.people import accounts, personal_data
from sessions_admin.reports import OnProgress, Report, ignore_progress
from sessions_admin.retention.records import details_kept_since

PAGE_SIZE = 100  # rows per query
USAGE = "day model responses input_tokens output_tokens cost"
DOCUMENT = "everything.json"
FORMAT = 1

_exports = ConcurrencyLimit(1, "Another export of this data is running; please wait until it has finished.")


README = """Everything that is kept about {email}, as it was on {now:%Y-%m-%d at %H:%M} UTC.

conversations/   what you and the assistant said to each other, one text file (Markdown) a conversation
everything.json  all of it for programs: the account and its former addresses, tasks with their changes of 30
                 days, conversations with earlier versions of messages, what the assistant did and was given,
                 what it remembers at the moment, sign-ins, and who of the staff looked
"""


@dataclass(frozen=True, slots=True)
class Exported(Report):
    """The counts of an export."""

    person: str
    conversations: int
    messages: int
    tasks: int
    items: int


@long_statements()
def export_person(
    person_id: uuid.UUID, *, to: IO[bytes], actor: str, reason: str = "", on_progress: OnProgress = ignore_progress
) -> Exported:
    """Write everything about a user into a file; unless they export it themself, the audit records the actor and the
    reason.

    Send the file only after this has returned. Raise NotFound, BadInput if another actor gives no reason, Conflict if
    they may not, RateLimited while another export of the user runs, MemoryUnavailable.
    """
    person = get_one(models.User.objects.filter(pk=person_id), "user")
    with _exports.hold(str(person_id)):
        return _export(person, to, actor, reason, on_progress)


def _export(person: models.User, to: IO[bytes], actor: str, reason: str, on_progress: OnProgress) -> Exported:
    if actor == str(person.pk):
        return _write_export(person, to, on_progress)
    with audit.attempt(Action.EXPORT, actor=actor, person=person.pk, reason=reason):
        accounts.check_may_change(person, actor=actor)
        exported = _write_export(person, to, on_progress)
        result = {name: count for name, count in exported.as_json().items() if name != "person"}
        audit.record_disclosure(Action.EXPORT, actor=actor, person=person.pk, reason=reason, counts=result)
    return exported


def _write_export(person: models.User, to: IO[bytes], on_progress: OnProgress) -> Exported:
    conversations = models.Conversation.objects.owned_by(person.pk)
    counts = _Counts(conversations.count(), on_progress)
    with opened() as file, ZipFile(to, "w", ZIP_DEFLATED) as archive:
        _write(archive, "README.txt", iter([README.format(email=person.email, now=timezone.now())]))
        _write(archive, DOCUMENT, _encoded(_document(person, file, counts)))
        for n, conversation in enumerate(_pages(conversations, "pk"), 1):
            _write(archive, f"conversations/{_file_name(conversation, n)}", _markdown(conversation))
    return Exported(str(person.pk), counts.conversations, counts.messages, counts.tasks, counts.items)


@dataclass(slots=True)
class _Counts:
    """Counts of the rows written so far."""

    total: int
    on_progress: OnProgress
    conversations: int = 0
    messages: int = 0
    tasks: int = 0
    items: int = 0

    def add_conversation(self) -> None:
        self.conversations += 1
        self.on_progress(self.conversations, max(self.total, self.conversations))


# The JSON document; iterators are written as arrays while they are read.


def _document(person: models.User, file: SyncStore, counts: _Counts) -> dict[str, object]:
    subject = personal_data.subject(person)
    signed_in = personal_data.sign_ins_of(subject)
    logins = Session.objects.filter(session_key__in=list(login_sessions.of_user(person.pk)))
    audited = AuditRecord.objects.filter(person=str(person.pk))
    apps: dict[str, dict[str, Iterator[object]]] = defaultdict(dict)
    for label, name, rows in personal_data.extra_app_rows(person.pk):
        apps[label][name] = rows.values().iterator(PAGE_SIZE)
    return {
        "format": FORMAT,
        "version": settings.VERSION,
        "made_at": timezone.now(),
        "account": _account(person),
        "former_addresses": _rows(person.former_emails.all(), "email changed_at"),
        "tasks": _tasks(person, counts),
        "changes_of_tasks": _rows(
            models.TaskChange.objects.filter(user=person), "id turn_id call_id states undoes made_at undone_at"
        ),
        "model_usage": (
            _row(row, USAGE) for row in models.ModelUsage.objects.filter(user=person).order_by("day", "model")
        ),
        "conversations": _conversations(person, file, counts),
        "memory_without_conversation": _orphan_sessions(person, file, counts),
        "quarantined": _rows(personal_data.quarantined_rows(subject), "session_id row_id content reason created_at"),
        "clean_ups_of_sessions": (
            _row(row, "session_id items bytes last_activity_at") | _run_of(row)
            for row in _pages(CleanedSession.objects.filter(user=person).select_related("run"), "pk")
        ),
        "clean_ups_of_conversations": (
            _row(row, "conversation_id is_purged messages updated_at") | _run_of(row)
            for row in _pages(CleanedConversation.objects.filter(user=person).select_related("run"), "pk")
        ),
        "clean_ups_are_known_since": details_kept_since().date(),
        "who_looked": (asdict(look) for look in audit.staff_accesses(person.pk, limit=100_000)),
        "what_was_done_to_your_data": (_audit_entry(record, person) for record in _pages(audited, "pk")),
        "sign_ins": _rows(AccessLog.objects.filter(signed_in), "attempt_time logout_time ip_address user_agent"),
        "failed_sign_ins": _rows(
            AccessAttempt.objects.filter(signed_in), "attempt_time failures_since_start ip_address user_agent"
        ),
        "logins_that_last_until": iter(logins.values_list("expire_date", flat=True)),
        "tokens": (
            _row(row, "name scopes beginning created_at expires_at last_used_at revoked_at")
            for row in tokens.of_user(person.pk)
        ),
        "clean_ups_asked_for_or_stopped": (
            _row(run, "created_at dry_run status") for run in personal_data.runs_of(subject)
        ),
        "apps": dict(apps),
    }


def _account(person: models.User) -> dict[str, object]:
    names = "id email time_zone week_start created_at last_login is_active is_staff is_superuser"
    return _row(person, names) | {
        "groups": list(person.groups.values_list("name", flat=True)),
        "permissions": list(person.user_permissions.values_list("codename", flat=True)),
    }


def _tasks(person: models.User, counts: _Counts) -> Iterator[dict[str, object]]:
    for task in _pages(models.Task.objects.owned_by(person.pk), "number"):
        counts.tasks += 1
        yield asdict(TaskOut.of(task))


def _conversations(person: models.User, file: SyncStore, counts: _Counts) -> Iterator[dict[str, object]]:
    names = "id title created_at updated_at memory_from pinned_at archived_at trashed_at kept_at"
    for conversation in _pages(models.Conversation.objects.owned_by(person.pk), "pk"):
        yield _row(conversation, names) | {
            "turns": _turns(conversation, counts),
            "session": _session(conversation, file, counts),
            "written_by_other_programs": [
                _row(row, "after_turn is_forgotten created_at") | {"items": json.loads(row.items)}
                for row in conversation.adopted.all()
            ],
        }
        counts.add_conversation()


def _turns(conversation: models.Conversation, counts: _Counts) -> Iterator[dict[str, object]]:
    """Yield turns with their messages; those of earlier versions have no position.

    Rows are dicts: model instances refer to each other, and would accumulate until garbage collection.
    """
    names = (
        "id seq status model replaces_id superseded_by_id prompt_id reasoning items usage warning "
        "error_code error_detail accepted_at started_at ended_at"
    )
    step = "n output usage sent_estimate sent_turns duration_ms model cost created_at"
    call = "call_id name arguments decision decided_by output error before created_at"
    for page in _paged(models.Turn.objects.filter(conversation=conversation).values(*names.split()), "seq"):
        ids = [turn["id"] for turn in page]
        messages = _by_turn(models.Message, ids, "created_at", "-role", names="id role text position created_at")
        steps, calls = _by_turn(models.TurnStep, ids, "n", names=step), _by_turn(models.ToolCall, ids, "pk", names=call)
        for turn in page:
            turn_messages = messages[turn["id"]]
            counts.messages += len(turn_messages)
            yield turn | {"messages": turn_messages, "responses": steps[turn["id"]], "tool_calls": calls[turn["id"]]}


def _by_turn(
    model: type[Model], turns: list[uuid.UUID], *order: str, names: str
) -> defaultdict[uuid.UUID, list[dict[str, object]]]:
    """Return rows grouped by turn."""
    found: defaultdict[uuid.UUID, list[dict[str, object]]] = defaultdict(list)
    rows = model._default_manager.filter(turn__in=turns).order_by(*order).values("turn_id", *names.split())
    for row in rows:
        found[row.pop("turn_id")].append(row)
    return found


def _session(conversation: models.Conversation, file: SyncStore, counts: _Counts) -> dict[str, object] | None:
    """Return a session's metadata and items. The reason for a hold is not the user's data."""
    session = models.AgentSession.objects.filter(conversation=conversation).first()
    if session is None:
        return None
    names = (
        "session_id item_count byte_count pruned_count first_activity_at last_activity_at gone_at held_at held_until"
    )
    items = file.items(session.session_id)
    counts.items += len(items)
    return _row(session, names) | {"items": items}


def _orphan_sessions(person: models.User, file: SyncStore, counts: _Counts) -> Iterator[dict[str, object]]:
    """Yield the sessions in the file without a conversation."""
    known = set(models.AgentSession.objects.filter(user=person).values_list("session_id", flat=True))
    for session_id in file.of_user(person.pk):
        if session_id not in known:
            items = file.items(session_id)
            counts.items += len(items)
            yield {"session_id": printable(session_id), "items": items}


def _audit_entry(record: AuditRecord, person: models.User) -> dict[str, object]:
    """Return an audit record without the names and reasons of staff."""
    by = "you" if record.actor == str(person.pk) else "staff"
    return _row(record, "at action session_id") | {"by": by, "failed": "failed" in record.result}


# Markdown.


def _markdown(conversation: models.Conversation) -> Iterator[str]:
    yield f"# {conversation}\n\n"
    messages = models.Message.objects.filter(conversation=conversation, position__isnull=False)
    for message in _pages(messages.values("role", "created_at", "text", "position"), "position"):
        who = "You" if message["role"] == Role.USER else "Assistant"
        yield f"**{who}**, {message['created_at']:%Y-%m-%d %H:%M} UTC\n\n{message['text']}\n\n"


def _file_name(conversation: models.Conversation, n: int) -> str:
    title = re.sub(r"[^\w ()'-]+", "", str(conversation))[:60].strip()
    return f"{conversation.created_at:%Y-%m-%d} {title or 'Chat'} {n}.md"


# Writing.


def _write(archive: ZipFile, name: str, parts: Iterator[str]) -> None:
    info = ZipInfo(name, timezone.now().timetuple()[:6])
    info.compress_type, info.external_attr = ZIP_DEFLATED, 0o600 << 16
    with archive.open(info, "w", force_zip64=True) as member:
        for part in parts:
            member.write(part.encode("utf-8", "backslashreplace"))


def _encoded(value: object) -> Iterator[str]:
    """Yield a value's JSON in pieces; iterators within it are read entry by entry."""
    if isinstance(value, Mapping):
        yield "{"
        for n, (name, inner) in enumerate(value.items()):
            yield f"{',' if n else ''}\n{json.dumps(name)}: "
            yield from _encoded(inner)
        yield "}"
    elif isinstance(value, Iterator):
        yield "["
        for n, inner in enumerate(value):
            yield ",\n" if n else ""
            yield from _encoded(inner)
        yield "]"
    else:
        yield json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)


def _pages(rows: QuerySet[Any], by: str) -> Iterator[Any]:
    """Yield rows in the order of a unique field, read a page at a time."""
    for page in _paged(rows, by):
        yield from page


def _paged(rows: QuerySet[Any, Any], by: str) -> Iterator[list[Any]]:
    """Yield pages of rows, as objects or dicts; connection poolers do not support server-side cursors."""
    rows, last = rows.order_by(by), None
    while page := list(rows[:PAGE_SIZE] if last is None else rows.filter(**{f"{by}__gt": last})[:PAGE_SIZE]):
        yield page
        last = page[-1][by] if isinstance(page[-1], dict) else getattr(page[-1], by)


def _rows(rows: QuerySet[Any], names: str) -> Iterator[dict[str, object]]:
    return (_row(row, names) for row in _pages(rows, "pk"))


def _run_of(row: CleanedSession | CleanedConversation) -> dict[str, object]:
    return {"at": row.run.created_at, "preview": row.run.dry_run}


def _row(row: Model, names: str) -> dict[str, object]:
    """Return the attributes of a row whose names are given, separated by spaces."""
    return {name: getattr(row, name) for name in names.split()}
