"""Response time and number of queries of the admin's pages with 100,000 sessions.

    uv run python -m benchmarks.admin_pages [--quick]

Prints the table of docs/explanation/benchmarks-at-scale.md. The pages are requested in this process, so that only the
server's time is measured: one request to warm up, then the median of seven.
"""

import os
import platform
import statistics
import sys
import time

from benchmarks.cleanup_given import fill_metadata, make_sessions
from benchmarks.place import isolated_environment, set_up

SESSIONS = 100_000
TIMES = 7
TURNS = """
INSERT INTO chat_turn (id, conversation_id, user_id, prompt_id, client_id, seq, status, attempt, text, items, warning,
    error_code, error_detail, accepted_at, started_at, ended_at)
SELECT gen_random_uuid(), c.id, c.user_id, gen_random_uuid(), gen_random_uuid(), n,
    CASE WHEN random() < 0.01 THEN 'failed' ELSE 'done' END, 1, '', '[]', '', '', '',
    c.updated_at - n * interval '1 minute', c.updated_at, c.updated_at
FROM chat_conversation c, generate_series(1, 3) n
"""
MESSAGES = """
INSERT INTO chat_message (id, conversation_id, turn_id, role, text, position, created_at)
SELECT CASE role WHEN 'user' THEN t.prompt_id ELSE gen_random_uuid() END, t.conversation_id, t.id, role, 'Buy milk',
    2 * t.seq - (role = 'user')::int, t.accepted_at
FROM chat_turn t, unnest(ARRAY['user', 'assistant']) role
"""
HELD = "UPDATE chat_agentsession SET held_at = now(), hold_reason = 'A dispute' WHERE id % 1000 = 0"
SESSIONS_PAGE = "/admin/chat/agentsession/"


def main() -> None:
    """Measure and print."""
    count = SESSIONS // 10 if "--quick" in sys.argv else SESSIONS
    with isolated_environment(ALLOWED_HOSTS="testserver"):
        measure(count)


def measure(count: int) -> None:
    """Measure with this many sessions."""
    set_up()
    from django.test import Client

    from chat.models import AgentSession, User

    fill(count)
    client = Client()
    client.force_login(User.objects.create_superuser("boss@example.com"), "django.contrib.auth.backends.ModelBackend")
    session = AgentSession.objects.order_by("pk")[count // 2]
    pages = {
        "dashboard": "/admin/",
        "list": SESSIONS_PAGE,
        "list, page 100": f"{SESSIONS_PAGE}?p=100",
        **{f"state {state}": f"{SESSIONS_PAGE}?state={state}" for state in ("due", "held", "quarantined")},
        "search by e-mail address": f"{SESSIONS_PAGE}?q={session.user.email}",
        "search by title": f"{SESSIONS_PAGE}?q=Party",
        "search by session id": f"{SESSIONS_PAGE}?q={session.session_id}",
        "sorted by size": f"{SESSIONS_PAGE}?o=-5",
        "one session": f"{SESSIONS_PAGE}{session.pk}/change/",
        "clean-up form": "/admin/sessions_admin/cleanuprun/run/",
    }
    print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}; {count:,} sessions, {3 * count:,} turns, ", end=""
    )
    print(f"{6 * count:,} messages; load {os.getloadavg()[0]:.1f}\n")
    print("| page | queries | ms |\n|---|---|---|")
    for name, path in pages.items():
        queries, milliseconds = measure_page(client, path)
        print(f"| {name} | {queries} | {milliseconds:.0f} |")


def fill(count: int) -> None:
    """Write users, conversations, turns, messages and session metadata."""
    from django.db import connection

    fill_metadata(make_sessions(count), os.environ["DATABASE_URL"])
    with connection.cursor() as cursor:
        # A turn and its message reference each other: no insertion order satisfies both foreign keys.
        cursor.execute("SET session_replication_role = replica")
        for statement in (TURNS, MESSAGES, HELD):
            cursor.execute(statement)
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("VACUUM ANALYZE")


def measure_page(client: "object", path: str) -> tuple[int, float]:
    """Request a page; return the number of queries, and the median time in milliseconds."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    assert isinstance(client, Client)
    with CaptureQueriesContext(connection) as captured:
        response = client.get(path)
        assert response.status_code == 200, (path, response.status_code)
    queries = len(captured)  # before the next request resets them
    times = []
    for _ in range(TIMES):
        started = time.perf_counter()
        client.get(path)
        times.append(time.perf_counter() - started)
    return queries, statistics.median(times) * 1000


if __name__ == "__main__":
    main()
