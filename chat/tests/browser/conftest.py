"""A real browser against a real server.

While Playwright runs, it keeps an event loop running in this thread. Therefore it runs for the tests of one folder
only, and these tests query the database by SQL.
"""

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect, sync_playwright

from chat.tests.browser.fake_server import FakeServer
from config.tests.support import LiveDatabase, ServerProcess, database, eventually

# How long a step takes depends on the machine, not on the page.
expect.set_options(timeout=15_000)
# The headless shell renders every tab; in full Chromium each step in a background tab takes seconds.
CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",  # as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--process-per-site",  # starting a process for each page is slow
]
DESKTOP: dict[str, Any] = {
    "locale": "en-GB",
    "timezone_id": "Europe/Berlin",
    "viewport": {"width": 1280, "height": 800},
    # Animations are drawn by the processor here, and take most of its time.
    "reduced_motion": "reduce",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder; they share a browser and a server, and run in one process."""
    for item in items:
        if item.path.is_relative_to(os.path.dirname(__file__)):
            item.add_marker("browser")
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """A browser for all modules of this folder in a process, because it takes seconds to start."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        message = "there is no Chromium on this machine"
        if os.environ.get("THREADKEEPER_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(_migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for all modules of a process; each test adds its own users."""
    with database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url):
        process = ServerProcess(LiveDatabase(url), tmp_path_factory.mktemp("site"))
        yield process
        process.terminate()


@dataclass
class Visitor:
    """A user with a browser context; `page_errors` collects the errors and dialogs of their pages."""

    url: str
    database: LiveDatabase
    data_dir: Path
    context: BrowserContext
    email: str
    page_errors: list[str] = field(default_factory=list)

    def page(self, path: str | None = None) -> Page:
        """Open a tab."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.page_errors.append(str(error)))
        page.on("console", lambda line: self.page_errors.append(line.text) if line.type == "error" else None)
        page.on("dialog", self._dialog)
        if path is not None:
            page.goto(self.url + path)
        return page

    def _dialog(self, dialog: Dialog) -> None:
        self.page_errors.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def add_login_cookies(self) -> None:
        """Add the cookies of a login to the browser context."""
        cookies = self.database.log_in(self.email, self.data_dir)
        self.context.add_cookies([{"name": name, "value": value, "url": self.url} for name, value in cookies.items()])

    def open_new_chat(self) -> Page:
        """Sign in and open a new chat."""
        self.add_login_cookies()
        return self.page("/")

    def open_connected_chat(self) -> Page:
        """Sign in, open a new chat and wait until the page is connected."""
        page = self.open_new_chat()
        expect_state(page, "online")
        return page


class Person(Visitor):
    """A visitor whose server a test can query and restart."""

    def __init__(self, site: ServerProcess, context: BrowserContext, email: str) -> None:
        super().__init__(site.url, site.database, site.data_dir, context, email)
        self.site = site


def expect_state(page: Page, state: str) -> None:
    """Wait until the page shows a connection state."""
    expect(page.get_by_test_id("connection")).to_have_attribute("data-state", state)


def send_message(page: Page, text: str) -> str:
    """Send a message and return the text of the finished reply."""
    replies = page.locator('[data-testid="message"][data-role="assistant"]:not([data-streaming])')
    before = replies.count()
    page.get_by_test_id("composer").fill(text)
    page.get_by_test_id("composer").press("Enter")
    expect(replies).to_have_count(before + 1)
    return replies.last.inner_text()


def page_html(page: Page) -> str:
    """Return the HTML of the page's dynamic parts, without what changes with time alone."""
    html: str = page.evaluate(
        """() => ["#transcript", "#task-panel", "#conversation-list", "#title"].map((part) => {
            const copy = document.querySelector(part).cloneNode(true);
            copy.querySelectorAll(".conversation__time").forEach((time) => time.remove());
            copy.querySelectorAll(".task--updated").forEach((task) => task.classList.remove("task--updated"));
            return copy.outerHTML;
        }).join("\\n")"""
    )
    return html


def assert_same_html(page: Page, other: Page) -> None:
    """Wait until two tabs show the same HTML."""
    eventually(lambda: page_html(page) == page_html(other), what=f"{page_html(page)}\n{page_html(other)}")


def assert_same_after_reload(page: Page) -> None:
    """Wait until a new tab, and this tab after a reload, show the same HTML as this tab."""
    fresh = page.context.new_page()
    fresh.goto(page.url)
    expect_state(fresh, "online")
    assert_same_html(page, fresh)
    live = page_html(page)
    fresh.close()
    page.reload()
    expect_state(page, "online")
    # Elements that depend on the connection are rendered in the next frame.
    eventually(lambda: page_html(page) == live, what=f"{page_html(page)}\n{live}")


@pytest.fixture(scope="module")
def warm_context(chromium: Browser, site: ServerProcess) -> Iterator[BrowserContext]:
    """A context for a module, with the scripts in its cache and one process for all its pages.

    Pages store data per tab; each test has to remove its cookies.
    """
    context = chromium.new_context(**DESKTOP)
    context.new_page().goto(f"{site.url}/healthz")
    yield context
    context.close()


@pytest.fixture
def person(warm_context: BrowserContext, site: ServerProcess) -> Iterator[Person]:
    """A user with an account, in a browser where no other user is signed in."""
    email = f"{uuid.uuid4().hex[:8]}@example.com"
    site.database.add_user(email)
    visitor = Person(site, warm_context, email)
    yield visitor
    if visitor.context is not warm_context:
        visitor.context.close()
    for page in warm_context.pages[1:]:
        page.close()
    warm_context.clear_cookies()
    warm_context.clear_permissions()
    warm_context.set_offline(False)
    assert visitor.page_errors == []


@pytest.fixture
def phone(chromium: Browser, person: Person) -> Page:
    """A new chat on a phone, in dark colours."""
    options: dict[str, Any] = {"has_touch": True, "is_mobile": True, "color_scheme": "dark", "reduced_motion": "reduce"}
    person.context = chromium.new_context(viewport={"width": 390, "height": 844}, **options)
    return person.open_connected_chat()


@pytest.fixture
def fake_server(person: Person) -> FakeServer:
    """A page of a signed-in user; the test sends the frames of its socket."""
    person.add_login_cookies()
    page = person.page()
    server = FakeServer(page)
    page.route_web_socket(re.compile("/ws/chat/"), server.open)
    page.route(re.compile(r"/state/\?"), server.answer_state)
    page.goto(person.url + "/")
    expect_state(page, "online")
    return server
