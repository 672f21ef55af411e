"""The documents say what the code does."""

import re
from pathlib import Path
from typing import get_args

import pytest

from chat.realtime.frames import ClientFrame
from chat.turns.events import Event

ROOT = Path(__file__).resolve().parent.parent.parent
READ = re.compile(r"""env\.(?:text|whole|optional_whole|flag|choice|items|parsed|url|dotted)\(\s*"([A-Z_]+)\"""")
# Frames that are no entry of a log.
OTHERS = (
    "ready", "message.accepted", "conversation.updated", "conversation.deleted", "tasks.changed", "changes.updated",
    "pong", "error",
)  # fmt: skip


def read(name: str) -> str:
    return (ROOT / name).read_text()


@pytest.mark.parametrize("document", ["docs/operations.md", ".env.example"])
def test_every_setting_is_documented(document: str) -> None:
    names = set(READ.findall(read("config/settings.py")))
    assert len(names) > 20

    told = set(re.findall(r"[A-Z]+(?:_[A-Z]+)+|DEBUG|SIGNUP", read(document)))
    unspoken = {"DATABASE_POOL_SIZE", "DEFAULT_FROM_EMAIL", "DEBUG", "ENV_FILE"} if document.startswith(".") else set()
    assert names - told - unspoken == set()


def test_every_documented_setting_is_read() -> None:
    table = read("docs/operations.md").split("## Deploying")[0]
    told = {name for row in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`([A-Z_]+)`", row)}

    code = read("config/settings.py") + read("config/runtime/bootstrap.py")
    assert {name for name in told if f'"{name}"' not in code} == set()


def test_every_frame_is_documented() -> None:
    frames = {str(frame.model_fields["type"].annotation.__args__[0]) for frame in get_args(ClientFrame)}
    frames |= {str(event.type) for event in get_args(Event)} | set(OTHERS)
    assert len(frames) > 15

    tables = read("docs/protocol.md").split("### From the client")[1].split("\n## ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", tables, re.M)
    assert {name for cell in first_cells for name in re.findall(r"`([a-z.]+)`", cell)} == frames


def test_every_file_that_a_document_names_is_there() -> None:
    for document in ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]:
        links = re.findall(r"\]\((?!https?:)([^)#]+)", read(document))
        folder = (ROOT / document).parent
        assert [link for link in links if not (folder / link).exists()] == [], document
