"""What ChatKit is told of a reply between two looks at it."""

from datetime import UTC, datetime

from chatkit.types import AssistantMessageContent, AssistantMessageItem

from chat.chatkit.item_diff import ItemDiff
from chat.tests.chatkit.front_end import kinds


def reply(text: str) -> AssistantMessageItem:
    return AssistantMessageItem(
        id="reply",
        thread_id="thread",
        created_at=datetime(2026, 3, 13, tzinfo=UTC),
        content=[AssistantMessageContent(text=text)],
    )


def told(telling: ItemDiff, text: str) -> list[tuple[str, str]]:
    """Return the kind of each event that a look at the reply brings, and the text in it."""
    events = [event.model_dump(mode="json") for event in telling.events([reply(text)])]
    texts = [
        event["update"].get("delta", "") if "update" in event else "".join(c["text"] for c in event["item"]["content"])
        for event in events
    ]
    return list(zip(kinds(events), texts, strict=True))


def test_a_text_that_grows_is_told_by_what_is_new() -> None:
    telling = ItemDiff([], set())
    assert told(telling, "Hel")[-1] == ("assistant_message.content_part.text_delta", "Hel")
    assert told(telling, "Hello 🧵") == [("assistant_message.content_part.text_delta", "lo 🧵")]
    assert told(telling, "Hello 🧵") == []


def test_a_text_that_was_taken_back_is_told_as_a_whole() -> None:
    telling = ItemDiff([], set())
    told(telling, "Hello there")
    assert told(telling, "Hello, you") == [("thread.item.replaced", "Hello, you")]
    assert told(telling, "Hello, you two") == [("assistant_message.content_part.text_delta", " two")]


def test_a_text_that_another_stream_has_told_is_told_as_a_whole() -> None:
    telling = ItemDiff([reply("Hello")], set())
    assert told(telling, "Hello") == []
    assert told(telling, "Hello there") == [("thread.item.replaced", "Hello there")]
