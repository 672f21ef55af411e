"""The output of one session at a server and of the commands, without values that differ between runs."""

import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout
from copy import deepcopy
from typing import Any

from chat.tests.recorded import Client

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?")
SECRET = re.compile(r"(?<=tk_)[A-Za-z0-9_-]{5,}")
CALL = re.compile(r"(?<![0-9a-f])[0-9a-f]{32,64}(?![0-9a-f])")
DATE = re.compile(r"\b202\d-\d\d-\d\d\b")
# A day in words, which is replaced with the day on which the files were written.
DAY = re.compile(r"\b[A-Z][a-z]+day \d{1,2} [A-Z][a-z]+(?: 20\d\d)?\b")
WRITTEN_DAY = "Tuesday 1 December"
# Numbers that depend on the machine or the moment.
MEASURED = re.compile(
    r"(bytes|size|seconds|duration|_ms$|^ms$|^took$|tokens|^n$|^port$|version|^age|^weight|capacity|^ids$)"
)
# Frames and events that depend on when a client reads.
TIMED = frozenset(
    {"turn.queued", "turn.started", "turn.snapshot", "turn.resumed", "tasks.changed", "changes.updated"}
    | {"conversation.updated", "thread.item.added", "thread.item.updated"}
)


class Normalizer:
    """Replaces ids with numbers in the order of their first appearance, and removes times.

    With `ordered=False` all ids are equal and lists are sorted, for lists in the order of random ids.
    """

    def __init__(self, *, ordered: bool = True) -> None:
        self._ids: dict[str, str] = {}
        self._ordered = ordered

    def _name(self, match: re.Match[str]) -> str:
        return self._ids.setdefault(match[0], f"<id {len(self._ids) + 1}>") if self._ordered else "<id>"

    def text(self, text: str) -> str:
        for pattern in (UUID, CALL):
            text = pattern.sub(self._name, text)
        text = DAY.sub(WRITTEN_DAY, text)
        return DATE.sub("<date>", SECRET.sub("<secret>", TIME.sub("<time>", text)))

    def value(self, value: Any, key: str = "") -> Any:
        match value:
            case dict():
                return {name: self.value(entry, str(name)) for name, entry in sorted(value.items())}
            case list():
                entries = [self.value(entry, key) for entry in value]
                return entries if self._ordered else sorted(entries, key=json.dumps)
            case str():
                return self.text(value)
            case bool() | None:
                return value
        return "<number>" if MEASURED.search(key) else value


def joined(events: Any) -> Any:
    """Join the deltas of a stream, which a client receives in any number of pieces."""
    if not isinstance(events, list) or not all(isinstance(event, dict) and "type" in event for event in events):
        return events
    whole: list[dict[str, Any]] = []
    for event in events:
        if event["type"] in TIMED:
            continue
        update = event.get("update") or {}
        is_delta = "delta" in event["type"] or "delta" in str(update.get("type"))
        last = whole[-1] if whole else {}
        if is_delta and _event_key(last) == _event_key(event):
            for target, piece in ((last, event), (last.get("update") or {}, update)):
                for key in ("text", "delta"):
                    if isinstance(piece.get(key), str):
                        target[key] += piece[key]
        else:
            whole.append(deepcopy(event))
    return whole


def _event_key(event: dict[str, Any]) -> tuple[object, ...]:
    return event.get("type"), event.get("item_id"), event.get("turn_id"), (event.get("update") or {}).get("type")


class GoldenClient(Client):
    """A client that stores what it receives."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.received: list[dict[str, Any]] = []

    async def call(self, method: str, path: str, body: object = None, *, label: str = "", **headers: str) -> Any:
        data = await super().call(method, path, body, label=label, **headers)
        exchange = self.exchanges[-1]
        self.received.append({"sent": exchange.sent, "status": exchange.status, "body": joined(data)})
        return data

    async def socket(self, token: str) -> None:
        await super().socket(token)
        self.received.append({"sent": "the socket", "status": 101, "body": joined(self.frames)})


def command(*words: str) -> dict[str, Any]:
    """Run a management command, and return its JSON."""
    from django.core.management import call_command

    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            call_command(*words, "--json")
        except SystemExit as error:
            code = error.code
    lines = out.getvalue()
    return {"sent": " ".join(words), "status": code, "body": json.loads(lines) if lines.strip() else lines}


def _main(words: list[str]) -> None:
    """Run each argument as a command line, and print the output."""
    import sys

    import django

    django.setup()
    sys.stdout.write(json.dumps([command(*line.split(" ")) for line in words]))


if __name__ == "__main__":
    import sys

    _main(sys.argv[1:])
