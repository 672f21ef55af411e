"""An app of an operator's own (docs/examples/habits) is migrated, exported and erased with the rest."""

import json
from pathlib import Path
from zipfile import ZipFile

import pytest

from config.tests.support import LiveDatabase, run

pytestmark = pytest.mark.service

APP = "docs.examples.habits"
EMAIL = "runner@example.com"


def test_it_is_exported_and_erased(live_database: LiveDatabase, tmp_path: Path) -> None:
    person = live_database.add_user(EMAIL)
    live_database.add_user("other@example.com", staff=True)
    settings = {"DATABASE_URL": live_database.url, "DATA_DIR": str(tmp_path), "EXTRA_APPS": APP}

    def manage(*words: str) -> str:
        ended = run("manage.py", *words, **settings)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    manage("migrate")
    live_database.query("INSERT INTO habits_habit (user_id, name, created_at) VALUES (%s, 'Run', now())", person)

    manage("export_user", EMAIL, str(tmp_path / "all.zip"), "--reason", "asked")
    with ZipFile(tmp_path / "all.zip") as archive:
        exported = json.loads(archive.read("everything.json"))["apps"]
    assert [habit["name"] for habit in exported["habits"]["habits"]] == ["Run"]

    report = json.loads(manage("erase_user", EMAIL, "--yes", "--json"))
    (line,) = [line for line in report["lines"] if line["kind"] == "habits: habits"]
    assert (line["before"], line["after"]) == (1, 0)
    assert live_database.query("SELECT 1 FROM habits_habit") == []

    # Without the app nobody can tell its migrations from those of a later version.
    refused = run("manage.py", "list_sessions", **{**settings, "EXTRA_APPS": ""})
    assert "habits.0001_habit" in refused.stderr and "EXTRA_APPS" in refused.stderr


def test_an_app_that_is_not_there_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    refused = run("manage.py", "check", DATA_DIR=str(tmp_path), EXTRA_APPS="nowhere.app")
    assert refused.returncode == 1
    assert "EXTRA_APPS='nowhere.app'" in refused.stderr and "Traceback" not in refused.stderr
