"""Parse the body of a request as a JSON-RPC message, or refuse it in one sentence."""

import json
from typing import Any

from mcp_types import INVALID_REQUEST, PARSE_ERROR, jsonrpc_message_adapter
from pydantic import ValidationError
from starlette.types import Message, Receive

from chat.exceptions import BadJson
from chat.infra.json_text import read_json


class BadMessage(Exception):
    """A body that is not a JSON-RPC message."""

    def __init__(self, code: int, detail: str, known_id: int | str | None = None) -> None:
        super().__init__(detail)
        self.code, self.detail, self.id = code, detail, known_id

    def body(self) -> bytes:
        """Return the response body."""
        error = {"code": self.code, "message": self.detail}
        return json.dumps({"jsonrpc": "2.0", "id": self.id, "error": error}).encode()


def check(body: bytes) -> None:
    """Raise BadMessage if a body is not a single message."""
    try:
        message = read_json(body)
    except BadJson as error:
        raise BadMessage(PARSE_ERROR, error.detail) from None
    if not isinstance(message, dict):
        raise BadMessage(INVALID_REQUEST, "A message needs to be one JSON object; there are no batches.")
    given = message.get("id")
    known = given if isinstance(given, int | str) and _is_id(given) else None
    if problem := _problem(message):
        raise BadMessage(INVALID_REQUEST, problem, known)
    try:
        jsonrpc_message_adapter.validate_python(message)
    except ValidationError:
        raise BadMessage(INVALID_REQUEST, "This is no JSON-RPC request, notification or response.", known) from None


def _problem(message: dict[str, Any]) -> str:
    if message.get("jsonrpc") != "2.0":
        return 'The member “jsonrpc” needs to be "2.0".'
    if "id" in message and not _is_id(message["id"]):
        return "The member “id” needs to be a text or a whole number."
    if "method" not in message:
        return "" if message.keys() & {"result", "error"} else "The member “method” is missing."
    if not isinstance(message["method"], str):
        return "The member “method” needs to be a text."
    if not isinstance(message.get("params", {}), dict | None):
        return "The member “params” needs to be an object."
    return ""


def _is_id(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


async def read(receive: Receive, *, most: int) -> tuple[bytes | None, Receive]:
    """Return a request's body, or None if it is larger than `most` or incomplete, and a `receive` that replays it."""
    received: list[Message] = []
    body = b""
    whole = False
    while not whole and len(body) <= most:
        message = await receive()
        received.append(message)
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        whole = not message.get("more_body", False)
    coming = iter(received)

    async def again() -> Message:
        return next(coming, None) or await receive()

    return body if whole and len(body) <= most else None, again
