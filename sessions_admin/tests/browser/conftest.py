"""Staff at a real browser, before all that `up` starts."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from chat.tests.browser.conftest import Visitor, chromium
from config.runtime.embedded_postgres import url_of
from config.tests.support import LiveDatabase, Up

__all__ = ["chromium"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder, and begin with them: each takes a minute."""
    here = [item for item in items if item.path.is_relative_to(os.path.dirname(__file__))]
    for item in here:
        item.add_marker("browser")
        item.add_marker("service")
    items[:] = here + [item for item in items if item not in here]


class Site:
    """All that `up` starts, and people who come to it."""

    def __init__(self, up: Up, chromium: Browser, stack: ExitStack) -> None:
        self.up = up
        self.url = up.url
        self.database = LiveDatabase(url_of(up.data_dir / "postgres"))
        self._chromium = chromium
        self._stack = stack
        self.people: list[Visitor] = []

    def person(self, email: str, *, group: str | None = None) -> Visitor:
        """Let somebody in at a browser of their own, who is staff with a group's rights where one is named."""
        user_id = self.database.add_user(email)
        if group is not None:
            self.database.query("UPDATE chat_user SET is_staff = true WHERE id = %s", user_id)
            join = "INSERT INTO chat_user_groups (user_id, group_id) SELECT %s, id FROM auth_group WHERE name = %s"
            self.database.query(join, user_id, group)
        context = self._chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 900})
        self._stack.callback(context.close)
        someone = Visitor(self.url, self.database, self.up.data_dir, context, email)
        self.people.append(someone)
        return someone


@pytest.fixture
def site(chromium: Browser, tmp_path: Path) -> Iterator[Site]:
    """An empty data folder on which `up` was run, its worker included."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    with ExitStack() as stack:
        up = Up(data_dir)
        stack.callback(up.stop)
        up.await_ready()
        site = Site(up, chromium, stack)
        yield site
    assert [person.faults for person in site.people if person.faults] == []
