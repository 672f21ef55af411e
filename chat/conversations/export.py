"""A conversation as a file: JSON for programs, Markdown for people."""

import json
import re
import unicodedata
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from chat.infra.lookup import get_one
from chat.infra.visible import one_line
from chat.models import Conversation, Message
from chat.models.conversation import Role
from chat.read_models import MessageOut

# What Markdown takes for more than text in a heading; a # only at the end.
_MARKS = re.compile(r"[\\`*_~\[\]<]|&(?=#?\w+;)|#(?=#*$)")
API_NAMES = {"id": "message_id", "text": "content"}
SPEAKERS = {Role.USER: "You", Role.ASSISTANT: "Assistant"}


@dataclass(frozen=True, slots=True)
class Exported:
    """A file: its name, what it is, and what stands in it."""

    name: str
    content_type: str
    text: str

    @property
    def disposition(self) -> str:
        """The value of Content-Disposition: the name as RFC 5987 writes it, and in ASCII for other clients."""
        stem, _, ending = self.name.rpartition(".")
        plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
        fallback = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:50].strip("-") or "chat"
        whole = quote(self.name, safe="!#$&+-.^_`|~")
        return f"attachment; filename=\"{fallback}.{ending}\"; filename*=UTF-8''{whole}"


def as_json(*, user_id: uuid.UUID, conversation_id: uuid.UUID) -> Exported:
    """Write a conversation as it is now, as JSON. Raise NotFound."""
    row, messages = _read(user_id, conversation_id)
    whole = {
        "thread_id": str(row.pk),
        "title": row.title,
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
        "messages": [
            {API_NAMES.get(name, name): value for name, value in message.as_json().items()} for message in messages
        ],
    }
    text = json.dumps(whole, ensure_ascii=False, indent=2) + "\n"
    return Exported(_name(row, "json"), "application/json", text)


def as_markdown(*, user_id: uuid.UUID, conversation_id: uuid.UUID) -> Exported:
    """Write a conversation as it is now, as Markdown. Raise NotFound."""
    row, messages = _read(user_id, conversation_id)
    zone = row.user.zone
    title = _MARKS.sub(r"\\\g<0>", one_line(row.title))
    parts = [f"# {title or 'New chat'}"]
    for message in messages:
        when = message.created_at.astimezone(zone)
        parts.append(f"## {SPEAKERS[Role(message.role)]}, {when:%Y-%m-%d %H:%M}\n\n{message.text}")
    return Exported(_name(row, "md"), "text/markdown; charset=utf-8", "\n\n".join(parts) + "\n")


def _read(user_id: uuid.UUID, conversation_id: uuid.UUID) -> tuple[Conversation, Iterable[MessageOut]]:
    theirs = Conversation.objects.owned_by(user_id).select_related("user")
    row = get_one(theirs.filter(pk=conversation_id), "conversation")
    current = Message.objects.filter(conversation=row, position__isnull=False).order_by("position")
    return row, [MessageOut.of(message) for message in current]


def _name(row: Conversation, ending: str) -> str:
    """Name the file after the conversation, without what some system takes for more than a letter of a name."""
    words = one_line(re.sub(r'[<>:"/\\|?*]+', " ", row.title))
    return f"{words.strip('. ') or 'chat'}.{ending}"
