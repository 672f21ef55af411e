"""Conversations through ChatKit: the stream matches what the database stores."""

import asyncio
import uuid
from typing import Any

import pytest
from agents.testing import ModelCall, ModelStep, ScriptedModel, assistant_message, function_call
from pytest_django import Settings

from chat.accounts import tokens
from chat.api import streams
from chat.conversations import chat_page
from chat.exceptions import ModelFailed
from chat.infra.db_threads import in_database
from chat.models import Conversation, Message, Task, Turn, User
from chat.models.turn import Status
from chat.realtime import connections
from chat.tests.chatkit.front_end import (
    FrontEnd,
    completed_item,
    error_message,
    event_types,
    front_end,
    joined_deltas,
    message,
    text_of,
    unknown_id,
)
from chat.tests.conftest import Chat, Gate


async def messages() -> list[tuple[str, str, str]]:
    return await in_database(lambda: [(str(m.pk), m.role, m.text) for m in Message.objects.order_by("position")])


async def test_first_message_creates_a_thread_and_streams_the_reply(kit: FrontEnd, script: ScriptedModel) -> None:
    script.enqueue([assistant_message("Hello there!")])
    events = await kit.create_thread("Hi, plan my week")

    assert event_types(events) == [
        "thread.created", "thread.item.done", "stream_options", "thread.item.added",
        "assistant_message.content_part.added", "assistant_message.content_part.text_delta",
        "assistant_message.content_part.done", "thread.item.done",
    ]  # fmt: skip
    thread = events[0]["thread"]
    prompt, reply = completed_item(events, "user_message"), completed_item(events, "assistant_message")
    assert thread["title"] == "Hi, plan my week"
    assert events[2]["stream_options"] == {"allow_cancel": False}, "closing a stream does not stop the turn"
    assert joined_deltas(events) == text_of(reply) == "Hello there!"
    assert events[3]["item"]["id"] == events[4]["item_id"] == reply["id"]
    # The IDs are those in the database, and the streamed items can be read back.
    assert (await in_database(Conversation.objects.get)).pk == uuid.UUID(thread["id"])
    assert await messages() == [
        (prompt["id"], "user", "Hi, plan my week"),
        (reply["id"], "assistant", "Hello there!"),
    ]
    assert await kit.items(thread["id"]) == [prompt, reply]


async def test_conversation_continues_from_page_to_chatkit_and_back(
    kit: FrontEnd, chat: Chat, script: ScriptedModel
) -> None:
    script.extend([[assistant_message("One.")], [assistant_message("Two.")], [assistant_message("Three.")]])
    await chat.reply("first")

    (thread,) = (await kit.request_json("threads.list"))["data"]
    assert (thread["id"], thread["title"]) == (str(chat.conversation_id), "first")
    assert text_of(completed_item(await kit.send_message(thread["id"], "second"), "assistant_message")) == "Two."
    assert await chat.reply("third") == "Three."

    page = await in_database(chat_page.chat, chat.user, chat.conversation_id)
    assert page is not None
    turns = [(turn.prompt.text, turn.reply.text if turn.reply else None) for turn in page.turns]
    assert turns == [("first", "One."), ("second", "Two."), ("third", "Three.")]
    assert [text_of(item) for item in await kit.items(thread["id"])] == [text for pair in turns for text in pair]


async def test_tool_calls_are_streamed_as_workflow_tasks(kit: FrontEnd, script: ScriptedModel) -> None:
    script.extend(
        [
            [function_call("create_task", {"title": "Milk"}, call_id="a")],
            [function_call("complete_task", {"number": 9}, call_id="b")],
            [assistant_message("It is noted.")],
        ]
    )
    events = await kit.create_thread("add milk")

    workflow = completed_item(events, "workflow")
    first, second = workflow["workflow"]["tasks"]
    assert (first["title"], first["status_indicator"]) == ("Create task: Milk", "complete")
    assert second["title"] == "Complete task"
    assert second["content"], "a failed call shows its error"
    added = next(event["item"] for event in events if event["type"] == "thread.item.added")
    assert (added["id"], added["type"]) == (workflow["id"], "workflow")
    assert "workflow.task.added" in event_types(events)
    assert [item["type"] for item in await kit.items(events[0]["thread"]["id"])] == [
        "user_message",
        "workflow",
        "assistant_message",
    ]
    assert (await kit.items(events[0]["thread"]["id"]))[1] == workflow
    assert await in_database(lambda: [task.title for task in Task.objects.all()]) == ["Milk"]


