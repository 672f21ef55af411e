"""Checks of a conversation whose turns have ended, whatever happened to the server processes before."""

import json
import sqlite3
import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from chat.memory.identity import SessionId
from chat.memory.items import Item, faults, is_user_message, window
from chat.tests.page import Page
from chat.tests.scripted_orders import COMPLETE, CREATE, UPDATE, Order, OrderTaker
from config.tests.support import LiveDatabase, eventually


@dataclass(frozen=True)
class Conversation:
    """A conversation: its database, its session store and the limit of its session's items."""

    database: LiveDatabase
    sessions: Path | None  # the session file; without one, the sessions are in the database
    user_id: uuid.UUID
    id: uuid.UUID
    limit: int = 200

    def check(self, orders: Sequence[Order], model: OrderTaker, *pages: Page, failed: Collection[Order] = ()) -> None:
        """Check that each order was carried out once, in order, and that session and pages show it.

        For orders given up, since too many processes ended during them, only check that nothing happened twice.
        """
        self.check_messages(orders, failed)
        for order in orders:
            self.check_tools(order, in_part=order in failed)
            self.check_steps(order, model, in_part=order in failed)
        if orders and orders[-1] in failed:
            assert faults(self.session_items()) == {}  # the next turn rebuilds it from the record
        else:
            self.check_session()
        for page in pages:
            self.check_page(page)

    # -- the record

    def failed_orders(self, orders: Sequence[Order]) -> list[Order]:
        """Return the orders whose turns failed because too many processes ended during them."""
        rows = self.database.query(
            "SELECT p.text FROM chat_turn t JOIN chat_message p ON p.id = t.prompt_id"
            " WHERE t.conversation_id = %s AND t.status = 'failed' AND t.error_code = 'cut_off'",
            self.id,
        )
        texts = {text for (text,) in rows}
        return [order for order in orders if order.message in texts]

    def check_messages(self, orders: Sequence[Order], failed: Collection[Order] = ()) -> None:
        """Check that each message is stored once and answered once, in the order of sending."""
        turns = self.database.query(
            "SELECT p.text, t.status, t.error_code, r.text FROM chat_turn t JOIN chat_message p ON p.id = t.prompt_id"
            " LEFT JOIN chat_message r ON r.turn_id = t.id AND r.role = 'assistant'"
            " WHERE t.conversation_id = %s ORDER BY t.seq",
            self.id,
        )
        assert turns == [
            (order.message, "failed", "cut_off", None) if order in failed else (order.message, "done", "", order.reply)
            for order in orders
        ]
        messages = self.database.query(
            "SELECT position, role, text FROM chat_message WHERE conversation_id = %s ORDER BY position", self.id
        )
        assert [position for position, _, _ in messages] == list(range(1, 2 * len(orders) - len(failed) + 1)), (
            "the positions have gaps"
        )
        assert [text for _, role, text in messages if role == "user"] == [order.message for order in orders]

    def check_tools(self, order: Order, *, in_part: bool = False) -> None:
        """Check that each call is in the journal once, and each effect in the task list once."""
        calls = self.database.query(
            "SELECT c.name, c.arguments, c.output, c.before FROM chat_toolcall c JOIN chat_turn t ON t.id = c.turn_id"
            " JOIN chat_message p ON p.id = t.prompt_id WHERE t.conversation_id = %s AND p.text = %s",
            self.id,
            order.message,
        )
        names = Counter(name for name, _, _, _ in calls)
        titles = Counter(arguments["title"] for name, arguments, _, _ in calls if name == CREATE)
        assert names <= Counter(order.calls) and titles <= Counter(order.titles)
        assert in_part or (names, titles) == (Counter(order.calls), Counter(order.titles))
        assert all(json.loads(output)["ok"] for _, _, output, _ in calls), calls
        before = {name: before_state for name, _, _, before_state in calls}
        assert COMPLETE not in before or not before[COMPLETE]["is_completed"], "the task was changed twice"
        assert UPDATE not in before or before[UPDATE]["priority"] == "normal", "the task was changed twice"

        tasks = self.database.query(
            "SELECT title, completed_at IS NOT NULL, priority FROM chat_task WHERE user_id = %s AND title LIKE %s",
            self.user_id,
            f"{order.name} %",
        )
        assert Counter(title for title, _, _ in tasks) == titles
        assert sum(is_completed for _, is_completed, _ in tasks) == names[COMPLETE]
        assert sum(priority == 3 for _, _, priority in tasks) == names[UPDATE]

    def check_steps(self, order: Order, model: OrderTaker, *, in_part: bool = False) -> None:
        """Check that no response was requested again once it was in the journal."""
        steps: dict[int, datetime] = dict(
            self.database.query(
                "SELECT s.n, s.created_at FROM chat_turnstep s JOIN chat_turn t ON t.id = s.turn_id"
                " JOIN chat_message p ON p.id = t.prompt_id"
                " WHERE t.conversation_id = %s AND p.text = %s AND NOT s.is_void",
                self.id,
                order.message,
            )
        )
        assert in_part or sorted(steps) == list(range(1, len(order.steps) + 2))
        requests = [request for request in model.requests if request.name == order.name]
        repeated = [request for request in requests if request.n in steps and request.at > steps[request.n]]
        assert not repeated, f"requested again although complete: {repeated}"

    # -- the session

    def check_session(self) -> None:
        """Check that the session is intact and equals the end of the record, within its limit."""
        items, recorded = self.session_items(), self.recorded_items()
        assert faults(items) == {}
        assert items == recorded[len(recorded) - len(items) :], self.database.query(
            "SELECT seq, status, attempt, warning FROM chat_turn WHERE conversation_id = %s ORDER BY seq", self.id
        )
        assert is_user_message(items[0])
        assert window(items, self.limit) == window(recorded, self.limit), "the session was pruned too much"

    def check_metadata(self) -> None:
        """Check that the session's metadata in the admin is correct once the last turn's session is pruned."""
        eventually(
            lambda: self.stored_counts() == self.actual_counts(),
            what=f"{self.stored_counts()} of {self.actual_counts()}",
        )

    def stored_counts(self) -> list[tuple[int, int]]:
        """Return the session's item count and pruned count in the admin's metadata."""
        counts: list[tuple[int, int]] = self.database.query(
            "SELECT item_count, pruned_count FROM chat_agentsession WHERE conversation_id = %s", self.id
        )
        return counts

    def actual_counts(self) -> list[tuple[int, int]]:
        """Return the same counts from the session store and the record."""
        item_count, total = len(self.session_items()), len(self.recorded_items())
        return [(item_count, total - item_count)]

    def session_items(self) -> list[Item]:
        """Return the items in the session store."""
        rows = self.session_rows("SELECT message_data FROM agent_messages WHERE session_id = ? ORDER BY id")
        return [json.loads(data) for (data,) in rows]

    def session_rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement with the session's id in the session store; return its rows."""
        session_id = str(SessionId(self.user_id, self.id))
        if self.sessions is None:
            return self.database.query(statement.replace("?", "%s"), session_id)
        with closing(sqlite3.connect(f"file:{self.sessions}?mode=ro", uri=True, timeout=30)) as file:
            return file.execute(statement, (session_id,)).fetchall()

    def recorded_items(self) -> list[Item]:
        """Return the items that the record has for the session."""
        turns: list[tuple[list[Any]]] = self.database.query(
            "SELECT items FROM chat_turn WHERE conversation_id = %s ORDER BY seq", self.id
        )
        return [item for (items,) in turns for item in items]

    # -- the pages

    def check_page(self, page: Page) -> None:
        """Check that a page shows every turn that it follows as stored."""
        stored = {
            str(turn_id): (status, text)
            for turn_id, status, text in self.database.query(
                "SELECT t.id, t.status, r.text FROM chat_turn t"
                " LEFT JOIN chat_message r ON r.turn_id = t.id AND r.role = 'assistant' WHERE t.conversation_id = %s",
                self.id,
            )
        }
        assert not page.wrong, page.wrong
        for turn_id, shown in page.turns.items():
            assert (shown.status, shown.reply) == stored[turn_id]
            assert shown.reply is None or shown.text == shown.reply, "the streamed text differs from the reply"
        duplicates = [turn for turn, times in Counter(page.accepted.values()).items() if times > 1]
        assert not duplicates, f"two messages were accepted as one: {duplicates}"
