"""Regenerating a reply or editing a message keeps the earlier version, and memory follows the current one."""

import asyncio
import uuid

import pytest
from agents.items import TResponseOutputItem
from agents.testing import ModelCall, ModelStep, ScriptedModel, assistant_message, function_call
from django.test import Client

from chat.exceptions import Conflict, EmptyText, NotFound, TooLong
from chat.infra.db_threads import in_database
from chat.models import Message, Task, Turn, User
from chat.tasks import services as tasks
from chat.tests.conftest import Chat, Gate, StartRunner, conversation_of
from chat.tests.versions import displayed_messages, exchange, page, session_texts, wait_for_end
from chat.turns.events import TurnStopped


async def positions() -> list[tuple[int, str]]:
    """Return the positions and texts of the current messages."""
    current = Message.objects.exclude(position=None).order_by("position")
    return await in_database(lambda: [(message.position or 0, message.text) for message in current])


async def test_last_reply_is_regenerated(chat: Chat, script: ScriptedModel) -> None:
    await exchange(chat, script, "hi", "Hello.")
    old = await exchange(chat, script, "thanks", "You are welcome.")
    script.enqueue([assistant_message("Gladly.")])
    new = await wait_for_end(chat, await chat.retry(old.turn))

    assert await displayed_messages(chat) == [("hi", "Hello."), ("thanks", "Gladly.")]
    assert await displayed_messages(chat, old.turn.pk) == [("hi", "Hello."), ("thanks", "You are welcome.")]
    assert await session_texts(chat) == ["hi", "Hello.", "thanks", "Gladly."]
    assert await positions() == [(1, "hi"), (2, "Hello."), (3, "thanks"), (4, "Gladly.")]
    last = (await page(chat)).turns[-1]
    assert (last.replaces, last.versions) == (old.turn.pk, (old.turn.pk, new.turn.pk))
    assert new.message.id == old.message.id, "both replies answer the same message"
    request = script.last_call
    assert request is not None
    assert "You are welcome." not in str(request.input)
    turn = await in_database(lambda: Turn.objects.get(pk=new.turn.pk))
    assert turn.warning == ""


async def test_regenerating_an_earlier_reply_moves_later_turns_to_an_earlier_version(
    chat: Chat, script: ScriptedModel
) -> None:
    await exchange(chat, script, "one", "First.")
    old = await exchange(chat, script, "two", "Second.")
    await exchange(chat, script, "three", "Third.")
    script.enqueue([assistant_message("Second again.")])
    await wait_for_end(chat, await chat.retry(old.turn))

    assert await displayed_messages(chat) == [("one", "First."), ("two", "Second again.")]
    assert await displayed_messages(chat, old.turn.pk) == [("one", "First."), ("two", "Second."), ("three", "Third.")]
    assert await session_texts(chat) == ["one", "First.", "two", "Second again."]
    newest = await in_database(lambda: Turn.objects.order_by("-seq")[0])
    assert newest.warning == "", "no context was lost: the conversation took another branch"
    assert await positions() == [(1, "one"), (2, "First."), (3, "two"), (4, "Second again.")]


async def test_edited_message_starts_a_new_version(chat: Chat, script: ScriptedModel) -> None:
    await exchange(chat, script, "one", "First.")
    old = await exchange(chat, script, "two", "Second.")
    await exchange(chat, script, "three", "Third.")
    script.enqueue([assistant_message("Better.")])
    new = await wait_for_end(chat, await chat.edit(old.message.id, "two, but better"))

    assert new.message.position == 3
    assert new.message.id != old.message.id
    assert await displayed_messages(chat) == [("one", "First."), ("two, but better", "Better.")]
    assert await displayed_messages(chat, old.turn.pk) == [("one", "First."), ("two", "Second."), ("three", "Third.")]
    assert await session_texts(chat) == ["one", "First.", "two, but better", "Better."]
    assert await positions() == [(1, "one"), (2, "First."), (3, "two, but better"), (4, "Better.")]
    assert await in_database(Message.objects.count) == 8, "superseded messages keep their rows"
    await exchange(chat, script, "go on", "Yes.")
    assert (await positions())[-2:] == [(5, "go on"), (6, "Yes.")]
    assert await session_texts(chat) == ["one", "First.", "two, but better", "Better.", "go on", "Yes."]


async def test_editing_the_first_message_renames_the_conversation(chat: Chat, script: ScriptedModel) -> None:
    old = await exchange(chat, script, "Helo", "Hello.")
    await exchange(chat, script, "thanks", "Gladly.")
    script.enqueue([assistant_message("Hello!")])
    await wait_for_end(chat, await chat.edit(old.message.id, "Hello"))

    assert await session_texts(chat) == ["Hello", "Hello!"]
    assert (await in_database(lambda: conversation_of(chat))).title == "Hello"


