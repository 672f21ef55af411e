"""`up` starts and restarts all services, and stops them when it receives a signal or is killed."""

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

# One after another, and before single tests, since these start the most processes and take the longest.
pytestmark = [pytest.mark.service, pytest.mark.xdist_group("up")]


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    folder.mkdir()
    yield folder
    # Processes remain only after a failed test.
    for process in processes_of(folder):
        process.kill()


def no_process_left(data_dir: Path) -> bool:
    return not processes_of(data_dir)


def test_up_starts_with_empty_folder_and_stops_everything(data_dir: Path) -> None:
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

    assert up.stop() == 0
    assert no_process_left(data_dir)


@pytest.mark.long
def test_up_recovers_from_killed_processes(data_dir: Path) -> None:
    up = Up(data_dir).await_ready()
    for times, part in enumerate(["server", "worker", "sentinel", "database"], 1):
        killed = _process_of(up, part)
        killed.kill()
        eventually(partial(_was_restarted, up, times), what=f"a restart after the end of the {part}")
        up.await_ready()

    # A database that cannot start, as on a full disk, is tried again until it can.
    eventually(partial(_has_child, up, "-D"), what="a new database process")
    up.await_ready()
    control = data_dir / "postgres" / "global" / "pg_control"
    hidden = control.rename(control.with_suffix(".hidden"))
    _process_of(up, "database").kill()
    eventually(lambda: "The next try is in" in up.output, what="a failed start of the database")
    hidden.rename(control)
    eventually(partial(_has_child, up, "-D"), what="a new database process")
    up.await_ready()

    worker = up.child("qcluster")
    orphans = worker.children(recursive=True)
    assert orphans
    # All parents are killed at once, so that no process can stop the children of the worker.
    server = up.child("config.runtime.asgi_server")
    os.kill(up.process.pid, signal.SIGSTOP)
    server.kill()
    worker.kill()
    up.kill9()

    up = Up(data_dir).await_ready()
    assert "Password" not in up.output, "the password is shown only at the first start"
    assert not any(process.is_running() for process in orphans)
    up.kill9()
    eventually(lambda: no_process_left(data_dir), what=f"the end of {processes_of(data_dir)}")


def _was_restarted(up: Up, times: int) -> bool:
    return up.output.count("restarted") == times


def _process_of(up: Up, part: str) -> psutil.Process:
    if part == "sentinel":
        # A starting worker briefly has other children, since its imports run programs.
        sentinel: psutil.Process = eventually(partial(_find_sentinel, up), what="the worker's sentinel")
        return sentinel
    return up.child({"server": "config.runtime.asgi_server", "worker": "qcluster", "database": "-D"}[part])


def _find_sentinel(up: Up) -> psutil.Process | None:
    with suppress(StopIteration, psutil.Error):
        return next((child for child in up.child("qcluster").children() if child.children()), None)
    return None


@pytest.mark.long
def test_repeatedly_killed_worker_does_not_stop_the_server(data_dir: Path) -> None:
    up = Up(data_dir).await_ready()
    server = up.child("config.runtime.asgi_server")
    for restarts in range(1, 6):
        eventually(partial(_has_child, up, "qcluster"))
        up.child("qcluster").kill()
        eventually(partial(_was_restarted, up, restarts))
    assert up.output.rstrip().endswith("it is restarted in 15 s.")
    assert server.is_running()
    health = httpx.get(f"{up.url}/readyz")
    assert (health.status_code, health.json()["worker"]) == (503, False)
    assert up.stop() == 0
    assert no_process_left(data_dir)


def test_restart_delay_of_a_service_is_at_most_a_minute() -> None:
    service = Service("worker", [], {})
    assert [service.restart_later(now=9.0) for _ in range(9)] == [0, 1, 3, 7, 15, 31, 60, 60, 60]
    assert service.restart_later(now=1000.0) == 0, "the delay is reset after the service has run for a while"


@pytest.mark.long
@pytest.mark.parametrize(("part", "service", "within"), [("server", "server", 60), ("sentinel", "worker", 90)])
def test_hanging_process_is_killed_and_restarted(data_dir: Path, part: str, service: str, within: float) -> None:
    up = Up(data_dir).await_ready()
    _process_of(up, part).suspend()
    eventually(lambda: f"The {service} does not answer" in up.output, within=within)
    up.await_ready()
    assert up.stop() == 0


@pytest.mark.long
def test_suspension_of_the_machine_restarts_no_process(data_dir: Path) -> None:
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


@pytest.mark.long
def test_killing_uv_stops_its_children(data_dir: Path) -> None:
    port, log = free_port(), data_dir.parent / "uv.log"
    admin = {"ADMIN_EMAIL": "Boss@Example.com", "ADMIN_PASSWORD": "correct horse battery"}
    with open(log, "wb") as output:
        uv = subprocess.Popen(
            ["uv", "run", "--no-sync", "manage.py", "up", "--no-worker", "--port", str(port)],
            cwd=ROOT,
            env=clean_environment(DATA_DIR=str(data_dir), **admin),
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
    eventually(lambda: no_process_left(data_dir))
