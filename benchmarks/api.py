"""How long the API's threads take with 10,000 of them, and with 10,000 messages in one.

    uv run python -m benchmarks.api [--quick]

Prints the table that docs/explanation/benchmarks-at-scale.md keeps. Each is asked for in this process, so that it is
the server's time alone (token and middleware included): ten times before, then so often that a 95th percentile says
something.
"""

import os
import platform
import statistics
import sys
import time

from benchmarks.place import place, set_up

THREADS, MESSAGES = 10_000, 10_000
TIMES, QUICK_TIMES = 400, 60
GOAL = 50.0  # milliseconds, of the 95th percentile
PATH = "/api/chatkit/threads"
CONVERSATIONS = """
INSERT INTO chat_conversation (id, user_id, title, created_at, updated_at, last_seq, last_position, memory_from,
    pinned_at, archived_at)
SELECT gen_random_uuid(), %(user)s, 'Chat ' || n, now(), now() - n / 3 * interval '1 minute', 1, 2, 0,
    CASE WHEN n %% 500 = 0 THEN now() END, CASE WHEN n %% 50 = 1 THEN now() END
FROM generate_series(1, %(count)s) n
"""
LONGEST = """
UPDATE chat_conversation SET title = 'The longest', last_seq = %(turns)s, last_position = 2 * %(turns)s
WHERE id = %(id)s
"""
TURNS = """
INSERT INTO chat_turn (id, conversation_id, user_id, prompt_id, client_id, seq, status, attempt, text, items, warning,
    error_code, error_detail, accepted_at, started_at, ended_at)
SELECT gen_random_uuid(), c.id, c.user_id, gen_random_uuid(), gen_random_uuid(), n, 'done', 1, '', '[]', '', '', '',
    now() - n * interval '1 minute', now(), now()
FROM chat_conversation c, generate_series(1, c.last_seq) n
"""
SAID = """
INSERT INTO chat_message (id, conversation_id, turn_id, role, text, position, created_at)
SELECT CASE role WHEN 'user' THEN t.prompt_id ELSE gen_random_uuid() END, t.conversation_id, t.id, role,
    repeat('Some words about groceries and rent. ', 1 + (random() * 20)::int), 2 * t.seq - (role = 'user')::int,
    t.accepted_at
FROM chat_turn t, unnest(ARRAY['user', 'assistant']) role
"""
SESSIONS = """
INSERT INTO chat_agentsession (conversation_id, user_id, session_id, item_count, byte_count, pruned_count,
    first_activity_at, last_activity_at, last_error, hold_reason)
SELECT id, user_id, 'user_' || user_id || '_conv_' || id, 2, 200, 0, updated_at, updated_at, '', ''
FROM chat_conversation
"""


def main() -> None:
    """Measure and print."""
    times = QUICK_TIMES if "--quick" in sys.argv else TIMES
    with place(ALLOWED_HOSTS="testserver", API_REQUESTS_PER_MINUTE="1000000"):
        measure(times)


def measure(times: int) -> None:
    """Measure everything so many times."""
    set_up()
    from django.test import Client

    from chat.accounts import tokens
    from chat.conversations import threads
    from chat.models import User

    person = User.objects.create_user("somebody@example.com")
    longest = fill(str(person.pk))
    client = Client(headers={"Authorization": f"Bearer {tokens.make(user=person, name='b', scopes=['chat']).key}"})
    middle = threads.thread(user_id=person.pk, conversation_id=longest, limit=1).messages[0].id  # type: ignore[arg-type]
    after = client.get(f"{PATH}?limit=100").json()["after"]
    paths = {
        "threads, the first 50": PATH,
        "threads, 50 more": f"{PATH}?after={after}",
        "threads, all there are, 100": f"{PATH}?status=all&limit=100",
        "threads, the archived": f"{PATH}?status=archived",
        "a thread of 10,000 messages": f"{PATH}/{longest}",
        "50 older ones of it": f"{PATH}/{longest}?before={middle}",
        "100 older ones of it": f"{PATH}/{longest}?limit=100&before={middle}",
        "one message": f"{PATH}/{longest}/messages/{middle}",
        "search for a word that is everywhere": "/api/search?q=groceries",
        "search for one that is nowhere": "/api/search?q=zeppelin",
    }
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}; {THREADS:,} threads, {MESSAGES:,} messages in ")
    print(f"one; {times} times each; load {os.getloadavg()[0]:.1f}\n")
    print("| asked for | queries | ms | p95 |\n|---|---|---|---|")
    for name, path in paths.items():
        queries, took = asked(client, path, times if "search" not in name else 20)
        print(f"| {name} | {queries} | {statistics.median(took):.1f} | {statistics.quantiles(took, n=20)[-1]:.1f} |")
    print(f"\nThe goal: a 95th percentile of {GOAL:.0f} ms or less for the list and for a thread.")


def fill(user_id: str) -> object:
    """Write threads, turns, messages and the mirror of sessions; return the id of the longest thread."""
    from django.db import connection

    with connection.cursor() as cursor:
        # A turn and its message name each other: only both together are whole.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(CONVERSATIONS, {"user": user_id, "count": THREADS})
        cursor.execute("SELECT id FROM chat_conversation ORDER BY updated_at DESC, id DESC LIMIT 1")
        ((longest,),) = cursor.fetchall()
        cursor.execute(LONGEST, {"id": longest, "turns": MESSAGES // 2})
        for statement in (TURNS, SAID, SESSIONS):
            cursor.execute(statement)
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("VACUUM ANALYZE")
    return longest


def asked(client: "object", path: str, times: int) -> tuple[int, list[float]]:
    """Ask for something; return how many queries it takes, the token's among them, and the milliseconds of each."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    assert isinstance(client, Client)
    for _ in range(min(times // 2, 10)):
        client.get(path)
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.content)
    queries = len(captured)  # before the next request forgets them
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        client.get(path)
        took.append((time.perf_counter() - begun) * 1000)
    return queries, took


if __name__ == "__main__":
    main()
