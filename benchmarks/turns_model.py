"""A cheap model endpoint: 50 tokens, 20 ms apart, the first one immediately.

    uv run python -m benchmarks.turns_model --port 9000

A process of its own, so that it shares no event loop with a server or a client. The events are those of
`chat/tests/model_server`, rendered once; each answer gets its own ids. Every request gets this answer.
"""

import argparse
import asyncio
import contextlib
import re
import uuid
from collections.abc import Iterable

from chat.tests.model_server import Request, text_reply
from chat.tests.model_server.server import encoder_for

TOKENS, INTERVAL = 50, 0.02  # seconds
PIECES = tuple(f"token{n:02} " for n in range(TOKENS))
TEXT = "".join(PIECES)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
BACKLOG = 1024


class Script:
    """The bytes of an answer by due time: up to the first token, each later token, and the rest with the last."""

    def __init__(self) -> None:
        request = Request("responses", {"stream": True, "model": "steady", "input": ""})
        pieces = list(encoder_for(request, text_reply(*PIECES)).pieces())
        tokens = [index for index, piece in enumerate(pieces) if piece.kind == "content"]
        starts = [0, *(index for index in tokens[1:]), len(pieces)]
        self._parts = [
            _chunked(piece.data for piece in pieces[start:end]) for start, end in zip(starts, starts[1:], strict=False)
        ]
        self._parts[-1] += b"0\r\n\r\n"
        self._ids = set(re.findall(rb"(?:resp|msg)_([0-9a-f]{32})", b"".join(self._parts)))
        assert len(self._parts) == TOKENS and len(self._ids) == 2

    def parts(self) -> list[bytes]:
        """Return an answer with unique ids."""
        parts = self._parts
        for known in self._ids:
            new = uuid.uuid4().hex.encode()
            parts = [part.replace(known, new) for part in parts]
        return parts


def _chunked(pieces: Iterable[bytes]) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


async def _serve(port: int) -> None:
    script = Script()
    loop = asyncio.get_running_loop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = re.search(rb"(?i)content-length: *(\d+)", head)
                await reader.readexactly(int(size[1]) if size else 0)
                started = loop.time()
                writer.write(HEAD)
                for n, part in enumerate(script.parts()):
                    # Scheduled from the start, so that a late token does not delay the following ones.
                    await asyncio.sleep(started + n * INTERVAL - loop.time())
                    writer.write(part)
                    if writer.is_closing():
                        return
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port, backlog=BACKLOG, limit=2**24) as server:
        await server.serve_forever()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns_model", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(options.port))


if __name__ == "__main__":
    main()
