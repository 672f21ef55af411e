"""The documentation matches the code."""

import re
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import get_args

from chat.turns.events import Event

ROOT = Path(__file__).resolve().parent.parent.parent
# Frames that are not turn events.
OTHER_FRAMES = {
    "ready", "message.accepted", "conversation.updated", "conversation.deleted", "tasks.changed", "changes.updated",
    "pong", "error",
}  # fmt: skip


def test_every_server_frame_is_documented_with_its_fields() -> None:
    text = (ROOT / "docs/reference/websocket.md").read_text().split("## From the server")[1]
    rows = {
        name: cells
        for names, cells in re.findall(r"^\| (`.*?) \| (.*)\|$", text, re.M)
        for name in re.findall(r"`([a-z.]+)`", names)
    }
    events = {str(event.type): {field.name for field in fields(event)} for event in get_args(Event)}
    assert set(rows) == set(events) | OTHER_FRAMES
    missing = {(kind, name) for kind, names in events.items() for name in names if f"`{name}`" not in rows[kind]}
    assert missing == set()


def test_files_named_in_code_and_docs_exist() -> None:
    # Sphinx checks the links between the pages.
    named = re.compile(r"\b(?:(?:docs|chat|config|sessions_admin)/[\w/-]+|README|CHANGELOG)\.(?:md|py|png)\b")
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.toml", ".env.example"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    missing = {
        (name, path)
        for name in listed.stdout.split()
        for path in named.findall((ROOT / name).read_text())
        if not (ROOT / path).exists()
    }
    assert missing == set()
