"""The product connects only to the model's endpoint: no tracing, no telemetry, no other path."""

import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from chat.tests.conftest import Chat
from chat.tests.endpoint.conftest import events_of
from chat.tests.model_server import Call, HttpError, ModelServer, text_reply, tool_calls

_watched: list[tuple[str, int]] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _watched is not None and isinstance(arguments[1], tuple):
        _watched.append(arguments[1][:2])


@pytest.fixture
def connections() -> Iterator[list[tuple[str, int]]]:
    """The addresses that this process connects to. An audit hook cannot be removed, so it is switched on and off."""
    global _watched
    if not getattr(sys, "_threadkeeper_watched", False):
        sys.addaudithook(_watch)
        setattr(sys, "_threadkeeper_watched", True)  # noqa: B010
    _watched = []
    yield _watched
    _watched = None


async def test_product_connects_only_to_the_endpoint(
    connections: list[tuple[str, int]], online: Chat, endpoint: ModelServer
) -> None:
    endpoint.play(HttpError(500), tool_calls(Call("create_task", {"title": "Tea"})), text_reply("Added."))

    await events_of(online, "add tea")
    await online.runner.drain(1)

    address = urlsplit(endpoint.url)
    assert set(connections) == {(address.hostname, address.port)}
    assert endpoint.unknown_requests == []
    assert len(endpoint.requests) == 3
