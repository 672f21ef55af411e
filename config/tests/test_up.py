"""One command starts everything; one signal, or none at all, ends everything."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from config.runtime.supervisor import SERVER_TIMINGS, Service
from config.runtime.watchdog import MAX_STUCK_TICKS
from config.tests.support import ROOT, Up, clean_environment, eventually, free_port, processes_of, run

# One after another, and before the single tests: these start the most, and take the longest.
pytestmark = [pytest.mark.service, pytest.mark.xdist_group("up")]


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    folder.mkdir()
    yield folder
    # Only where a test has failed.
    for process in processes_of(folder):
        process.kill()


def nothing_left(data_dir: Path) -> bool:
    return not processes_of(data_dir)


def test_an_empty_folder_becomes_a_running_chat_that_outlives_the_end_of_any_part_and_of_all(data_dir: Path) -> None:
    up = Up(data_dir).await_ready()
    assert re.search(r"Admin +admin@localhost\n +Password +\S{16}", up.output)
    assert "Traceback" not in up.output
    assert "<form" in httpx.get(f"{up.url}/accounts/login/").text
    assert up.child("qcluster").nice() > up.child("config.runtime.asgi_server").nice()
    files = [path for kind in ("log", "csv", "db") for path in data_dir.rglob(f"*.{kind}")]
    assert [path for path in files if path.stat().st_mode & 0o077] == []

    other = Up(data_dir)
    assert other.process.wait(30) == 1
    assert other.output.endswith(f"Threadkeeper is already running in {data_dir} (process {up.process.pid}).\n")
    count = "from chat.models import User; print(User.objects.count())"
    beside = run("manage.py", "shell", "--no-imports", "-c", count, DATA_DIR=str(data_dir))
    assert beside.stdout == "1\n", beside.stderr

    for times, part in enumerate(["server", "worker", "sentinel", "database"], 1):
        victim = _part(up, part)
        victim.kill()
        eventually(partial(_said_again, up, times), what=f"a word about the {part}")
        up.await_ready()

    worker = up.child("qcluster")
    left_alone = worker.children(recursive=True)
    assert left_alone
    # With their parents gone at once, nobody can tell the worker's own children to stop.
    server = up.child("config.runtime.asgi_server")
    os.kill(up.process.pid, signal.SIGSTOP)
    server.kill()
    worker.kill()
    up.kill9()

    up = Up(data_dir).await_ready()
    assert "Password" not in up.output, "the first sign-in is shown once"
    assert not any(process.is_running() for process in left_alone)
    up.kill9()
    eventually(lambda: nothing_left(data_dir), what=f"the end of {processes_of(data_dir)}")


def _said_again(up: Up, times: int) -> bool:
    return up.output.count("restarted") == times


def _part(up: Up, part: str) -> psutil.Process:
    if part == "sentinel":
        # A worker that starts has other children for a moment: what it imports runs programs.
        found: psutil.Process = eventually(partial(_guardian, up), what="the worker's sentinel")
        return found
    return up.child({"server": "config.runtime.asgi_server", "worker": "qcluster", "database": "-D"}[part])


def _guardian(up: Up) -> psutil.Process | None:
    with suppress(StopIteration, psutil.Error):
        return next((child for child in up.child("qcluster").children() if child.children()), None)
    return None


@pytest.mark.long
def test_a_worker_that_dies_again_and_again_never_ends_the_server(data_dir: Path) -> None:
    up = Up(data_dir).await_ready()
    server = up.child("config.runtime.asgi_server")
    for deaths in range(1, 6):
        eventually(partial(_has_child, up, "qcluster"))
        up.child("qcluster").kill()
        eventually(partial(_said_again, up, deaths))
    assert up.output.rstrip().endswith("it is restarted in 15 s.")
    assert server.is_running()
    health = httpx.get(f"{up.url}/readyz")
    assert (health.status_code, health.json()["worker"]) == (503, False)
    assert up.stop() == 0
    assert nothing_left(data_dir)


def test_a_service_that_dies_is_started_after_a_minute_at_most() -> None:
    service = Service("worker", [], {})
    assert [service.restart_later(now=9.0) for _ in range(9)] == [0, 1, 3, 7, 15, 31, 60, 60, 60]
    assert service.restart_later(now=1000.0) == 0, "it has lived for a while"


@pytest.mark.long
@pytest.mark.parametrize(("part", "service", "within"), [("server", "server", 60), ("sentinel", "worker", 90)])
def test_a_part_that_hangs_is_ended_and_started_again(data_dir: Path, part: str, service: str, within: float) -> None:
    up = Up(data_dir).await_ready()
    _part(up, part).suspend()
    eventually(lambda: f"The {service} does not answer" in up.output, within=within)
    up.await_ready()
    assert up.stop() == 0


@pytest.mark.long
def test_after_a_suspension_of_the_machine_nothing_is_ended(data_dir: Path) -> None:
    up = Up(data_dir).await_ready()
    everything = [psutil.Process(up.process.pid), *psutil.Process(up.process.pid).children(recursive=True)]
    for process in everything:
        process.suspend()
    time.sleep(max(SERVER_TIMINGS.timeout, MAX_STUCK_TICKS) * 2)
    for process in everything:
        process.resume()
    time.sleep(SERVER_TIMINGS.timeout)
    up.await_ready()
    assert "ended" not in up.output and "restarted" not in up.output
    assert up.stop() == 0


def _has_child(up: Up, word: str) -> bool:
    try:
        return up.child(word).status() != psutil.STATUS_ZOMBIE
    except (StopIteration, psutil.Error):
        return False


def test_who_kills_uv_ends_what_it_runs(data_dir: Path) -> None:
    port, log = free_port(), data_dir.parent / "uv.log"
    boss = {"ADMIN_EMAIL": "Boss@Example.com", "ADMIN_PASSWORD": "correct horse battery"}
    with open(log, "wb") as output:
        uv = subprocess.Popen(
            ["uv", "run", "--no-sync", "manage.py", "up", "--no-worker", "--port", str(port)],
            cwd=ROOT,
            env=clean_environment(DATA_DIR=str(data_dir), **boss),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    eventually(lambda: "Ctrl-C" in log.read_text(), within=60)
    assert "boss@example.com" in log.read_text()
    assert "correct horse" not in log.read_text()
    assert httpx.get(f"http://127.0.0.1:{port}/readyz").json()["worker"] is False
    os.kill(uv.pid, signal.SIGKILL)
    uv.wait()
    eventually(lambda: nothing_left(data_dir))
