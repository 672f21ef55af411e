"""Staff in a real browser, with everything that `up` starts."""

import os
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from chat.tests.browser.conftest import Visitor, chromium
from config.tests.support import LiveDatabase, Up, database, processes_of

__all__ = ["chromium"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, which share one site, and run them first: they take a minute."""
    own_items = [item for item in items if item.path.is_relative_to(os.path.dirname(__file__))]
    for item in own_items:
        item.add_marker("browser")
        item.add_marker("service")
        item.add_marker(pytest.mark.xdist_group("staff"))
    items[:] = own_items + [item for item in items if item not in own_items]


class Site:
    """A site started by `up`, and the visitors' browsers."""

    def __init__(self, up: Up, live_database: LiveDatabase, chromium: Browser) -> None:
        self.up = up
        self.url = up.url
        self.database = live_database
        self.people: list[Visitor] = []
        self._chromium = chromium

    def person(self, email: str, *, group: str | None = None) -> Visitor:
        """Add a user with a browser of their own; with `group`, staff with the permissions of that group."""
        user_id = self.database.add_user(email)
        if group is not None:
            self.database.query("UPDATE chat_user SET is_staff = true WHERE id = %s", user_id)
            join = "INSERT INTO chat_user_groups (user_id, group_id) SELECT %s, id FROM auth_group WHERE name = %s"
            self.database.query(join, user_id, group)
        context = self._chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 900})
        visitor = Visitor(self.url, self.database, self.up.data_dir, context, email)
        self.people.append(visitor)
        return visitor


@pytest.fixture(scope="package")
def _up(_migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Up, LiveDatabase]]:
    data_dir = tmp_path_factory.mktemp("staff") / "data"
    data_dir.mkdir()
    with database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url):
        up = Up(data_dir, DATABASE_URL=url)
        try:
            yield up.await_ready(), LiveDatabase(url)
        finally:
            # As Ctrl-C stops it, the worker included.
            assert up.stop(signal.SIGINT) == 0
            assert not processes_of(data_dir)


@pytest.fixture
def site(_up: tuple[Up, LiveDatabase], chromium: Browser) -> Iterator[Site]:
    """The site that all tests of this folder share, its worker included."""
    site = Site(*_up, chromium)
    yield site
    for person in site.people:
        person.context.close()
    assert [person.page_errors for person in site.people if person.page_errors] == []
