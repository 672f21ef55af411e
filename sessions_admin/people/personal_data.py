"""The places of personal data in both stores: what an erasure counts, removes, and counts again."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db.models import Model, Q, QuerySet
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.models import Task as QueueTask

from chat import models
from chat.accounts import login_sessions
from chat.memory.identity import SessionId, printable
from chat.memory.sync_store import StoredId, SyncStore
from chat.models.session import is_held
from sessions_admin.models import CleanedConversation, CleanedSession, CleanupRun
from sessions_admin.people.terms import Terms

RECORD, MEMORY = "record", "memory"

Rows = QuerySet[Any]


@dataclass(frozen=True, slots=True)
class Address:
    """A current address, or one used until a moment; a shared one also belonged to another account."""

    email: str
    until: datetime | None = None
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """A user, all their addresses, and their conversations on hold."""

    id: uuid.UUID
    addresses: tuple[Address, ...]
    held: frozenset[uuid.UUID]
    terms: Terms

    @property
    def own(self) -> Terms:
        """What identifies this user and no other."""
        return Terms(self.id, tuple(each.email for each in self.addresses if not each.is_shared))

    @property
    def held_sessions(self) -> list[str]:
        """The ids of the sessions on hold."""
        return [str(SessionId(self.id, conversation)) for conversation in sorted(self.held)]

    def holds(self, session_id: StoredId) -> bool:
        """Return whether a session in the store is on hold, whatever the case of its id."""
        return printable(session_id).lower() in self.held_sessions


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows of a kind a store has of a user, and how many of them are on hold."""

    store: str
    kind: str
    there: int
    held: int


def subject(person: models.User) -> Subject:
    """Look up the addresses of a user, and their legal holds."""
    held = models.AgentSession.objects.filter(is_held(timezone.now()), user=person)
    addresses = _addresses(person)
    emails = tuple(each.email for each in addresses)
    contains = Q()
    for email in emails:
        contains |= Q(email__contains=email)
    others = models.User.objects.filter(contains).exclude(email__in=emails).values_list("email", flat=True)
    terms = Terms(person.pk, emails, tuple(others))
    return Subject(person.pk, addresses, frozenset(held.values_list("conversation_id", flat=True)), terms)


def _addresses(person: models.User) -> tuple[Address, ...]:
    former = [row for row in person.former_emails.order_by("pk") if row.email != person.email]
    emails = [row.email for row in former]
    shared = set(models.User.objects.filter(email__in=emails).values_list("email", flat=True))
    of_others = models.FormerEmail.objects.filter(email__in=emails).exclude(user=person)
    shared |= set(of_others.values_list("email", flat=True))
    return (Address(person.email), *(Address(row.email, row.changed_at, row.email in shared) for row in former))


def count(person: Subject, file: SyncStore) -> list[Count]:
    """Count everything."""
    return [*_record_counts(person), *_run_counts(person), *_memory_counts(person, file)]


# Rows of conversations, with the field that refers to the conversation.


def _conversation_rows(person: Subject) -> dict[str, tuple[Rows, str]]:
    return {
        "conversations": (models.Conversation.objects.filter(user=person.id), "pk"),
        "messages": (models.Message.objects.filter(conversation__user=person.id), "conversation"),
        "turns": (models.Turn.objects.filter(conversation__user=person.id), "conversation"),
        "model responses": (models.TurnStep.objects.filter(turn__conversation__user=person.id), "turn__conversation"),
        "tool calls": (models.ToolCall.objects.filter(turn__conversation__user=person.id), "turn__conversation"),
        "items of other programs": (models.AdoptedItems.objects.filter(conversation__user=person.id), "conversation"),
        "sessions' metadata": (models.AgentSession.objects.filter(user=person.id), "conversation"),
    }


def owned_rows(person: Subject) -> dict[str, Rows]:
    """Return the rows that are removed with a user, even if conversations are on hold."""
    return {
        "tasks": models.Task.objects.filter(user=person.id),
        "changes of tasks": models.TaskChange.objects.filter(user=person.id),
        "model usage": models.ModelUsage.objects.filter(user=person.id),
        "task counter": models.TaskCounter.objects.filter(user=person.id),
        "clean-up entries of sessions": CleanedSession.objects.filter(user=person.id),
        "clean-up entries of conversations": CleanedConversation.objects.filter(user=person.id),
        "quarantined rows": quarantined_rows(person).exclude(session_id__in=person.held_sessions),
        "entries of the admin's log": _log_entries(person),
        "sign-in attempts": AccessAttempt.objects.filter(sign_ins_of(person)),
        "failed sign-ins": AccessFailureLog.objects.filter(sign_ins_of(person)),
        "sign-ins": AccessLog.objects.filter(sign_ins_of(person)),
        "tokens": models.ApiToken.objects.owned_by(person.id),
        "logins": Session.objects.filter(session_key__in=list(login_sessions.of_user(person.id))),
        "rights": models.User.groups.through.objects.filter(user=person.id),
        "single permissions": models.User.user_permissions.through.objects.filter(user=person.id),
        **{f"{label}: {name}": rows for label, name, rows in extra_app_rows(person.id)},
        **{
            f"worker's {str(model._meta.verbose_name_plural).lower()}": _rows_naming(model, person)
            for model in _WORKER_MODELS
        },
    }


