"""Response time of the API with 10,000 threads, and with 10,000 messages in one of them.

    uv run python -m benchmarks.api [--quick]

Prints a table; docs/explanation/benchmarks-at-scale.md has a summary. Requests are made in this process, so that only
the server's time is measured (token and middleware included): ten to warm up, then enough for a 95th percentile.
"""

import os
import platform
import statistics
import sys
import time

from benchmarks.place import isolated_environment, set_up

THREADS, MESSAGES = 10_000, 10_000
TIMES, QUICK_TIMES = 400, 60
GOAL = 50.0  # milliseconds, of the 95th percentile
PATH = "/api/chatkit/threads"
INSERT_CONVERSATIONS = """
INSERT INTO chat_conversation (id, user_id, title, created_at, updated_at, last_seq, last_position, memory_from,
    pinned_at, archived_at)
SELECT gen_random_uuid(), %(user)s, 'Chat ' || n, now(), now() - n / 3 * interval '1 minute', 1, 2, 0,
    CASE WHEN n %% 500 = 0 THEN now() END, CASE WHEN n %% 50 = 1 THEN now() END
FROM generate_series(1, %(count)s) n
"""
UPDATE_LONGEST = """
UPDATE chat_conversation SET title = 'The longest', last_seq = %(turns)s, last_position = 2 * %(turns)s
WHERE id = %(id)s
"""
INSERT_TURNS = """
INSERT INTO chat_turn (id, conversation_id, user_id, prompt_id, client_id, seq, status, attempt, text, items, warning,
    error_code, error_detail, accepted_at, started_at, ended_at)
SELECT gen_random_uuid(), c.id, c.user_id, gen_random_uuid(), gen_random_uuid(), n, 'done', 1, '', '[]', '', '', '',
    now() - n * interval '1 minute', now(), now()
FROM chat_conversation c, generate_series(1, c.last_seq) n
"""
INSERT_MESSAGES = """
INSERT INTO chat_message (id, conversation_id, turn_id, role, text, position, created_at)
SELECT CASE role WHEN 'user' THEN t.prompt_id ELSE gen_random_uuid() END, t.conversation_id, t.id, role,
    repeat('Some words about groceries and rent. ', 1 + (random() * 20)::int), 2 * t.seq - (role = 'user')::int,
    t.accepted_at
FROM chat_turn t, unnest(ARRAY['user', 'assistant']) role
"""
INSERT_SESSIONS = """
INSERT INTO chat_agentsession (conversation_id, user_id, session_id, item_count, byte_count, pruned_count,
    first_activity_at, last_activity_at, last_error, hold_reason)
SELECT id, user_id, 'user_' || user_id || '_conv_' || id, 2, 200, 0, updated_at, updated_at, '', ''
FROM chat_conversation
"""


def main() -> None:
    """Measure and print."""
    times = QUICK_TIMES if "--quick" in sys.argv else TIMES
    with isolated_environment(ALLOWED_HOSTS="testserver", API_REQUESTS_PER_MINUTE="1000000"):
        measure(times)


def measure(times: int) -> None:
    """Measure each request this many times."""
    set_up()
    from django.test import Client

    from chat.accounts import tokens
    from chat.conversations import threads
    from chat.models import User

    user = User.objects.create_user("somebody@example.com")
    longest = fill(str(user.pk))
    client = Client(headers={"Authorization": f"Bearer {tokens.make(user=user, name='b', scopes=['chat']).key}"})
    middle = threads.thread(user_id=user.pk, conversation_id=longest, limit=1).messages[0].id  # type: ignore[arg-type]
    after = client.get(f"{PATH}?limit=100").json()["after"]
    paths = {
        "threads, the first 50": PATH,
        "threads, 50 more": f"{PATH}?after={after}",
        "threads, archived included, 100": f"{PATH}?status=all&limit=100",
        "threads, archived": f"{PATH}?status=archived",
        "a thread of 10,000 messages": f"{PATH}/{longest}",
        "50 older messages of it": f"{PATH}/{longest}?before={middle}",
        "100 older messages of it": f"{PATH}/{longest}?limit=100&before={middle}",
        "one message": f"{PATH}/{longest}/messages/{middle}",
        "search for a word in every message": "/api/search?q=groceries",
        "search for a word in no message": "/api/search?q=zeppelin",
    }
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}; {THREADS:,} threads, {MESSAGES:,} messages in ")
    print(f"one; {times} times each; load {os.getloadavg()[0]:.1f}\n")
    print("| request | queries | ms | p95 |\n|---|---|---|---|")
    for name, path in paths.items():
        queries, durations = measure_request(client, path, times if "search" not in name else 20)
        p95 = statistics.quantiles(durations, n=20)[-1]
        print(f"| {name} | {queries} | {statistics.median(durations):.1f} | {p95:.1f} |")
    print(f"\nThe goal: a 95th percentile of {GOAL:.0f} ms or less for the list and for a thread.")


def fill(user_id: str) -> object:
    """Write threads, turns, messages and session metadata; return the id of the longest thread."""
    from django.db import connection

    with connection.cursor() as cursor:
        # A turn and its message reference each other: no insertion order satisfies both foreign keys.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(INSERT_CONVERSATIONS, {"user": user_id, "count": THREADS})
        cursor.execute("SELECT id FROM chat_conversation ORDER BY updated_at DESC, id DESC LIMIT 1")
        ((longest,),) = cursor.fetchall()
        cursor.execute(UPDATE_LONGEST, {"id": longest, "turns": MESSAGES // 2})
        for statement in (INSERT_TURNS, INSERT_MESSAGES, INSERT_SESSIONS):
            cursor.execute(statement)
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("VACUUM ANALYZE")
    return longest


def measure_request(client: "object", path: str, times: int) -> tuple[int, list[float]]:
    """Request a path; return the number of queries, including the token's, and the time of each request in ms."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    assert isinstance(client, Client)
    for _ in range(min(times // 2, 10)):
        client.get(path)
    with CaptureQueriesContext(connection) as captured:
        response = client.get(path)
        assert response.status_code == 200, (path, response.status_code, response.content)
    queries = len(captured)  # before the next request resets them
    durations = []
    for _ in range(times):
        started = time.perf_counter()
        client.get(path)
        durations.append((time.perf_counter() - started) * 1000)
    return queries, durations


if __name__ == "__main__":
    main()
