"""What `/metrics` serves: the values of all processes of this machine, and the state of the database."""

import os
from collections.abc import Iterator

from django.utils import timezone
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from chat.models.turn import Status
from sessions_admin import audit
from sessions_admin.heartbeat import workers
from sessions_admin.metrics.histograms import FOLDER
from sessions_admin.metrics.objectives import count_abandoned
from sessions_admin.metrics.queue_health import unfinished_turns, worker_queue
from sessions_admin.metrics.stats import by_state
from sessions_admin.models import CleanupRun, RunStatus


class DatabaseState(Collector):
    """Gauges of the database's state: every server reports the same."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges. Raise DatabaseError."""
        now = timezone.now()
        unfinished = unfinished_turns()
        turns = _gauge("unfinished_turns", "Turns that have not ended.", "status")
        ages = _gauge("oldest_turn_seconds", "Age of the oldest turn that has not ended; 0 without one.", "status")
        for status, (n, oldest) in unfinished.items():
            turns.add_metric([status], n)
            ages.add_metric([status], (now - oldest).total_seconds() if oldest else 0)
        yield from (turns, ages, _gauge("queue_depth", "Queued turns.", value=unfinished[Status.QUEUED][0]))
        sessions = _gauge("sessions", "Agent sessions, by state.", "state")
        for count in by_state():
            sessions.add_metric([count.state], count.sessions)
        yield sessions
        name = "abandoned_turns"
        yield _gauge(name, "Turns that no process runs since a minute, nor has taken over.", value=count_abandoned())
        yield from _cleanups()
        backup = audit.last_backup()
        yield _gauge(
            "backup_last_success_timestamp_seconds",
            "When the last backup was made; 0 without one.",
            value=backup.timestamp() if backup else 0,
        )
        queue = worker_queue()
        tasks = _gauge(
            "worker_queue_depth", "Tasks of the worker: those that wait, and those that it has taken.", "state"
        )
        tasks.add_metric(["waiting"], queue.waiting)
        tasks.add_metric(["taken"], queue.taken)
        age = (now - queue.oldest_at).total_seconds() if queue.oldest_at else 0
        yield from (
            tasks,
            _gauge("worker_oldest_task_seconds", "Age of the oldest waiting task; 0 without one.", value=age),
        )
        yield _gauge("workers", "Workers that are running.", value=sum(worker.is_alive for worker in workers()))


def _cleanups() -> Iterator[GaugeMetricFamily]:
    last = CleanupRun.objects.filter(status=RunStatus.DONE, dry_run=False).order_by("-ended_at").first()
    ended, seconds, removed = (last.ended_at, last.duration, last.removed_sessions) if last else (None, None, 0)
    yield _gauge(
        "cleanup_last_success_timestamp_seconds",
        "When the last clean-up was done; 0 without one.",
        value=ended.timestamp() if ended else 0,
    )
    yield _gauge("cleanup_last_seconds", "How long it took.", value=seconds.total_seconds() if seconds else 0)
    yield _gauge("cleanup_last_removed_sessions", "How many sessions it removed.", value=removed)


def _gauge(name: str, documentation: str, *labels: str, value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"threadkeeper_{name}", documentation, value=value, labels=labels or None)


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format. Raise DatabaseError."""
    registry: CollectorRegistry = REGISTRY
    if os.environ.get(FOLDER):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    database = CollectorRegistry(auto_describe=False)
    database.register(DatabaseState())
    return generate_latest(registry) + generate_latest(database)
