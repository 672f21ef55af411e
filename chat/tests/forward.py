"""Forward a port to a Unix socket or a loopback port: `python -m chat.tests.forward HOST PORT TARGET`."""

import asyncio
import sys
from contextlib import suppress


async def serve(host: str, port: int, target: str) -> None:
    """Forward until the process is killed."""

    async def copy(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                to.write(data)
                await to.drain()
        to.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connecting = (
            asyncio.open_unix_connection(target) if "/" in target else asyncio.open_connection("127.0.0.1", int(target))
        )
        target_reader, target_writer = await connecting
        await asyncio.gather(copy(reader, target_writer), copy(target_reader, writer))

    async with await asyncio.start_server(forward, host, port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
