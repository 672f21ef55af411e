"""Count and time what this process does, for `/metrics`.

No label holds text of people or an id: labels are statuses, areas of the site, and names of models that the operator
configured. With PROMETHEUS_MULTIPROC_DIR, which `up` sets, each process writes its values into a file of its own.
"""

from prometheus_client import Counter, Gauge, Histogram

# Seconds. A reply's first text takes from milliseconds (the offline model) to a minute (a model that thinks).
FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SLOW = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0)

MESSAGES = Counter("threadkeeper_messages_accepted", "Messages that were stored and acknowledged.")
TURNS = Counter("threadkeeper_turns_ended", "Turns that ended or ask for a decision, by their status.", ["status"])
FIRST_TEXT = Histogram(
    "threadkeeper_turn_first_text_seconds",
    "Time from the acceptance of a message to the first text of its reply.",
    buckets=SLOW,
)
DURATION = Histogram(
    "threadkeeper_turn_seconds", "Time from the acceptance of a message to the end of its turn.", buckets=SLOW
)
TOKENS = Counter("threadkeeper_model_tokens", "Tokens that models counted, by model and kind.", ["model", "kind"])
CONNECTIONS = Gauge(
    "threadkeeper_connections_open",
    "Open connections: sockets, and streams of the API.",
    ["kind"],
    multiprocess_mode="livesum",
)
REQUESTS = Histogram(
    "threadkeeper_http_request_seconds",
    "Time from a request to the start of its response, by area of the site and status.",
    ["area", "status"],
    buckets=FAST,
)
