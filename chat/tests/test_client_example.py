"""The example client (docs/examples/client.py) works with a real server."""

import asyncio

import httpx
import pytest

from chat.tests.live import sign_in
from config.tests.support import PASSWORD, ServerProcess
from docs.examples.client import say

pytestmark = pytest.mark.service


async def test_example_signs_in_sends_a_message_and_prints_the_reply(
    shared_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    person = await asyncio.to_thread(sign_in, shared_server)

    async with asyncio.timeout(120):
        await say(shared_server.url, person.email, PASSWORD, "Add a task to buy milk")

    output = capsys.readouterr().out
    ((reply,),) = shared_server.database.query(
        "SELECT m.text FROM chat_message m JOIN chat_conversation c ON c.id = m.conversation_id"
        " WHERE c.user_id = %s AND m.role = 'assistant'",
        person.id,
    )
    assert "Buy milk" in reply
    assert output == f"{reply}\n"


async def test_example_asks_for_approval_before_deleting(
    shared_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    person = await asyncio.to_thread(sign_in, shared_server)
    questions: list[str] = []

    def approve(question: str) -> str:
        questions.append(question)
        return "y"

    async with asyncio.timeout(120):
        for text in ("Add a task to buy milk", "Add a task to buy eggs", "Delete all my tasks"):
            await say(shared_server.url, person.email, PASSWORD, text, approve)

    assert [question.partition(" ")[0] for question in questions] == ["delete_tasks"]
    assert shared_server.database.query("SELECT 1 FROM chat_task WHERE user_id = %s", person.id) == []


async def test_example_prints_why_a_message_was_rejected(
    shared_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    person = await asyncio.to_thread(sign_in, shared_server)

    async with asyncio.timeout(120):
        await say(shared_server.url, person.email, PASSWORD, " ")

    assert capsys.readouterr().out == "There is nothing to send yet.\n"


async def test_example_raises_on_a_wrong_password(shared_server: ServerProcess) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        await say(shared_server.url, "nobody@example.com", "wrong", "hi")
