"""Helpers for tests of versions: send a message, and read the displayed and the remembered texts."""

import uuid

from agents.testing import ScriptedModel, assistant_message

from chat.conversations import chat_page
from chat.conversations.chat_page import ChatPage
from chat.infra.db_threads import in_database
from chat.models import Turn
from chat.tests.conftest import Chat
from chat.turns.accept import Accepted
from chat.turns.events import TurnFinished


async def exchange(chat: Chat, script: ScriptedModel, text: str, reply: str) -> Accepted:
    """Send a message that the script answers, and wait for the end of its turn."""
    script.enqueue([assistant_message(reply)])
    return await wait_for_end(chat, await chat.send(text))


async def wait_for_end(chat: Chat, accepted: Accepted) -> Accepted:
    assert isinstance((await chat.follow_to_end(accepted.turn))[-1].event, TurnFinished)
    await chat.wait_until_idle()
    return accepted


async def page(chat: Chat, version: object = None) -> ChatPage:
    shown = await in_database(
        lambda: chat_page.chat(chat.user, chat.conversation_id, uuid.UUID(str(version)) if version else None)
    )
    assert shown is not None
    return shown


def texts(page: ChatPage) -> list[tuple[str, str | None]]:
    return [(turn.prompt.text, turn.reply.text if turn.reply else None) for turn in page.turns]


async def displayed_messages(chat: Chat, version: object = None) -> list[tuple[str, str | None]]:
    return texts(await page(chat, version))


async def session_texts(chat: Chat) -> list[str]:
    """Return the texts of the session, whose items must equal those of the recorded turns."""
    items = await chat.session()
    turns = await in_database(
        lambda: list(Turn.objects.filter(superseded_by=None).order_by("seq").values_list("items", flat=True))
    )
    assert items == [item for turn in turns for item in turn]
    contents = [item.get("content") for item in items if item.get("role") in ("user", "assistant")]
    return [content if isinstance(content, str) else content[0]["text"] for content in contents]  # type: ignore[index]