def extra_app_rows(person_id: uuid.UUID) -> Iterator[tuple[str, str, Rows]]:
    """Yield what the apps in EXTRA_APPS store about a user: the app's label, a name and the rows."""
    for config in apps.get_app_configs():
        personal_data: Callable[[uuid.UUID], Mapping[str, Rows]] | None = getattr(config, "personal_data", None)
        if personal_data is not None:
            yield from ((config.label, name, rows) for name, rows in personal_data(person_id).items())


def quarantined_rows(person: Subject) -> QuerySet[models.Quarantined]:
    """Return the quarantined rows of a user's sessions."""
    return models.Quarantined.objects.filter(session_id__startswith=f"user_{person.id}_conv_")


def runs_of(person: Subject) -> QuerySet[CleanupRun]:
    """Return the clean-ups that a user has requested or stopped."""
    return CleanupRun.objects.filter(Q(actor=person.id) | Q(stopped_by=person.id))


def sign_ins_of(person: Subject) -> Q:
    """Match the rows of django-axes about a user; for a shared address, only those of their time."""
    matching = Q()
    for address in person.addresses:
        named = Q(username__iexact=address.email)
        matching |= named & Q(attempt_time__lte=address.until) if address.is_shared else named
    return matching


def _record_counts(person: Subject) -> Iterator[Count]:
    is_kept = int(bool(person.held))
    former = models.FormerEmail.objects.filter(user=person.id).count()
    yield Count(RECORD, "account", models.User.objects.filter(pk=person.id).count(), is_kept)
    yield Count(RECORD, "former addresses", former, former * is_kept)
    for kind, (rows, by) in _conversation_rows(person).items():
        yield Count(RECORD, kind, rows.count(), rows.filter(**{f"{by}__in": person.held}).count())
    kept = quarantined_rows(person).filter(session_id__in=person.held_sessions).count()
    for kind, rows in owned_rows(person).items():
        held = kept if kind == "quarantined rows" else 0
        yield Count(RECORD, kind, rows.count() + held, held)


def _run_counts(person: Subject) -> Iterator[Count]:
    yield Count(RECORD, "clean-ups asked for or stopped", runs_of(person).count(), 0)


def _memory_counts(person: Subject, file: SyncStore) -> Iterator[Count]:
    ids = file.of_user(person.id)
    items = [file.size_of(session_id).items for session_id in ids]
    held = [count for session_id, count in zip(ids, items, strict=True) if person.holds(session_id)]
    yield Count(MEMORY, "sessions", len(ids), len(held))
    yield Count(MEMORY, "items", sum(items), sum(held))


def _log_entries(person: Subject) -> QuerySet[LogEntry]:
    """Return the entries of the admin's log by or about a user."""
    about = Q(content_type=ContentType.objects.get_for_model(models.User), object_id=str(person.id))
    pattern = person.own.pattern
    named = Q(object_repr__iregex=pattern) | Q(change_message__iregex=pattern)
    theirs = Q(object_repr__contains=f"user_{person.id}_conv_")
    return LogEntry.objects.filter(Q(user=person.id) | about | named | theirs)


# django-q2 stores the arguments and results of its few tasks as pickles, which are searched one by one.

_WORKER_MODELS: tuple[type[Model], ...] = (OrmQ, QueueTask, Schedule)
_TEXT_OF: dict[type[Model], Callable[[Any], object]] = {
    OrmQ: lambda queued: queued.task,
    QueueTask: lambda task: (task.name, task.args, task.kwargs, task.result),
    Schedule: lambda schedule: (schedule.name, schedule.args, schedule.kwargs),
}


def _rows_naming(model: type[Model], person: Subject) -> Rows:
    """Return the rows that contain the user's address or id."""
    found = [row.pk for row in model._default_manager.all() if person.own.matches(repr(_TEXT_OF[model](row)))]
    return model._default_manager.filter(pk__in=found)
