"""Compare the output for programs and pages with the files in `config/tests/golden/`, which have one value per line.

`GOLDEN=write uv run pytest config/tests/test_golden.py` rewrites the files after an intended change.
"""

import difflib
import json
import os
import re
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.tests.golden import GoldenClient, Normalizer
from config.tests.support import PASSWORD, ServerProcess, run

pytestmark = pytest.mark.service
PROSE = frozenset({"description", "summary", "title", "detail"})
GOLDEN = Path(__file__).with_name("golden")
# The built-in model names the day, which differs from the day on which the files were written.
TOMORROW = re.compile(r"tomorrow \(\w+ \d+ \w+\)")


def check(name: str, value: list[Any]) -> None:
    """Compare JSON values, one per line, with the stored ones."""
    path = GOLDEN / f"{name}.jsonl"
    text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in value)
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text)
    text, stored = (TOMORROW.sub("tomorrow", written) for written in (text, path.read_text()))
    assert text == stored, "\n".join(difflib.unified_diff(stored.splitlines(), text.splitlines(), lineterm="", n=8))


def without_prose(value: Any) -> Any:
    """Remove the descriptions from an OpenAPI document."""
    if isinstance(value, dict):
        return {
            key: without_prose(entry) for key, entry in value.items() if key not in PROSE or not isinstance(entry, str)
        }
    return [without_prose(entry) for entry in value] if isinstance(value, list) else value


async def test_output_matches_golden_files(server: ServerProcess, tmp_path: Path) -> None:
    email = "golden@example.com"
    server.database.add_user(email, staff=True)
    client = GoldenClient(server.url)
    await client.use_everything(email, PASSWORD)
    threads = [row[0] for row in server.database.query("SELECT id FROM chat_conversation ORDER BY created_at")]
    with closing(server.client(email, PASSWORD)) as signed_in:
        cookies = signed_in.cookies
    async with httpx.AsyncClient(base_url=server.url, cookies=cookies) as browser:
        for path in ("/state/", *(f"/c/{thread}/state/" for thread in threads)):
            state = (await browser.get(path)).json()
            client.received.append({"sent": f"the page {path}", "status": 200, "body": state})
        for export_format in ("json", "markdown"):
            exported = await browser.get(f"/api/chatkit/threads/{threads[0]}/export", params={"format": export_format})
            client.received.append(
                {"sent": f"export as {export_format}", "status": exported.status_code, "body": exported.text}
            )
        document = (await browser.get("/api/openapi.json")).json()
    (session,) = server.database.query(
        "SELECT session_id FROM chat_agentsession s JOIN chat_conversation c ON c.id = s.conversation_id"
        " ORDER BY c.created_at DESC LIMIT 1"
    )[0]
    command_lines = (
        "list_sessions",
        f"show_session {session} --items --reason asked",
        f"prune_sessions {session} --dry-run --reason asked",
        f"hold_session {session} --reason asked",
        f"release_session {session} --reason asked",
        "reconcile_sessions --dry-run",
        "cleanup_sessions --dry-run",
        "check_sessions",
        "session_stats",
        "model_usage",
        f"export_user {email} {tmp_path / 'export.zip'} --reason asked",
        f"erase_user {email} --dry-run --reason asked",
    )
    completed = run("-m", "config.tests.golden", *command_lines, **server.variables)
    assert completed.returncode == 0, completed.stderr

    normalizer = Normalizer()
    check("requests", normalizer.value(client.received))
    check("commands", normalizer.value(json.loads(completed.stdout.replace(str(tmp_path), "<folder>"))))
    with zipfile.ZipFile(tmp_path / "export.zip") as file:
        everything = json.loads(file.read("everything.json")) | {"version": ""}
    check("export", [{part: entry} for part, entry in Normalizer(ordered=False).value(everything).items()])
    document = without_prose(document)
    schemas = document["components"]["schemas"]
    check("openapi", [*sorted(document["paths"].items()), *sorted(schemas.items())])
