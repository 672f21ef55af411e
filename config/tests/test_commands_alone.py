"""Commands end with a sentence where the product has never run, and quietly where nothing reads their output."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from config.tests.support import free_port, run

pytestmark = pytest.mark.service


def test_before_the_first_start(tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "list_sessions", "--json"]
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "DATABASE_URL": ""}
    ended = subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "Start `manage.py up` once" in ended.stderr
    assert '"code": "failed"' in ended.stdout


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "manage.py", "help", "--commands"]
    environment = {**os.environ, "DATA_DIR": str(tmp_path)}
    ended = subprocess.run(
        command, cwd=settings.BASE_DIR, env=environment, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, "")


@pytest.mark.parametrize("command", ["session_stats", "cleanup_sessions", "slo"])
def test_a_database_that_is_down_is_reported_in_a_sentence(tmp_path: Path, command: str) -> None:
    url = f"postgres://someone:hidden@127.0.0.1:{free_port()}/x"
    ended = run("manage.py", command, "--json", DATABASE_URL=url, DATA_DIR=str(tmp_path))
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["error"]["code"] == "unavailable"
    assert "The database cannot be used: " in ended.stderr
    assert "Traceback" not in ended.stderr and "hidden" not in ended.stderr
