"""Backups in folders and in S3-compatible storage, and the restore drill."""

import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.core.management import CommandError
from django.utils import timezone
from django_q.models import Schedule
from pytest_django import Settings
from time_machine import travel

from chat.tests.live import open_socket, sign_in
from config.runtime.processes import spawn
from config.tests.support import LiveDatabase, ServerProcess, database, eventually, free_port, run
from sessions_admin import schedules, tasks
from sessions_admin.tests.conftest import command_output


@pytest.fixture(scope="module")
def storage() -> Iterator[str]:
    """Serve S3 with moto's server; yield its URL."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = spawn(command, output=subprocess.DEVNULL)

    def is_listening() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    eventually(is_listening, what="the S3 server")
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


@pytest.fixture
def bucket(storage: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in credentials(storage).items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="backups")
    return "s3://backups/site/"


def credentials(storage: str) -> dict[str, str]:
    """Return the environment variables of boto3."""
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hidden", "AWS_DEFAULT_REGION": "us-east-1"}
    return {"AWS_ENDPOINT_URL_S3": storage, **keys}


@pytest.mark.django_db(transaction=True)
def test_keep_leaves_the_newest_backups_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.zip").touch()
    for day in (1, 2, 3):
        with travel(timezone.now().replace(day=day), tick=True):
            made = command_output("backup", str(tmp_path), "--keep", "2", "--json")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 3 and names[0] == "mine.zip", "a file with another name was deleted or counted as a backup"
    assert json.loads(made)["file"] == str(tmp_path / names[-1])
    with pytest.raises(CommandError, match="--keep must be at least 1"):
        command_output("backup", str(tmp_path), "--keep", "0")


@pytest.mark.django_db(transaction=True)
def test_daily_backup_keeps_the_newest_in_a_bucket(bucket: str, settings: Settings) -> None:
    settings.BACKUP_TO, settings.BACKUPS_KEPT = bucket, 2
    schedules.ensure()
    assert Schedule.objects.get(func=schedules.BACKUP).cron == "0 1 * * *"
    for day in (1, 2, 3):
        with travel(timezone.now().replace(day=day), tick=True):
            made: dict[str, Any] = tasks.daily_backup()
    listed = boto3.client("s3").list_objects_v2(Bucket="backups", Prefix="site/")["Contents"]
    assert len(listed) == 2
    assert made["file"] == f"s3://backups/{listed[-1]['Key']}"
    settings.BACKUP_TO = ""
    schedules.ensure()
    assert not Schedule.objects.filter(func=schedules.BACKUP).exists()


@pytest.mark.django_db(transaction=True)
def test_invalid_backup_locations_are_rejected(bucket: str, tmp_path: Path) -> None:
    for location, reason in {
        "s3://nobody/": "The storage of s3://nobody refused: ",
        "s3:///x.zip": "is no place for backups",
        f"{bucket}name": "is no place for backups",
        f"{tmp_path}/none/": "is no folder",
    }.items():
        with pytest.raises(CommandError, match=reason):
            command_output("backup", location)
    command_output("backup", f"{bucket}one.zip")
    with pytest.raises(CommandError, match="exists; --force overwrites it"):
        command_output("backup", f"{bucket}one.zip")
    with pytest.raises(CommandError, match="There is no backup s3://backups/site/two.zip"):
        command_output("restore", f"{bucket}two.zip")
    with pytest.raises(CommandError, match="There is no backup in"):
        command_output("restore_drill", str(tmp_path))


@pytest.mark.long
@pytest.mark.service
async def test_drill_restores_the_newest_backup_beside_a_running_site(
    live_database: LiveDatabase, tmp_path: Path, storage: str
) -> None:
    with database(os.environ["DATABASE_URL"]) as (_, sessions_url):
        await drill_beside_a_site(live_database, LiveDatabase(sessions_url), tmp_path, storage)


async def drill_beside_a_site(record: LiveDatabase, sessions: LiveDatabase, tmp_path: Path, storage: str) -> None:
    # A session store in a database of its own, which the drill must not touch.
    store = {"AGENT_SESSION_STORE": sessions.url}
    env = {"DATABASE_URL": record.url, "DATA_DIR": str(tmp_path), **store, **credentials(storage)}
    with ServerProcess(record, tmp_path, **store) as server:
        async with open_socket(server, sign_in(server), uuid.uuid4()) as socket_:
            await socket_.send_and_wait("Add a task to buy milk")
        boto3.client("s3", endpoint_url=storage, aws_access_key_id="key", aws_secret_access_key="hidden").create_bucket(
            Bucket="drills"
        )
        location = "s3://drills/"
        assert run("manage.py", "backup", location, **env).returncode == 0
        rows = "SELECT *, xmin::text FROM agent_messages"
        before = sessions.query(rows)
        record.query("CREATE DATABASE threadkeeper_drill_202001010000_killed")
        result = run("manage.py", "restore_drill", "--json", BACKUP_TO=location, **env)
        assert result.returncode == 0, result.stderr
        done = json.loads(result.stdout)
        assert (done["sessions"], done["items"] > 2, done["drifted"]) == (1, True, 0)
        scratch = "SELECT datname FROM pg_database WHERE starts_with(datname, 'threadkeeper_drill_')"
        assert record.query(scratch) == []
        assert sessions.query(rows) == before != []
        assert not list(tmp_path.glob(".drill-*"))

        damaged = tmp_path / "damaged.zip"
        damaged.write_bytes(b"PK")
        result = run("manage.py", "restore_drill", str(damaged), **env)
        assert result.returncode == 1
        assert "`restore` failed in the scratch database: " in result.stderr
