"""`/metrics` reports the metrics of all processes to clients with the token."""

import asyncio
import re
import uuid
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from chat.tests.live import open_socket, sign_in
from chat.tests.redis_server import RedisServer
from config.tests.support import ROOT, LiveDatabase, ServerProcess, eventually
from sessions_admin.schedules import MINUTELY
from sessions_admin.tests.live_worker import SCHEDULE_TIMEOUT, make_due, worker

TOKEN = "a token of Prometheus"


def scrape(server: ServerProcess) -> dict[str, float]:
    """Return the value of each sample, by its name and labels."""
    response = httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"].startswith("text/plain")
    samples = (sample for family in text_string_to_metric_families(response.text) for sample in family.samples)
    return {" ".join([name, *labels.values()]): value for name, labels, value, *_ in samples}


@pytest.mark.service
async def test_metrics_cover_all_processes(live_database: LiveDatabase, tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    make_due(live_database, MINUTELY)
    metrics = {"METRICS_TOKEN": TOKEN, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    with (
        RedisServer(tmp_path) as redis,
        worker(live_database, tmp_path, **metrics),
        ServerProcess(live_database, tmp_path, REDIS_URL=redis.url, **metrics) as server,
        ServerProcess(live_database, tmp_path, REDIS_URL=redis.url, **metrics) as other,
    ):
        assert httpx.get(f"{server.url}/metrics").status_code == 401
        assert httpx.get(f"{server.url}/metrics", headers=[(b"Authorization", b"Bearer \xe9")]).status_code == 401
        person = sign_in(server)
        async with (
            open_socket(server, person, uuid.uuid4()) as socket,
            open_socket(other, person, uuid.uuid4()) as second,
        ):
            await second.ready()
            accepted = await socket.accepted(await socket.message("Add a task to buy milk"))
            await socket.end_of(accepted["turn"]["id"])
            httpx.get(f"{other.url}/no-such-page")
            task = "threadkeeper_worker_task_seconds_count done look_after_runs"
            await asyncio.to_thread(
                eventually,
                lambda: scrape(server).get(task),
                within=SCHEDULE_TIMEOUT,
                what="the metric of the worker's task",
            )
            samples = scrape(other)
    expected = {
        "threadkeeper_messages_accepted_total": 1,
        "threadkeeper_turns_total done": 1,
        "threadkeeper_first_delta_seconds_count": 1,
        "threadkeeper_turn_seconds_count": 1,
        "threadkeeper_sockets": 2,
        "threadkeeper_redis_connected": 1,
        "threadkeeper_queue_depth": 0,
        "threadkeeper_sessions active": 1,
        "threadkeeper_oldest_turn_seconds queued": 0,
        "threadkeeper_workers": 1,
        "threadkeeper_abandoned_turns": 0,
        "threadkeeper_worker_queue_depth waiting": 0,
        task: 1,
        "threadkeeper_cleanup_last_success_timestamp_seconds": 0,
        "threadkeeper_backup_last_success_timestamp_seconds": 0,
        "threadkeeper_http_request_seconds_count pages 4xx": 1,
    }
    assert {name: samples.get(name) for name in expected} == expected
    for example in ("alerts.yml", "grafana.json"):
        named = set(re.findall(r"threadkeeper_\w+", (ROOT / "docs/examples" / example).read_text()))
        assert named <= {name.split()[0] for name in samples}


@pytest.mark.service
def test_metrics_are_disabled_without_a_token(server: ServerProcess) -> None:
    response = httpx.get(f"{server.url}/metrics", headers={"Authorization": "Bearer x"})
    assert response.status_code == 404
    assert response.json()["detail"] == "Set METRICS_TOKEN to serve metrics."
