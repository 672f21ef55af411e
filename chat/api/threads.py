"""A person's conversations, which the API calls threads."""

import uuid
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Literal, Self

from django.http import HttpRequest, HttpResponse
from ninja import Body, Field, Query, Router, Schema, Status
from pydantic import ConfigDict, WithJsonSchema, model_validator

from chat.api.auth import SignedIn, caller
from chat.api.idempotency import CreationKey, once
from chat.api.paging import MOST, Listed, Page, Paging, moment_cursor, page
from chat.api.schemas import ErrorReply, Input, Text, schema_of
from chat.assistant.model_config import NAME_LENGTH
from chat.conversations import export
from chat.conversations import services as conversations
from chat.conversations import threads as record
from chat.conversations.threads import Where
from chat.models.conversation import TITLE_LENGTH
from chat.models.token import Scope
from chat.read_models import ConversationOut, MessageOut

router = Router(tags=["threads"], auth=SignedIn(Scope.CHAT))

Title = Annotated[Text, Field(max_length=TITLE_LENGTH, examples=["Groceries"])]
ModelName = Annotated[Text, Field(max_length=NAME_LENGTH, examples=["fast"])]
CONFLICT = {409: ErrorReply}
LINE = " ".join(name for name in ConversationOut.JSON if name != "waiting")


class NewThread(Input):
    """What a thread begins with."""

    title: Annotated[Title | None, Field(description="Without one, the first message gives it.")] = None
    model: Annotated[ModelName | None, Field(description="Without one, the default answers.")] = None


