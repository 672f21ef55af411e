"""Send the assistant a message from a program: `python client.py http://127.0.0.1:8000 me@example.com "Add milk"`."""

import asyncio
import json
import sys
import uuid
from collections.abc import Callable
from getpass import getpass

import httpx
from websockets.asyncio.client import connect

ACK_FIELDS = ("turn_id", "attempt", "n")


async def say(server: str, email: str, password: str, text: str, ask: Callable[[str], str] = input) -> None:
    async with httpx.AsyncClient(base_url=server) as http:
        response = await http.post("/api/auth/login", json={"email": email, "password": password})
    token = {"Authorization": f"Bearer {response.raise_for_status().json()['access_token']}"}
    url = f"{server.replace('http', 'ws', 1)}/ws/chat/{uuid.uuid4()}/"  # a new conversation
    async with connect(url, additional_headers=token) as socket:
        await socket.send(json.dumps({"type": "message.send", "client_id": str(uuid.uuid4()), "text": text}))
        async for data in socket:
            frame = json.loads(data)
            if "n" in frame and "turn_id" in frame:  # a log entry; unacknowledged, the server stops at 256 KiB
                await socket.send(json.dumps({"type": "log.ack", **{key: frame[key] for key in ACK_FIELDS}}))
            if frame["type"] == "text.delta":
                print(frame["text"], end="", flush=True)
            elif frame["type"] == "approval.requested":
                question = f"{frame['name']} {json.dumps(frame['arguments'])}: go on? [y/N] "
                approve = await asyncio.to_thread(ask, question) == "y"
                decision = {"turn_id": frame["turn_id"], "call_id": frame["call_id"], "approve": approve}
                await socket.send(json.dumps({"type": "approval.decide", **decision}))
            elif frame["type"] in ("turn.finished", "turn.stopped", "turn.failed", "error"):
                print(frame.get("detail", ""))
                return


if __name__ == "__main__":
    server, email, text = sys.argv[1:]
    asyncio.run(say(server, email, getpass(), text))