async def test_every_version_of_a_branched_conversation_can_be_shown(chat: Chat, script: ScriptedModel) -> None:
    first = await exchange(chat, script, "a", "A1")
    second = await exchange(chat, script, "b", "B1")
    script.enqueue([assistant_message("B2")])
    second_again = await wait_for_end(chat, await chat.retry(second.turn))
    script.enqueue([assistant_message("A2")])
    first_edited = await wait_for_end(chat, await chat.edit(first.message.id, "a2"))
    await exchange(chat, script, "c", "C1")
    script.enqueue([assistant_message("A3")])
    first_again = await wait_for_end(chat, await chat.retry(first_edited.turn))

    assert await displayed_messages(chat) == [("a2", "A3")]
    assert (await page(chat)).turns[0].versions == (first.turn.pk, first_edited.turn.pk, first_again.turn.pk)
    assert await displayed_messages(chat, first_edited.turn.pk) == [("a2", "A2"), ("c", "C1")]
    assert await displayed_messages(chat, first.turn.pk) == [("a", "A1"), ("b", "B2")]
    assert await displayed_messages(chat, second.turn.pk) == [("a", "A1"), ("b", "B1")]
    earlier = await page(chat, first.turn.pk)
    assert earlier.turns[1].versions == (second.turn.pk, second_again.turn.pk)
    assert await session_texts(chat) == ["a2", "A3"]


async def test_positions_are_renumbered_when_an_interleaved_message_is_edited(
    chat: Chat, script: ScriptedModel
) -> None:
    gate = asyncio.Event()

    async def respond(_: ModelCall) -> list[TResponseOutputItem]:
        await gate.wait()
        return [assistant_message("First.")]

    script.extend([ModelStep.respond(respond), [assistant_message("Second.")]])
    first, second = await chat.send("one"), await chat.send("two")
    gate.set()
    await wait_for_end(chat, first)
    await wait_for_end(chat, second)
    assert await positions() == [(1, "one"), (2, "two"), (3, "First."), (4, "Second.")]
    script.enqueue([assistant_message("Two.")])
    await wait_for_end(chat, await chat.edit(second.message.id, "2"))
    assert await positions() == [(1, "one"), (2, "First."), (3, "2"), (4, "Two.")]


async def test_edit_and_retry_are_rejected_while_a_turn_runs(chat: Chat, script: ScriptedModel) -> None:
    old = await exchange(chat, script, "one", "First.")
    gate = Gate()
    script.enqueue(gate.step())
    running = await chat.send("two")
    await gate.reached.wait()

    with pytest.raises(Conflict, match="still answering"):
        await chat.retry(old.turn)
    with pytest.raises(Conflict, match="still answering"):
        await chat.edit(old.message.id, "1")
    with pytest.raises(Conflict, match="not finished"):
        await chat.retry(running.turn)
    assert await positions() == [(1, "one"), (2, "First."), (3, "two")]


async def test_edit_stops_a_turn_that_waits_for_approval(chat: Chat, script: ScriptedModel) -> None:
    await in_database(lambda: [tasks.create_task(user_id=chat.user.pk, title=title) for title in ("Milk", "Bread")])
    script.enqueue([assistant_message("Well."), function_call("delete_tasks", {"numbers": [1, 2]}, call_id="c1")])
    waiting, _ = await chat.request_approval("Delete everything")
    script.enqueue([assistant_message("Here it is.")])
    await wait_for_end(chat, await chat.edit(waiting.message.id, "Show everything"))

    assert isinstance((await chat.follow_to_end(waiting.turn))[-1].event, TurnStopped)
    assert await in_database(Task.objects.count) == 2
    assert await displayed_messages(chat) == [("Show everything", "Here it is.")]
    assert await session_texts(chat) == ["Show everything", "Here it is."]
    with pytest.raises(Conflict):
        await chat.decide(waiting.turn, "c1", True)


async def test_regenerating_an_older_reply_stops_a_turn_that_waits_for_approval(
    chat: Chat, script: ScriptedModel
) -> None:
    await in_database(lambda: [tasks.create_task(user_id=chat.user.pk, title=title) for title in ("Milk", "Bread")])
    old = await exchange(chat, script, "hi", "Hello.")
    script.enqueue([function_call("delete_tasks", {"numbers": [1, 2]}, call_id="c1")])
    waiting, _ = await chat.request_approval("Delete everything")
    script.enqueue([assistant_message("Hello again.")])
    await wait_for_end(chat, await chat.retry(old.turn))

    assert isinstance((await chat.follow_to_end(waiting.turn))[-1].event, TurnStopped)
    assert await session_texts(chat) == ["hi", "Hello again."]


