"""The model's endpoint is reached through the SOCKS5 proxy that the environment sets."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from chat.tests.conftest import Chat
from chat.tests.endpoint.conftest import events_of, reply_of
from chat.tests.model_server import ModelServer, text_reply

USER, PASSWORD = b"me", b"p@ss"


@dataclass
class SocksProxy:
    """A SOCKS5 proxy on the loopback that requires a user and a password (RFC 1928, RFC 1929)."""

    targets: list[tuple[str, int]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client: greeting, sign-in, one connection."""
        _, count = await reader.readexactly(2)
        assert 2 in await reader.readexactly(count)
        writer.write(b"\x05\x02")
        _, length = await reader.readexactly(2)
        user = await reader.readexactly(length)
        password = await reader.readexactly((await reader.readexactly(1))[0])
        writer.write(b"\x01" + (b"\x00" if (user, password) == (USER, PASSWORD) else b"\x01"))
        _, command, _, kind = await reader.readexactly(4)
        assert command == 1
        host = await self._host(reader, kind)
        port = int.from_bytes(await reader.readexactly(2))
        self.targets.append((host, port))
        far_reader, far_writer = await asyncio.open_connection(host, port)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))

    async def _host(self, reader: asyncio.StreamReader, kind: int) -> str:
        if kind == 3:
            return (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        return str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.fixture(params=["socks5", "socks5h"])
async def proxy(
    configured: None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SocksProxy]:
    """A proxy that the environment sets, for every client created from now on."""
    proxy = SocksProxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("ALL_PROXY", f"{request.param}://me:p%40ss@127.0.0.1:{port}")
    yield proxy
    server.close()


@pytest.mark.django_db(transaction=True)
async def test_turn_is_answered_through_the_proxy(proxy: SocksProxy, online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(text_reply("Hello there"))
    assert reply_of(await events_of(online, "hi")) == "Hello there"
    assert {f"http://{host}:{port}/v1" for host, port in proxy.targets} == {endpoint.url}
