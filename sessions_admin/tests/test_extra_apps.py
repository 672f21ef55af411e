"""An operator's own app (docs/examples/habits) is migrated, exported and erased with the built-in apps."""

import json
from pathlib import Path
from zipfile import ZipFile

import pytest

from config.tests.support import LiveDatabase, run

pytestmark = pytest.mark.service

APP = "docs.examples.habits"
EMAIL = "runner@example.com"


def test_data_of_an_extra_app_is_exported_and_erased(live_database: LiveDatabase, tmp_path: Path) -> None:
    person = live_database.add_user(EMAIL)
    live_database.add_user("other@example.com", staff=True)
    settings = {"DATABASE_URL": live_database.url, "DATA_DIR": str(tmp_path), "EXTRA_APPS": APP}

    def manage(*arguments: str) -> str:
        result = run("manage.py", *arguments, **settings)
        assert result.returncode == 0, result.stderr
        return result.stdout

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

    # Without the app, its migrations look like those of a later version.
    refused = run("manage.py", "list_sessions", **{**settings, "EXTRA_APPS": ""})
    assert "habits.0001_habit" in refused.stderr and "EXTRA_APPS" in refused.stderr


def test_unknown_extra_app_stops_startup_with_an_error_message(tmp_path: Path) -> None:
    refused = run("manage.py", "check", DATA_DIR=str(tmp_path), EXTRA_APPS="nowhere.app")
    assert refused.returncode == 1
    assert "EXTRA_APPS='nowhere.app'" in refused.stderr and "Traceback" not in refused.stderr
