"""Several server processes serve one user, with Redis between them and after Redis was killed."""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
import redis.asyncio

from chat.tests.live import LiveSocket, Person, check_log, open_socket, sign_in
from chat.tests.model_server import Call, ModelServer, text_reply, tool_calls
from chat.tests.redis_server import RedisServer
from chat.tests.two_servers import REPLY, WORDS, ServerPair, displayed_text, pending_call_id, wait_for_text
from config.tests.support import LiveDatabase, ServerProcess, database, free_port

pytestmark = [pytest.mark.service, pytest.mark.xdist_group("several servers")]


@pytest.fixture(scope="module")
def servers(_migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPair]:
    folder, port = tmp_path_factory.mktemp("several"), free_port()
    redis = RedisServer(folder)
    variables = {
        "REDIS_URL": redis.url,
        "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "AGENT_GUARDRAIL": "off",
        "API_REQUESTS_PER_MINUTE": "100000",
    }
    with (
        database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url),
        ServerProcess(LiveDatabase(url), folder, **variables) as a,
        ServerProcess(LiveDatabase(url), folder, **variables) as b,
    ):
        yield ServerPair(a, b, redis, port, ModelServer(port=port))
    redis.kill9()


@pytest.fixture
async def pair(servers: ServerPair) -> AsyncIterator[ServerPair]:
    async with servers.with_model():
        yield servers


def types_without_deltas(socket: LiveSocket, turn_id: str) -> list[str]:
    """Return the types of a turn's frames at a socket, without deltas."""
    return [frame["type"] for frame in socket.log_of(turn_id) if not frame["type"].endswith("delta")]


async def test_turn_is_followed_and_stopped_on_another_server(pair: ServerPair) -> None:
    async with pair.open_sockets() as (at_a, at_b):
        turn_id = await pair.start_turn(at_a)
        await wait_for_text(at_b, turn_id)
        pair.model.release(5)
        await wait_for_text(at_b, turn_id, "word9")
        await at_b.send("turn.stop", turn_id=turn_id)
        ends = [
            await socket.end_of(turn_id, within=1.5) for socket in (at_a, at_b)
        ]  # before the next renewal of leases

        assert [end["type"] for end in ends] == ["turn.stopped"] * 2
        assert check_log(at_b.log_of(turn_id)) == check_log(at_a.log_of(turn_id))
        assert types_without_deltas(at_b, turn_id) == ["turn.started", "turn.stopped"]


async def test_client_resumes_a_turn_on_another_server(pair: ServerPair) -> None:
    async with pair.open_sockets() as (at_a, at_b):
        turn_id = await pair.start_turn(at_a, words=20)
        for socket in (at_a, at_b):
            await wait_for_text(socket, turn_id, "word19 ")
        seen, already = at_a.log_of(turn_id)[-1]["n"], len(at_b.frames)
        await at_b.send("log.follow", turn_id=turn_id, attempt=1, after=seen)
        await at_b.pong()
        pair.model.release()
        await at_b.end_of(turn_id)
        rest = [frame for frame in at_b.frames[already:] if frame.get("turn_id") == turn_id]
        assert "".join(frame.get("text", "") for frame in rest) == REPLY.partition("word19 ")[2]


async def test_approval_is_decided_on_another_server(pair: ServerPair) -> None:
    async with pair.open_sockets() as (at_a, at_b):
        pair.model.play(tool_calls(Call("delete_tasks", {"numbers": [1, 2]})), text_reply("They are gone."))
        turn_id = (await at_a.accepted(await at_a.message("Delete everything")))["turn"]["id"]
        call_id = await pending_call_id(at_b, turn_id)
        await at_b.send("approval.decide", turn_id=turn_id, call_id=call_id, approve=True)
        for socket in (at_a, at_b):
            end = await socket.end_of(turn_id)
            assert end["message"]["text"] == "They are gone."