async def test_retry_replaces_the_reply_and_removes_later_turns_from_the_thread(
    kit: FrontEnd, script: ScriptedModel
) -> None:
    script.extend([[assistant_message("One.")], [assistant_message("Two.")], [assistant_message("Better.")]])
    events = await kit.create_thread("first")
    thread_id, prompt, reply = (
        events[0]["thread"]["id"],
        completed_item(events, "user_message"),
        completed_item(events, "assistant_message"),
    )
    await kit.send_message(thread_id, "second")

    events = await kit.events("threads.retry_after_item", thread_id=thread_id, item_id=prompt["id"])
    new_reply = completed_item(events, "assistant_message")
    assert text_of(new_reply) == "Better."
    assert new_reply["id"] != reply["id"]
    assert await kit.items(thread_id) == [prompt, new_reply]
    assert await in_database(Message.objects.count) == 5, "no message is deleted"

    rejected = await kit.events("threads.retry_after_item", thread_id=thread_id, item_id=new_reply["id"])
    assert error_message(rejected) == f"Item {new_reply['id']} is not a user message."
    for item_id in (reply["id"], unknown_id(), "x"):
        response = await kit.post("threads.retry_after_item", thread_id=thread_id, item_id=item_id)
        assert response.status_code == 404


async def test_failed_turn_streams_its_error_and_can_be_retried(kit: FrontEnd, script: ScriptedModel) -> None:
    def fail(call: ModelCall) -> Any:
        raise ModelFailed("The model is away.", retryable=False)

    script.enqueue(ModelStep.respond(fail))
    events = await kit.create_thread("Hello")
    assert events[-1] == {"type": "error", "code": "custom", "message": "The model is away.", "allow_retry": True}
    thread_id, prompt = events[0]["thread"]["id"], completed_item(events, "user_message")
    assert await kit.items(thread_id) == [prompt]

    script.enqueue([assistant_message("Here I am.")])
    events = await kit.events("threads.retry_after_item", thread_id=thread_id, item_id=prompt["id"])
    assert text_of(completed_item(events, "assistant_message")) == "Here I am."


async def test_stop_action_stops_the_running_turn(kit: FrontEnd, chat: Chat, script: ScriptedModel) -> None:
    gate = Gate("Once upon")
    script.enqueue(gate.step())
    stream = kit.stream("threads.create", input=message("Tell me a story about tasks"))
    async with asyncio.timeout(60):
        created = await anext(stream)
        await gate.reached.wait()
        thread_id = created["thread"]["id"]
        # A message cannot be retried while it is being answered.
        prompt = (await kit.items(thread_id))[0]
        rejected = await kit.events("threads.retry_after_item", thread_id=thread_id, item_id=prompt["id"])
        assert error_message(rejected) == "This reply is not finished yet."
        assert event_types(await kit.send_action(thread_id, "turn.stop")) == ["stream_options"]
        events = [event async for event in stream]
    assert text_of(completed_item(events, "assistant_message")) == "Once upon"
    assert "error" not in event_types(events)
    assert (await in_database(Turn.objects.get)).status == Status.STOPPED
    assert (await kit.items(thread_id))[1] == completed_item(events, "assistant_message")


async def test_disconnecting_client_does_not_stop_the_turn(kit: FrontEnd, chat: Chat, script: ScriptedModel) -> None:
    started, released = asyncio.Event(), asyncio.Event()

    async def think(call: ModelCall) -> Any:
        started.set()
        await released.wait()
        return [assistant_message("All the same.")]

    script.enqueue(ModelStep.respond(think))
    async with asyncio.timeout(60):
        response = await kit.post("threads.create", input=message("Plan my week"))

        async def read_stream() -> None:
            async for _ in response:
                pass

        reader = asyncio.create_task(read_stream())
        await started.wait()
        reader.cancel()
        await asyncio.wait({reader})
        released.set()
        await chat.wait_until_idle()
    turn = await in_database(Turn.objects.get)
    assert turn.status == Status.DONE
    assert [text_of(item) for item in await kit.items(turn.conversation_id)] == ["Plan my week", "All the same."]