class ThreadChange(Input):
    """What changes of a thread; what is not given stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    title: Annotated[Title, Field(min_length=1)] | None = Field(default_factory=lambda: None)
    model: ModelName | None = Field(default_factory=lambda: None, description="It answers from the next turn on.")

    @model_validator(mode="after")
    def _has_something(self) -> Self:
        if self.title is None and self.model is None:
            raise ValueError("give a title or a model")
        return self


class CreatedThread(schema_of(ConversationOut, "id title created_at", id="thread_id")):  # type: ignore[misc]
    """A thread without messages."""


class ThreadLine(schema_of(ConversationOut, LINE, id="thread_id")):  # type: ignore[misc]
    """A thread as a line of a list."""


class ThreadPage(Page[ThreadLine]):
    """A part of a list."""


class MessageReply(schema_of(MessageOut, id="message_id", text="content")):  # type: ignore[misc]
    """A message."""


class TurnLine(Schema):
    """A turn: from a message to the end of its reply."""

    turn_id: uuid.UUID = Field(validation_alias="id")
    status: Literal["queued", "running", "waiting", "done", "failed", "stopped"]


class ActiveTurn(TurnLine):
    """A turn that has not ended."""

    message_id: uuid.UUID = Field(validation_alias="prompt_id", description="The message that it answers.")


class ThreadReply(ThreadLine):
    """A thread with a part of its messages, the oldest of them first."""

    messages: list[MessageReply]
    has_more: bool = Field(description="Whether there are older messages: those `before` the first of these.")
    turns: list[ActiveTurn] = Field(description="Those that are queued, running, or waiting for a decision.")


class Part(Schema):
    """Which messages of a thread to return."""

    limit: int = Field(50, ge=1, le=MOST, description="How many at most: the newest.")
    before: Annotated[uuid.UUID | None, WithJsonSchema({"type": "string", "format": "uuid"})] = Field(
        None, description="The id of a message: only older ones."
    )


class Format(StrEnum):
    """How a thread is exported."""

    JSON = "json"
    MARKDOWN = "markdown"


EXPORTS = {Format.JSON: export.as_json, Format.MARKDOWN: export.as_markdown}
FILE = {"description": "A file.", "content": {"text/markdown": {"schema": {"type": "string"}}}}


@router.post("", response={201: CreatedThread})
def create_thread(
    request: HttpRequest,
    body: Annotated[NewThread, Body()] = NewThread(),  # noqa: B008
    idempotency_key: CreationKey = "",
) -> Status[ConversationOut]:
    """Create a thread. Without a title (at most 100 characters), its first message gives it one."""
    user = caller(request).user
    line, _ = once(
        user.pk,
        "create_thread",
        idempotency_key,
        body,
        create=lambda: conversations.begin(user_id=user.pk, title=body.title or "", model=body.model or ""),
        id_of=lambda line: line.id,
        find=lambda thread_id: record.line(user_id=user.pk, conversation_id=thread_id),
    )
    return Status(201, line)


@router.get("", response=ThreadPage)
def list_threads(
    request: HttpRequest, paging: Query[Paging], status: Annotated[Where, Query()] = Where.ACTIVE
) -> Listed[ConversationOut]:
    """List threads, the one last spoken in first; by default those that are neither archived nor in the trash."""
    lines = record.listed(user_id=caller(request).user.pk, where=status, after=paging.moment, limit=paging.limit)
    return page(lines, limit=paging.limit, cursor=lambda line: moment_cursor(line.updated_at, line.id))


@router.get("/{thread_id}", response=ThreadReply)
def get_thread(request: HttpRequest, thread_id: uuid.UUID, part: Query[Part]) -> dict[str, object]:
    """Return a thread with its newest messages, or with those before one of them, and the turns that have not ended."""
    theirs = {"user_id": caller(request).user.pk, "conversation_id": thread_id}
    found = record.thread(**theirs, limit=part.limit, before=part.before)
    return asdict(found.line) | {"messages": found.messages, "has_more": found.has_more, "turns": found.turns}


@router.patch("/{thread_id}", response={200: ThreadLine, **CONFLICT})
def change_thread(request: HttpRequest, thread_id: uuid.UUID, body: ThreadChange) -> ConversationOut:
    """Set the title or the model, which answers from the next turn on. 409 in the trash, 400 for an unknown model."""
    return conversations.change(
        user_id=caller(request).user.pk, conversation_id=thread_id, title=body.title, model=body.model
    )


@router.delete("/{thread_id}", response={204: None, **CONFLICT})
def delete_thread(request: HttpRequest, thread_id: uuid.UUID) -> Status[None]:
    """Move a thread to the trash, from which it can be restored for 30 days. 409 under a legal hold."""
    _put(request, thread_id, conversations.trash)
    return Status(204, None)


@router.post("/{thread_id}/pin", response={200: ThreadLine, **CONFLICT})
def pin_thread(request: HttpRequest, thread_id: uuid.UUID) -> ConversationOut:
    """Pin a thread above the others. 409 in the trash."""
    return _put(request, thread_id, conversations.pin)


@router.post("/{thread_id}/unpin", response={200: ThreadLine, **CONFLICT})
def unpin_thread(request: HttpRequest, thread_id: uuid.UUID) -> ConversationOut:
    """Unpin a thread. 409 in the trash."""
    return _put(request, thread_id, conversations.unpin)


@router.post("/{thread_id}/archive", response={200: ThreadLine, **CONFLICT})
def archive_thread(request: HttpRequest, thread_id: uuid.UUID) -> ConversationOut:
    """Archive a thread. 409 in the trash."""
    return _put(request, thread_id, conversations.archive)


@router.post("/{thread_id}/unarchive", response={200: ThreadLine, **CONFLICT})
def unarchive_thread(request: HttpRequest, thread_id: uuid.UUID) -> ConversationOut:
    """Take a thread out of the archive. 409 in the trash."""
    return _put(request, thread_id, conversations.unarchive)


@router.post("/{thread_id}/restore", response=ThreadLine)
def restore_thread(request: HttpRequest, thread_id: uuid.UUID) -> ConversationOut:
    """Restore a thread from the trash, to where it was."""
    return _put(request, thread_id, conversations.restore)


@router.get("/{thread_id}/export", openapi_extra={"responses": {200: FILE}}, response={200: dict[str, object]})
def export_thread(
    request: HttpRequest, thread_id: uuid.UUID, format: Annotated[Format, Query()] = Format.JSON
) -> HttpResponse:
    """Download all current messages of a thread, in a file that has its title as name."""
    file = EXPORTS[format](user_id=caller(request).user.pk, conversation_id=thread_id)
    headers = {"Content-Disposition": file.disposition}
    return HttpResponse(file.text, content_type=file.content_type, headers=headers)


@router.get("/{thread_id}/messages/{message_id}", response=MessageReply)
def get_message(request: HttpRequest, thread_id: uuid.UUID, message_id: uuid.UUID) -> MessageOut:
    """Return a message; `position` is null in an earlier version of the thread."""
    return record.message(user_id=caller(request).user.pk, conversation_id=thread_id, message_id=message_id)


def _put(request: HttpRequest, thread_id: uuid.UUID, verb: Callable[..., ConversationOut]) -> ConversationOut:
    """Do something with a thread."""
    return verb(user_id=caller(request).user.pk, conversation_id=thread_id)