@pytest.mark.parametrize("is_killed", [True, pytest.param(False, marks=pytest.mark.long)])
async def test_turn_survives_the_end_of_its_server(pair: ServerPair, is_killed: bool) -> None:
    async with pair.open_sockets() as (at_a, at_b):
        turn_id = await pair.start_turn(at_a)
        await wait_for_text(at_b, turn_id)
        pair.model.play(text_reply(*WORDS))
        if is_killed:
            pair.a.kill9()
        else:
            assert await asyncio.to_thread(pair.a.terminate) == 0
            assert await at_a.closed() == 1012
        pair.model.release()
        end = await at_b.end_of(turn_id)
        assert end["message"]["text"] == displayed_text(at_b, turn_id) == REPLY
    pair.a.restart()


async def test_sign_out_closes_sockets_on_another_server(pair: ServerPair) -> None:
    email = f"leaver-{uuid.uuid4().hex[:8]}@example.com"
    user_id = pair.a.database.add_user(email)
    with pair.a.client(email) as browser:
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        async with open_socket(pair.b, Person(user_id, email, cookie), uuid.uuid4()) as at_b:
            await at_b.ready()
            form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
            await asyncio.to_thread(browser.post, "/accounts/logout/", data=form)
            assert await at_b.closed(within=2) == 4401  # earlier than the next check of logins


async def test_notification_of_a_newer_version_is_ignored(pair: ServerPair) -> None:
    person, conversation_id = sign_in(pair.a), uuid.uuid4()
    async with open_socket(pair.a, person, conversation_id) as socket:
        pair.model.play(text_reply("Hello."), text_reply("Still here."))
        await socket.reply("Hello")
        before = len(socket.frames)
        known = {"type": "conversation.updated", "id": str(conversation_id)}
        async with redis.asyncio.Redis.from_url(pair.redis.url) as client:
            (channel,) = await client.pubsub_channels("threadkeeper:*:notifications")
            for notice in ({"type": "of.a.newer.version"}, known):
                await client.publish(channel, json.dumps(["newer", f"user.{person.id}", notice]))
        await socket.until(lambda frame: frame["type"] == "conversation.updated", after=before)
        assert await socket.reply("Are you there?") == "Still here."


async def test_first_message_after_cut_redis_connections_reaches_both_servers(pair: ServerPair) -> None:
    async with pair.open_sockets() as (at_a, at_b):
        pair.model.play(text_reply("Hello."), text_reply("Still here."))
        await at_a.reply("Hello")
        async with redis.asyncio.Redis.from_url(pair.redis.url) as client:
            (channel,) = await client.pubsub_channels("threadkeeper:*:notifications")
            for kind in ("normal", "pubsub"):
                await client.client_kill_filter(_type=kind, skipme=True)
            async with asyncio.timeout(10):
                while (await client.pubsub_numsub(channel))[0][1] < 2:
                    await asyncio.sleep(0.05)
        before = len(at_b.frames)
        turn_id = (await at_a.accepted(await at_a.message("Are you there?")))["turn"]["id"]
        accepted = await at_b.until(lambda frame: frame["type"] == "message.accepted", after=before)
        assert accepted["turn"]["id"] == turn_id
        assert (await at_b.end_of(turn_id))["message"]["text"] == "Still here."


# Last in this file, because the servers take a while to reconnect to Redis.
@pytest.mark.parametrize("returns", [True, False])
async def test_turn_ends_on_both_servers_after_redis_is_killed(pair: ServerPair, returns: bool) -> None:
    async with pair.open_sockets() as (at_a, at_b):
        turn_id = await pair.start_turn(at_a)
        await wait_for_text(at_b, turn_id)
        pair.redis.kill9()
        pair.model.release(20)
        await wait_for_text(at_a, turn_id, "word24")
        await wait_for_text(at_b, turn_id, "word24")  # from the database
        if returns:
            pair.redis.start()
            pair.model.release(20)
            await wait_for_text(at_b, turn_id, "word44")
        pair.model.release()
        for socket in (at_a, at_b):
            assert (await socket.end_of(turn_id))["message"]["text"] == REPLY
        if not returns:
            # Each process still accepts, answers and follows turns.
            pair.model.play(text_reply("Still here."))
            assert "Still here." in await at_b.reply("And now?")
            pair.redis.start()
