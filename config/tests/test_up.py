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
from config.tests.support import ROOT, Up, clean_environment, embedded_answers, eventually, free_port, processes_of, run

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


@pytest.fixture(scope="session")
def _used_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("used") / "data"
    folder.mkdir()
    assert Up(folder, "--no-worker").await_started().stop() == 0
    return folder


@pytest.fixture
def used_folder(data_dir: Path, _used_folder: Path) -> Path:
    """A data folder that `up` has prepared before: it starts in half the time."""
    # With its owners: PostgreSQL runs as another user than root.
    subprocess.run(["cp", "-a", f"{_used_folder}/.", data_dir], check=True)
    return data_dir


def nothing_left(data_dir: Path) -> bool:
    return not processes_of(data_dir)


def test_an_empty_folder_becomes_a_running_chat_twice_in_a_row(data_dir: Path) -> None:
    first = Up(data_dir).await_ready()
    assert httpx.get(f"{first.url}/healthz").json()["status"] == "ok"
    assert "<form" in httpx.get(f"{first.url}/accounts/login/").text
    assert first.child("qcluster").nice() > first.child("config.runtime.asgi_server").nice()
    assert re.search(r"Admin +admin@localhost\n +Password +\S{16}", first.output)
    assert first.stop() == 0
    assert nothing_left(data_dir)
    assert "Traceback" not in first.output

    second = Up(data_dir).await_ready()
    assert "Password" not in second.output, "the first sign-in is shown once"
    assert second.stop(signal.SIGINT) == 0
    assert nothing_left(data_dir)


def test_the_admin_is_the_one_that_the_environment_names(data_dir: Path) -> None:
    up = Up(data_dir, "--no-worker", ADMIN_EMAIL="Boss@Example.com", ADMIN_PASSWORD="correct horse battery")
    eventually(lambda: "Ctrl-C" in up.output, within=60)
    assert "boss@example.com" in up.output
    assert "correct horse" not in up.output
    assert httpx.get(f"{up.url}/readyz").json()["worker"] is False
    assert up.stop() == 0


def test_only_one_runs_in_a_folder_and_commands_beside_it_use_its_database(used_folder: Path) -> None:
    up = Up(used_folder, "--no-worker")
    eventually(lambda: "Ctrl-C" in up.output, within=60)

    other = Up(used_folder)
    assert other.process.wait(30) == 1
    assert other.output.endswith(f"Threadkeeper is already running in {used_folder} (process {up.process.pid}).\n")

    count = "from chat.models import User; print(User.objects.count())"
    beside = run("manage.py", "shell", "--no-imports", "-c", count, DATA_DIR=str(used_folder))
    assert beside.stdout == "1\n", beside.stderr
    assert up.process.poll() is None
    assert embedded_answers(used_folder)
    assert up.stop() == 0


def test_every_part_that_is_killed_is_started_again(used_folder: Path) -> None:
    up = Up(used_folder).await_ready()
    for count, part in enumerate(["server", "worker", "sentinel", "database"], 1):
        victim = _part(up, part)
        victim.kill()
        eventually(partial(_said_again, up, count), what=f"a word about the {part}")
        up.await_ready()
    assert up.stop() == 0
    assert nothing_left(used_folder)


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


def test_after_a_kill_of_all_the_next_one_works_and_nothing_is_left(used_folder: Path) -> None:
    up = Up(used_folder).await_ready()
    worker = up.child("qcluster")
    left_alone = worker.children(recursive=True)
    assert left_alone
    # With their parents gone at once, nobody can tell the worker's own children to stop.
    server = up.child("config.runtime.asgi_server")
    os.kill(up.process.pid, signal.SIGSTOP)
    server.kill()
    worker.kill()
    up.kill9()

    again = Up(used_folder).await_ready()
    assert not any(process.is_running() for process in left_alone)
    assert again.stop() == 0
    assert nothing_left(used_folder)


def test_after_a_kill_of_up_itself_everything_ends(used_folder: Path) -> None:
    up = Up(used_folder).await_ready()
    up.kill9()
    eventually(lambda: nothing_left(used_folder), what=f"the end of {processes_of(used_folder)}")
    assert Up(used_folder).await_ready().stop() == 0


def test_a_worker_that_dies_again_and_again_never_ends_the_server(used_folder: Path) -> None:
    up = Up(used_folder).await_ready()
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
    assert nothing_left(used_folder)


def test_a_service_that_dies_is_started_after_a_minute_at_most() -> None:
    service = Service("worker", [], {})
    assert [service.restart_later(now=9.0) for _ in range(9)] == [0, 1, 3, 7, 15, 31, 60, 60, 60]
    assert service.restart_later(now=1000.0) == 0, "it has lived for a while"


@pytest.mark.long
@pytest.mark.parametrize(("part", "service", "within"), [("server", "server", 60), ("sentinel", "worker", 90)])
def test_a_part_that_hangs_is_ended_and_started_again(
    used_folder: Path, part: str, service: str, within: float
) -> None:
    up = Up(used_folder).await_ready()
    _part(up, part).suspend()
    eventually(lambda: f"The {service} does not answer" in up.output, within=within)
    up.await_ready()
    assert up.stop() == 0


@pytest.mark.long
def test_after_a_suspension_of_the_machine_nothing_is_ended(used_folder: Path) -> None:
    up = Up(used_folder).await_ready()
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


def test_who_kills_uv_ends_what_it_runs(used_folder: Path) -> None:
    port = free_port()
    with open(used_folder.parent / "uv.log", "wb") as output:
        uv = subprocess.Popen(
            ["uv", "run", "--no-sync", "manage.py", "up", "--no-worker", "--port", str(port)],
            cwd=ROOT,
            env=clean_environment(DATA_DIR=str(used_folder)),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    eventually(lambda: b"Ctrl-C" in (used_folder.parent / "uv.log").read_bytes(), within=60)
    os.kill(uv.pid, signal.SIGKILL)
    uv.wait()
    eventually(lambda: nothing_left(used_folder))
