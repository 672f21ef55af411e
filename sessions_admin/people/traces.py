"""Where something of a person is kept, over both stores: what an erasure counts, removes, and counts again."""

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db.models import Model, Q, QuerySet
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.models import Task as QueueTask

from chat import logins
from chat.memory.identity import SessionId
from chat.memory.maintenance import SessionFile
from chat.models import (
    AgentSession,
    ApiToken,
    Conversation,
    Message,
    Quarantined,
    Task,
    TaskCounter,
    ToolCall,
    Turn,
    TurnStep,
    User,
)
from chat.models.session import is_held
from sessions_admin.models import CleanedConversation, CleanedSession, CleanupRun

RECORD, MEMORY = "record", "memory"

Rows = QuerySet[Any]


@dataclass(frozen=True, slots=True)
class Whose:
    """A person, and which conversations of theirs are held."""

    id: uuid.UUID
    email: str
    held: frozenset[uuid.UUID]

    @property
    def address(self) -> str:
        """Return a pattern of the address that matches no longer one which ends or begins like it."""
        return rf"(^|[^\w.+-]){re.escape(self.email)}($|[^\w.-])"

    @property
    def held_sessions(self) -> list[str]:
        """Return the ids of the sessions of what is held."""
        return [str(SessionId(self.id, conversation)) for conversation in sorted(self.held)]


@dataclass(frozen=True, slots=True)
class Count:
    """How much of a kind a store keeps of a person, and how much of that is held."""

    store: str
    kind: str
    there: int
    held: int


def whose(person: User) -> Whose:
    """Look up what of a person is held at the moment."""
    held = AgentSession.objects.filter(is_held(timezone.now()), user=person)
    return Whose(person.pk, person.email, frozenset(held.values_list("conversation_id", flat=True)))


def count(person: Whose, file: SessionFile) -> list[Count]:
    """Count everything."""
    return [*_rows(person), *_elsewhere(person), *_remembered(person, file)]


# What belongs to a conversation: by kind, its rows, and by which of their fields they are held with it.


def _of_conversations(person: Whose) -> dict[str, tuple[Rows, str]]:
    return {
        "conversations": (Conversation.objects.filter(user=person.id), "pk"),
        "messages": (Message.objects.filter(conversation__user=person.id), "conversation"),
        "turns": (Turn.objects.filter(conversation__user=person.id), "conversation"),
        "model responses": (TurnStep.objects.filter(turn__conversation__user=person.id), "turn__conversation"),
        "tool calls": (ToolCall.objects.filter(turn__conversation__user=person.id), "turn__conversation"),
        "sessions' metadata": (AgentSession.objects.filter(user=person.id), "conversation"),
    }


def of_nobody_else(person: Whose) -> dict[str, Rows]:
    """Return the rows that go with a person, held conversations or not."""
    return {
        "tasks": Task.objects.filter(user=person.id),
        "task counter": TaskCounter.objects.filter(user=person.id),
        "clean-up entries of sessions": CleanedSession.objects.filter(user=person.id),
        "clean-up entries of conversations": CleanedConversation.objects.filter(user=person.id),
        "quarantined rows": quarantined(person).exclude(session_id__in=person.held_sessions),
        "entries of the admin's log": _log_entries(person),
        "sign-in attempts": AccessAttempt.objects.filter(username__iexact=person.email),
        "failed sign-ins": AccessFailureLog.objects.filter(username__iexact=person.email),
        "sign-ins": AccessLog.objects.filter(username__iexact=person.email),
        "tokens": ApiToken.objects.owned_by(person.id),
        "logins": Session.objects.filter(session_key__in=list(logins.of_person(person.id))),
        "rights": User.groups.through.objects.filter(user=person.id),
        "single permissions": User.user_permissions.through.objects.filter(user=person.id),
        **{f"worker's {str(model._meta.verbose_name_plural).lower()}": _naming(model, person) for model in _OF_WORKER},
    }


def quarantined(person: Whose) -> QuerySet[Quarantined]:
    """Return the rows of a person's sessions that could not be used."""
    return Quarantined.objects.filter(session_id__startswith=f"user_{person.id}_conv_")


def runs_naming(person: Whose) -> QuerySet[CleanupRun]:
    """Return the clean-ups that name a person as who asked for them or stopped them."""
    return CleanupRun.objects.filter(Q(actor=person.id) | Q(stopped_by=person.id))


def _rows(person: Whose) -> Iterator[Count]:
    yield Count(RECORD, "account", User.objects.filter(pk=person.id).count(), int(bool(person.held)))
    for kind, (rows, by) in _of_conversations(person).items():
        yield Count(RECORD, kind, rows.count(), rows.filter(**{f"{by}__in": person.held}).count())
    kept = quarantined(person).filter(session_id__in=person.held_sessions).count()
    for kind, rows in of_nobody_else(person).items():
        held = kept if kind == "quarantined rows" else 0
        yield Count(RECORD, kind, rows.count() + held, held)


def _elsewhere(person: Whose) -> Iterator[Count]:
    yield Count(RECORD, "clean-ups asked for or stopped", runs_naming(person).count(), 0)


def _remembered(person: Whose, file: SessionFile) -> Iterator[Count]:
    ids = file.of_person(person.id)
    sizes = file.measure(ids)
    held = [session_id for session_id in ids if session_id in set(person.held_sessions)]
    yield Count(MEMORY, "sessions", len(ids), len(held))
    items = sum(size.items for size in sizes.values())
    yield Count(MEMORY, "items", items, sum(sizes[session_id].items for session_id in held))


def _log_entries(person: Whose) -> QuerySet[LogEntry]:
    """Return what the admin's own log says by or about a person."""
    about = Q(content_type=ContentType.objects.get_for_model(User), object_id=str(person.id))
    named = Q(object_repr__iregex=person.address) | Q(change_message__iregex=person.address)
    theirs = Q(object_repr__contains=f"user_{person.id}_conv_")
    return LogEntry.objects.filter(Q(user=person.id) | about | named | theirs)


# django-q2 keeps what a task is given, and what it returned, in pickles: each is looked into, and there are few.

_OF_WORKER: tuple[type[Model], ...] = (OrmQ, QueueTask, Schedule)
_SAYS: dict[type[Model], Callable[[Any], object]] = {
    OrmQ: lambda queued: queued.task,
    QueueTask: lambda task: (task.name, task.args, task.kwargs, task.result),
    Schedule: lambda schedule: (schedule.name, schedule.args, schedule.kwargs),
}


def _naming(model: type[Model], person: Whose) -> Rows:
    """Return the rows that name a person by address or id."""
    found = [row.pk for row in model._default_manager.all() if _names(repr(_SAYS[model](row)), person)]
    return model._default_manager.filter(pk__in=found)


def _names(text: str, person: Whose) -> bool:
    return str(person.id) in text or re.search(person.address, text, re.IGNORECASE) is not None
