"""The documents say what the code does."""

import re
import subprocess
from pathlib import Path
from typing import get_args

from chat.turns.events import Event

ROOT = Path(__file__).resolve().parent.parent.parent
# Frames that are no entry of a log.
OTHERS = {
    "ready", "message.accepted", "conversation.updated", "conversation.deleted", "tasks.changed", "changes.updated",
    "pong", "error",
}  # fmt: skip


def test_every_frame_of_the_server_is_documented() -> None:
    frames = {str(event.type) for event in get_args(Event)} | OTHERS
    assert len(frames) > 15

    tables = (ROOT / "docs/reference/websocket.md").read_text().split("## From the server")[1]
    first_cells = re.findall(r"^\| (`.*?) \|", tables, re.M)
    assert {name for cell in first_cells for name in re.findall(r"`([a-z.]+)`", cell)} == frames


def test_every_file_that_a_text_names_is_there() -> None:
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
