"""Response time of ChatKit's list requests with 10,000 conversations of one user and 10,000 messages in one of them.

    uv run python -m benchmarks.chatkit_lists

Makes full requests (token, throttle, endpoint) in this process, with a PostgreSQL of its own. Prints a table, which
includes the processor time of this process; docs/explanation/benchmarks-at-scale.md has a summary.
"""

import argparse
import asyncio
import json
import statistics
import time
import uuid
from datetime import datetime, timedelta
from itertools import islice, pairwise
from typing import Any

from benchmarks.place import isolated_environment, set_up

MANY = 10_000
TARGET = 0.050  # seconds


def fill() -> tuple[str, str, str]:
    """Fill the database; return a token's key, the id of the long conversation, and of an item in its middle."""
    from django.db import connection, transaction
    from django.utils import timezone

    from chat.accounts import tokens
    from chat.models import Conversation, Message, ToolCall, Turn, User
    from chat.models.token import Scope

    user = User.objects.create_user("reader@example.com")
    now = timezone.now()
    rows = [Conversation(user=user, title=f"Chat {n}", updated_at=now - timedelta(minutes=n)) for n in range(MANY)]
    Conversation.objects.bulk_create(rows, batch_size=1000)
    long = rows[0]
    turns: list[Turn] = []
    messages: list[Message] = []
    for n in range(MANY // 2):
        turn, at = _turn(long, n + 1, now)
        turns.append(turn)
        messages.append(turn.prompt)
        messages.append(
            Message(
                conversation=long, turn=turn, role="assistant", text="Done. " * 40, position=2 * n + 2, created_at=at
            )
        )
    with transaction.atomic():  # turns and messages reference each other
        Turn.objects.bulk_create(turns, batch_size=1000)
        Message.objects.bulk_create(messages, batch_size=1000)
    calls = [ToolCall(turn=turn, call_id="c", name="list_tasks", arguments={}, output="{}") for turn in turns]
    ToolCall.objects.bulk_create(calls, batch_size=1000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    key = tokens.make(user=user, name="reader", scopes=[Scope.CHAT]).key
    return key, str(long.pk), str(messages[MANY // 2].pk)


def _turn(long: Any, seq: int, now: datetime) -> tuple[Any, datetime]:
    from chat.models import Message, Turn

    at = now + timedelta(seconds=seq)
    turn = Turn(conversation=long, user=long.user, client_id=uuid.uuid4(), seq=seq, status="done")
    turn.accepted_at = turn.ended_at = at
    turn.prompt = Message(
        conversation=long, turn=turn, role="user", text="What is next?", position=2 * seq - 1, created_at=at
    )
    return turn, at


async def measure(key: str, requests: dict[str, dict[str, Any]], times: int) -> bool:
    """Send each request this many times; print the table, and return whether all meet the target."""
    from django.test import AsyncClient

    client, is_met = AsyncClient(), True
    print("| request | median, ms | p95, ms | maximum, ms | processor, ms |\n|---|---|---|---|---|")
    for name, request in requests.items():
        timestamps, processor = [time.perf_counter()], time.process_time()
        for _ in range(times + 5):
            response = await client.post(
                "/api/chatkit",
                json.dumps(request),
                content_type="application/json",
                headers={"Authorization": f"Bearer {key}"},
            )
            assert response.status_code == 200, response.content
            timestamps.append(time.perf_counter())
        processor = (time.process_time() - processor) / (times + 5)
        durations = sorted(after - before for before, after in islice(pairwise(timestamps), 5, None))
        figures = statistics.median(durations), durations[int(len(durations) * 0.95)], durations[-1], processor
        is_met &= figures[1] <= TARGET
        print(f"| {name} | " + " | ".join(f"{figure * 1000:.1f}" for figure in figures) + " |")
    return is_met


def main() -> None:
    """Fill the database, measure, and print whether the target is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=200)
    times = parser.parse_args().times
    with isolated_environment(
        durable=False, API_REQUESTS_PER_MINUTE="1000000", ALLOWED_HOSTS="*", DATABASE_POOL_SIZE="4"
    ):
        set_up()
        key, thread, item = fill()
        first = {"thread_id": thread, "limit": 50}
        measured_requests: dict[str, dict[str, Any]] = {
            "threads.list, of 10,000": {"type": "threads.list", "params": {"limit": 50}},
            "the next page": {"type": "threads.list", "params": {"limit": 50, "after": thread}},
            "items.list, of 10,000 messages": {"type": "items.list", "params": first},
            "from its middle": {"type": "items.list", "params": {**first, "after": item}},
            "threads.get_by_id": {"type": "threads.get_by_id", "params": {"thread_id": thread}},
        }
        is_met = asyncio.run(measure(key, measured_requests, times))
    print(f"p95 of at most {TARGET * 1000:.0f} ms: {'yes' if is_met else 'NO'}")


if __name__ == "__main__":
    main()
