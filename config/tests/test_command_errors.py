"""Commands report a missing database without a traceback, and exit silently when their output is closed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from config.tests.support import free_port, run

pytestmark = pytest.mark.service


def test_command_before_first_start_asks_to_run_up(tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "list_sessions", "--json"]
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "DATABASE_URL": ""}
    result = subprocess.run(
        command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "Start `manage.py up` once" in result.stderr
    assert '"code": "failed"' in result.stdout


@pytest.mark.long
def test_command_with_closed_output_exits_silently(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "manage.py", "help", "--commands"]
    environment = {**os.environ, "DATA_DIR": str(tmp_path)}
    result = subprocess.run(
        command, cwd=settings.BASE_DIR, env=environment, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120
    )
    os.close(writing)
    assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.parametrize("command", ["session_stats", "cleanup_sessions", "slo"])
def test_unreachable_database_is_reported_without_traceback(tmp_path: Path, command: str) -> None:
    url = f"postgres://someone:hidden@127.0.0.1:{free_port()}/x"
    result = run("manage.py", command, "--json", DATABASE_URL=url, DATA_DIR=str(tmp_path))
    assert result.returncode == 1
    assert json.loads(result.stdout)["error"]["code"] == "unavailable"
    assert "The database cannot be used: " in result.stderr
    assert "Traceback" not in result.stderr and "hidden" not in result.stderr