async def test_silent_stream_sends_heartbeat_comments(
    kit: FrontEnd, script: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_EVERY", 0.01)

    async def think(call: ModelCall) -> Any:
        comments_before = kit.comments
        while kit.comments < comments_before + 3:
            await asyncio.sleep(0)
        return [assistant_message("Done thinking.")]

    script.enqueue(ModelStep.respond(think))
    async with asyncio.timeout(60):
        events = await kit.create_thread("Think")
    assert text_of(completed_item(events, "assistant_message")) == "Done thinking."


@pytest.mark.parametrize("cause", ["token", "server"])
async def test_stream_ends_with_its_token_or_server_and_the_turn_keeps_running(
    kit: FrontEnd, chat: Chat, script: ScriptedModel, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    monkeypatch.setattr(connections, "CHECK_EVERY", 0.05)
    gate = Gate("Once")
    script.enqueue(gate.step())
    stream = kit.stream("threads.create", input=message("Tell me a story about tasks"))
    async with asyncio.timeout(60):
        thread = (await anext(stream))["thread"]
        await gate.reached.wait()
        if cause == "token":
            await in_database(tokens.end_all, chat.user.pk)
        else:
            streams.end_all()
        events = [event async for event in stream]
    assert "assistant_message.content_part.done" not in event_types(events)
    assert (await in_database(Turn.objects.get)).status == Status.RUNNING
    if cause == "token":
        assert (await kit.post("items.list", thread_id=thread["id"])).status_code == 401


async def test_second_message_waits_for_the_reply_to_the_first(
    kit: FrontEnd, chat: Chat, script: ScriptedModel
) -> None:
    gate = Gate()
    script.extend([gate.step(), [assistant_message("Second.")]])
    first = await chat.send("Think about my tasks")
    async with asyncio.timeout(60):
        await gate.reached.wait()
        stream = kit.stream("threads.add_user_message", thread_id=str(chat.conversation_id), input=message("And now?"))
        events = [await anext(stream), await anext(stream), await anext(stream)]
        assert events[-1] == {"type": "progress_update", "text": "Waiting for the reply before this one"}
        await chat.runner.stop(user_id=chat.user.pk, conversation_id=chat.conversation_id, turn_id=first.turn.pk)
        events += [event async for event in stream]
    assert text_of(completed_item(events, "assistant_message")) == "Second."


async def test_request_repeated_with_the_same_key_runs_once(kit: FrontEnd, chat: Chat, script: ScriptedModel) -> None:
    script.extend([[assistant_message("One.")], [assistant_message("Two.")]])
    kit.headers["Idempotency-Key"] = "a"
    events = await kit.create_thread("Hello")
    repeated = await kit.create_thread("Hello")
    assert repeated[0] == events[0], "the same thread"
    assert [event for event in repeated if "item" in event][-1] == events[-1], "the same reply"
    thread_id = events[0]["thread"]["id"]
    kit.headers["Idempotency-Key"] = "b"
    events = await kit.send_message(thread_id, "And?")
    assert completed_item(await kit.send_message(thread_id, "And?"), "user_message") == completed_item(
        events, "user_message"
    )
    assert [text for _, _, text in await messages()] == ["Hello", "One.", "And?", "Two."]
    assert "This key was used" in error_message(await kit.send_message(thread_id, "Something else"))
    other = await front_end(await in_database(User.objects.create_user, "other@example.com"))
    other.headers["Idempotency-Key"] = "a"
    script.enqueue([assistant_message("Mine.")])
    assert text_of(completed_item(await other.create_thread("Hello"), "assistant_message")) == "Mine."


async def test_invalid_message_streams_an_error_and_stores_nothing(
    kit: FrontEnd, chat: Chat, settings: Settings
) -> None:
    unsupported_options = {"model": "other"}, {"tool_choice": {"id": "search"}}
    cases = [
        (message(" "), "There is nothing to send yet."),
        (message("x" * 10_001), "A message has at most 10,000 characters; this one has 10,001."),
        (message("Look", attachments=["file_1"]), "Files cannot be attached here."),
        *(
            (message("Hi", inference_options=options), "Model and tools are chosen by whoever runs this server.")
            for options in unsupported_options
        ),
    ]
    for message_input, error in cases:
        assert error_message(await kit.events("threads.create", input=message_input)) == error
    settings.QUEUE_PER_CONVERSATION = 0
    assert "wait" in error_message(await kit.create_thread("Hello"))
    assert await in_database(Conversation.objects.count) == 0


async def test_quoted_text_follows_the_message_text(kit: FrontEnd, script: ScriptedModel) -> None:
    script.enqueue([assistant_message("It is due.")])
    tag = {"type": "input_tag", "id": "t", "text": "Milk", "data": {}}
    message_input = message("When is ", quoted_text="Buy milk\nBuy bread")
    message_input["content"] += [tag, {"type": "input_text", "text": " due?"}]
    prompt = completed_item(await kit.events("threads.create", input=message_input), "user_message")
    assert text_of(prompt) == "When is Milk due?\n\n> Buy milk\n> Buy bread"
