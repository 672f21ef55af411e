"""What is left behind: in no log is a statement, a password, a token, a message or a query."""

import json
import stat
import subprocess
import uuid
from pathlib import Path

import httpx
import pytest

from config.tests.attack.clients import Browser, Person, new_person
from config.tests.attack.mail import Mailbox
from config.tests.attack.marks import on_product, quick
from config.tests.attack.product import CHECKOUT, PYTHON, Product, at_once, places_of
from config.tests.support import PASSWORD, clean_environment, eventually

pytestmark = on_product


def logs_of(product: Product) -> dict[Path, str]:
    """Return everything that is written to be read by people: what `up` prints, and log files."""
    # The files of tables, and of the write-ahead log, are PostgreSQL's own.
    tables = ("base", "global", "pg_wal", "pg_xact", "pg_multixact", "pg_stat", "pg_subtrans", "pg_logical")
    files = [
        path
        for path in product.data_dir.rglob("*")
        if path.is_file() and not {*path.parts} & {*tables} and "agent_sessions" not in path.name
    ]
    return {product.log: product.output} | {path: path.read_text(errors="replace") for path in files}


def logs_with(product: Product, *words: str) -> list[str]:
    """Return the logs in which one of the words is."""
    return [f"{path.name}: {word}" for path, text in logs_of(product).items() for word in words if word in text]


def test_a_conflict_in_the_database_leaves_no_statement_in_a_log(product: Product) -> None:
    word = f"clash{uuid.uuid4().hex[:8]}"
    email, password = f"{word}@example.com", f"{word} Passphrase 77"

    def sign_up(_: int) -> int:
        with Browser(product) as stranger:
            return stranger.post("/api/auth/register", json={"email": email, "password": password}).status_code

    statuses = at_once(8, sign_up)
    assert max(statuses) < 500, statuses
    person, other = new_person(product), new_person(product)
    fields = {"form": "email", "email": other.email, "current_password": PASSWORD}
    assert person.browser.submit("/settings/", **fields).status_code < 500
    # A mistake of somebody with a shell is logged by PostgreSQL too.
    with pytest.raises(Exception, match="unique"):
        product.database.query("INSERT INTO chat_user SELECT * FROM chat_user WHERE email = %s", other.email)
    assert logs_with(product, word, other.email, "INSERT INTO", "pbkdf2_sha256") == []


def test_log_files_are_their_owner_s(product: Product) -> None:
    open_to_others = [
        str(path.relative_to(product.data_dir))
        for path in product.data_dir.rglob("*")
        if path.is_file()
        and path.suffix in {".log", ".csv", ".json", ".db"}
        and stat.S_IMODE(path.stat().st_mode) & 0o77
    ]
    assert open_to_others == []


@quick
def test_no_log_has_what_people_send(product: Product, person: Person) -> None:
    word = f"grapefruit{uuid.uuid4().hex[:8]}"
    thread = person.new_thread()
    with person.program() as program:
        program.post(f"/api/chatkit/threads/{thread}/messages", json={"text": f"Add a task to buy {word}"})
        program.post(f"/api/chatkit/threads/{thread}/messages", json={"text": f"{word}\x00"})
        program.post("/api/tasks", json={"title": f"{word}\x00"})
        program.post("/api/tasks", json={"title": word * 50})
        program.patch(f"/api/chatkit/threads/{thread}", json={"title": word})
        program.get(f"/api/search?q={word}")
        program.get(f"/api/nothing/{word}?token={person.token}")
        program.post("/api/chatkit", json={"type": word})
        program.post("/mcp", content=f'{{"{word}": ')
        program.get("/api/tasks", headers={"Authorization": f"Bearer {person.token}x{word}"})
    browser = person.browser
    browser.get(f"/{word}/?q={word}")
    browser.get(f"/accounts/reset/MQ/abc-{word}/")
    browser.get(f"/accounts/login/?next=/{word}")
    browser.post("/accounts/login/", data={"username": word})
    browser.get(f"/c/{thread}/?{word}")
    browser.get("/", headers={"Host": f"{word}.test"})
    browser.get("/", headers={"X-Forwarded-For": word})
    browser.get(f"/static/../{word}")
    httpx.get(f"{product.url}/%00{word}")
    assert logs_with(product, word, person.token, person.browser.cookies["sessionid"]) == []


# Erasure and export.


def command(product: Product, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command beside the product."""
    return subprocess.run(
        [PYTHON, "manage.py", *words],
        cwd=CHECKOUT,
        env=clean_environment(DATA_DIR=str(product.data_dir)),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_an_erasure_finds_every_address_somebody_ever_had(product: Product, mailbox: Mailbox, tmp_path: Path) -> None:
    word = f"lychee{uuid.uuid4().hex[:8]}"
    person = new_person(product, f"first-{word}")
    first, second = person.email, f"second-{word}@example.com"
    with Browser(product) as stranger:
        stranger.sign_in(first, "wrong password")
        stranger.submit("/accounts/reset/", email=first)
    answer = person.browser.submit("/settings/", form="email", email=second, current_password=PASSWORD)
    assert answer.status_code == 302, answer.text
    if second not in person.browser.get("/settings/").text:
        person.browser.submit(httpx.URL(mailbox.link_to(second)).path)
    with person.program() as program:
        thread = person.new_thread()
        text = {"text": f"Add a task to write to {first} about {word}"}
        assert program.post(f"/api/chatkit/threads/{thread}/messages", json=text).status_code == 200
    with Browser(product) as stranger:
        stranger.sign_in(second, "wrong password")
        stranger.sign_in(first, "wrong password")
        stranger.submit("/accounts/reset/", email=second)

    exported = tmp_path / "export.zip"
    done = command(product, "export_user", second, str(exported), "--reason", "asked")
    assert done.returncode == 0, done.stderr
    erased = command(product, "erase_user", second, "--yes", "--reason", "asked", "--json")
    assert erased.returncode == 0, erased.stderr
    assert json.loads(erased.stdout)
    assert places_of(product.database, word) == []
    assert in_session_files(product, word) == []
    assert in_session_files(product, str(person.id)) == []


def in_session_files(product: Product, word: str) -> list[str]:
    """Return which of the session file and its log contain a word."""
    return [path.name for path in product.data_dir.glob("agent_sessions.db*") if word.encode() in path.read_bytes()]


def test_what_people_delete_themselves_is_gone(product: Product) -> None:
    word = f"papaya{uuid.uuid4().hex[:8]}"
    person = new_person(product, word)
    with person.program() as program:
        text = {"text": f"Add a task to buy {word}"}
        program.post(f"/api/chatkit/threads/{person.new_thread()}/messages", json=text).raise_for_status()
    page = person.browser.get("/settings/data/")
    data = {"current_password": PASSWORD, "csrfmiddlewaretoken": person.browser.cookies["csrftoken"]}
    answer = person.browser.post("/settings/data/delete/", data=data, headers={"Referer": str(page.url)})
    assert answer.status_code == 200, answer.text
    assert places_of(product.database, word) == []
    eventually(lambda: in_session_files(product, word) == [], within=20, what="the session file without it")