async def test_same_client_id_edits_only_once(chat: Chat, script: ScriptedModel) -> None:
    old = await exchange(chat, script, "one", "First.")
    client_id = uuid.uuid4()
    script.enqueue([assistant_message("Again.")])
    new = await wait_for_end(chat, await chat.edit(old.message.id, "1", client_id))
    again = await chat.edit(old.message.id, "1", client_id)

    assert not again.is_new
    assert again.turn.pk == new.turn.pk
    assert await displayed_messages(chat) == [("1", "Again.")]


async def test_invalid_edits_are_rejected(chat: Chat, script: ScriptedModel, outsider: User) -> None:
    old = await exchange(chat, script, "one", "First.")
    reply = await in_database(lambda: Message.objects.get(text="First."))
    outsider_chat = Chat(chat.runner, outsider, chat.conversation_id)
    other_chat = Chat(chat.runner, chat.user, uuid.uuid4())
    await exchange(other_chat, script, "hi", "Hello.")

    with pytest.raises(EmptyText):
        await chat.edit(old.message.id, " ")
    with pytest.raises(TooLong):
        await chat.edit(old.message.id, "x" * 10_001)
    with pytest.raises(Conflict, match="yourself"):
        await chat.edit(reply.pk, "Second.")
    with pytest.raises(NotFound):
        await chat.edit(uuid.uuid4(), "1")
    for other in (outsider_chat, other_chat):
        with pytest.raises(NotFound):
            await other.edit(old.message.id, "1")
    script.enqueue([assistant_message("Again.")])
    await wait_for_end(chat, await chat.edit(old.message.id, "1"))
    with pytest.raises(Conflict, match="newer version"):
        await chat.edit(old.message.id, "2")
    with pytest.raises(Conflict, match="newer version"):
        await chat.retry(old.turn)


async def test_memory_is_rebuilt_from_the_current_version(
    chat: Chat, script: ScriptedModel, start_runner: StartRunner
) -> None:
    first = await exchange(chat, script, "one", "First.")
    await exchange(chat, script, "two", "Second.")
    script.enqueue([assistant_message("Other.")])
    await wait_for_end(chat, await chat.edit(first.message.id, "1"))
    await chat.runner.drain(0)
    chat.session_file.unlink()
    later = Chat(await start_runner(script), chat.user, chat.conversation_id)
    await exchange(later, script, "go on", "Yes.")

    assert await session_texts(later) == ["1", "Other.", "go on", "Yes."]
    newest = await in_database(lambda: Turn.objects.order_by("-seq")[0])
    assert newest.warning == "context_rebuilt", "this time the session was lost"


async def test_edit_whose_turn_was_stopped_is_retried(chat: Chat, script: ScriptedModel) -> None:
    old = await exchange(chat, script, "one", "First.")
    gate = Gate()
    script.enqueue(gate.step())
    edited = await chat.edit(old.message.id, "1")
    await gate.reached.wait()
    await chat.runner.stop(user_id=chat.user.pk, conversation_id=chat.conversation_id, turn_id=edited.turn.pk)
    await chat.follow_to_end(edited.turn)
    await chat.wait_until_idle()
    script.enqueue([assistant_message("Again.")])
    await wait_for_end(chat, await chat.retry(edited.turn))

    assert await displayed_messages(chat) == [("1", "Again.")]
    assert await session_texts(chat) == ["1", "Again."]


def test_earlier_version_is_visible_only_to_its_owner(
    owner: User, owner_client: Client, outsider_client: Client, staff_client: Client, client: Client
) -> None:
    from chat.tests import stored_turns

    groceries = stored_turns.conversation(owner)
    failed = stored_turns.add_turn(groceries, "Add milk", "Old reply.")
    stored_turns.add_turn(groceries, "", "Added.", retry_of=failed)
    path = f"/c/{groceries.pk}/versions/{failed.pk}/"

    response = owner_client.get(path)
    assert response.status_code == 200
    assert "Old reply." in response.content.decode()
    assert outsider_client.get(path).status_code == staff_client.get(path).status_code == 404
    assert client.get(path).status_code == 302
    current = Turn.objects.get(superseded_by=None)
    redirect = owner_client.get(f"/c/{groceries.pk}/versions/{current.pk}/")
    assert redirect.headers["location"] == f"/c/{groceries.pk}/?turn={current.pk}#turn-{current.pk}", (
        "the current version is not an earlier one"
    )
    assert owner_client.get(f"/c/{groceries.pk}/versions/{uuid.uuid4()}/").status_code == 404
