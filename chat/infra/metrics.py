"""Count and time what this process does, for `/metrics`.

No label holds text of people or an id: labels are statuses, areas of the site, and names of models that the operator
configured. With PROMETHEUS_MULTIPROC_DIR, which `up` sets, each process writes its values into a file of its own.
"""

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

# Seconds. A reply's first text takes from milliseconds (the offline model) to a minute (a model that thinks).
FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SLOW = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0)
TASK = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0)

MESSAGES = Counter("threadkeeper_messages_accepted", "Messages that were stored and acknowledged.")
TURNS = Counter("threadkeeper_turns", "Turns that ended or ask for a decision, by their status.", ["status"])
TURN = Histogram(
    "threadkeeper_turn_seconds", "Time from the acceptance of a message to the end of its turn.", buckets=SLOW
)
FIRST_DELTA = Histogram(
    "threadkeeper_first_delta_seconds",
    "Time from the acceptance of a message to the first text of its reply.",
    buckets=SLOW,
)
TOKENS = Counter("threadkeeper_model_tokens", "Tokens that models counted, by model and kind.", ["model", "kind"])
SOCKETS = Gauge("threadkeeper_sockets", "Open websockets.", multiprocess_mode="livesum")
STREAMS = Gauge("threadkeeper_streams", "Open streams of the API.", multiprocess_mode="livesum")
STORE = Histogram(
    "threadkeeper_session_store_seconds",
    "Time of a batch of reads or writes of the session store.",
    ["operation"],
    buckets=FAST,
)
EVENT_DELAY = Histogram(
    "threadkeeper_event_delay_seconds",
    "Time from an event of a turn in one server process to its arrival in another.",
    buckets=FAST,
)
REQUESTS = Histogram(
    "threadkeeper_http_request_seconds",
    "Time from a request to the start of its response, by area of the site and status.",
    ["area", "status"],
    buckets=FAST,
)
WORKER_TASKS = Histogram(
    "threadkeeper_worker_task_seconds",
    "Time of a task of the worker, by its function and result.",
    ["task", "result"],
    buckets=TASK,
)


@cache
def redis_connected() -> Gauge:
    """Return the gauge of a server process that is to be connected: 0 at first. Other processes have none."""
    return Gauge(
        "threadkeeper_redis_connected",
        "Whether each server process of this machine is connected to Redis: 1, or 0.",
        multiprocess_mode="livemin",
    )
