"""The events that ChatKit receives when a reply changes."""

from datetime import UTC, datetime

from chatkit.types import AssistantMessageContent, AssistantMessageItem

from chat.chatkit.item_diff import ItemDiff
from chat.tests.chatkit.front_end import event_types


def reply(text: str) -> AssistantMessageItem:
    return AssistantMessageItem(
        id="reply",
        thread_id="thread",
        created_at=datetime(2026, 3, 13, tzinfo=UTC),
        content=[AssistantMessageContent(text=text)],
    )


def diff_events(diff: ItemDiff, text: str) -> list[tuple[str, str]]:
    """Return the type and the text of each event for the reply's new text."""
    events = [event.model_dump(mode="json") for event in diff.events([reply(text)])]
    texts = [
        event["update"].get("delta", "") if "update" in event else "".join(c["text"] for c in event["item"]["content"])
        for event in events
    ]
    return list(zip(event_types(events), texts, strict=True))


def test_growing_text_is_sent_as_deltas() -> None:
    diff = ItemDiff([], set())
    assert diff_events(diff, "Hel")[-1] == ("assistant_message.content_part.text_delta", "Hel")
    assert diff_events(diff, "Hello 🧵") == [("assistant_message.content_part.text_delta", "lo 🧵")]
    assert diff_events(diff, "Hello 🧵") == []


def test_changed_text_replaces_the_item() -> None:
    diff = ItemDiff([], set())
    diff_events(diff, "Hello there")
    assert diff_events(diff, "Hello, you") == [("thread.item.replaced", "Hello, you")]
    assert diff_events(diff, "Hello, you two") == [("assistant_message.content_part.text_delta", " two")]


def test_text_sent_by_another_stream_replaces_the_item() -> None:
    diff = ItemDiff([reply("Hello")], set())
    assert diff_events(diff, "Hello") == []
    assert diff_events(diff, "Hello there") == [("thread.item.replaced", "Hello there")]
