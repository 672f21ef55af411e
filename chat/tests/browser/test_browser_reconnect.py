"""Pages that are closed, reloaded, offline or suspended during a reply end up like a newly opened page."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import psutil
import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from chat.tests.browser.conftest import DESKTOP, Person, expect_state, page_html
from chat.tests.model_server import text_reply
from chat.tests.model_server.threaded import ThreadedModelServer
from config.tests.support import LiveDatabase, ServerProcess, database, eventually, free_port

WORDS = [f"word{n} " for n in range(120)] + ["and the *end* 🧵."]
STORY = "".join(WORDS)


@pytest.fixture(scope="module")
def model_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def site(_migrated_template: str, tmp_path_factory: pytest.TempPathFactory, model_port: int) -> Iterator[ServerProcess]:
    """A server whose model streams as fast as a test allows."""
    with database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url):
        model = {"OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1", "AGENT_GUARDRAIL": "off"}
        process = ServerProcess(LiveDatabase(url), tmp_path_factory.mktemp("tabs"), **model)
        yield process
        process.terminate()


@pytest.fixture
def model(model_port: int) -> Iterator[ThreadedModelServer]:
    """A model server that streams the story and pauses in it."""
    with ThreadedModelServer(port=model_port) as server:
        server.always(text_reply(*WORDS))
        server.pause()
        yield server


def start_story(page: Page, model: ThreadedModelServer, words: int = 40) -> None:
    """Request the story and pause it after this many words."""
    model.release(words)
    page.get_by_test_id("composer").fill("Tell me a story")
    page.get_by_test_id("composer").press("Enter")
    expect_words(page, words)


def expect_words(page: Page, words: int) -> None:
    """Wait until the streaming reply ends with this number of words."""
    growing = page.locator('[data-testid="message"][data-role="assistant"][data-streaming]')
    expect(growing).to_have_text(re.compile(rf"word{words - 1}\s*$"))


def expect_end(page: Page) -> None:
    """Wait until the page shows the complete reply."""
    reply = page.locator('[data-testid="message"][data-role="assistant"]')
    expect(reply).to_have_count(1)
    expect(reply).not_to_have_attribute("data-streaming", "")
    expect(reply.locator(".message__text")).to_have_text(STORY.replace("*", "").strip())
    expect(reply.locator("em")).to_have_text("end")
    expect_state(page, "online")


def expect_as_fresh(person: Person, page: Page) -> None:
    """Check that a page shows the same as a newly opened one."""
    expect_end(page)
    fresh = person.page(page.url.removeprefix(person.site.url))
    expect_end(fresh)
    eventually(lambda: page_html(page) == page_html(fresh), what=f"{page_html(page)}\n{page_html(fresh)}")
    fresh.close()


def another_tab(person: Person, page: Page) -> Page:
    """Open the conversation of the page in another tab."""
    tab = person.page(page.url.removeprefix(person.site.url))
    expect_state(tab, "online")
    return tab


def check_answered_once(
    person: Person, page: Page, requests: int = 1, model: ThreadedModelServer | None = None
) -> None:
    """Check that the database has one answer, and the number of model requests."""
    turns = person.site.database.query(
        "SELECT t.status, m.text FROM chat_turn t JOIN chat_message m ON m.turn_id = t.id AND m.role = 'assistant'"
        " WHERE t.conversation_id = %s",
        page.url.rstrip("/").rsplit("/", 1)[1],
    )
    assert turns == [("done", STORY)]
    assert model is None or len(model.requests) == requests


def ignore_network_errors(person: Person) -> None:
    """Ignore the errors that the browser itself logs when the network or the server is down."""
    network_error = re.compile(
        "ERR_(CONNECTION_REFUSED|INTERNET_DISCONNECTED|NETWORK_CHANGED|CONNECTION_RESET|EMPTY_RESPONSE)"
    )
    person.page_errors[:] = [fault for fault in person.page_errors if not network_error.search(fault)]


@pytest.mark.long
def test_second_tab_follows_the_reply_after_first_closes_and_a_reload(
    person: Person, model: ThreadedModelServer
) -> None:
    first = person.open_connected_chat()
    start_story(first, model, 20)
    second = another_tab(person, first)
    expect_words(second, 20)
    model.release(20)
    for page in (first, second):
        expect_words(page, 40)
    first.close()
    model.release(20)
    expect_words(second, 60)

    second.reload()
    expect_state(second, "online")
    expect_words(second, 60)
    model.release()

    expect_as_fresh(person, second)
    check_answered_once(person, second, model=model)


@pytest.mark.long
def test_reply_is_complete_after_a_network_outage(person: Person, model: ThreadedModelServer) -> None:
    page = person.open_connected_chat()
    start_story(page, model)

    person.context.set_offline(True)
    expect_state(page, "offline")
    model.release(40)
    eventually(lambda: saved_text(person, page.url).endswith("word79 "), what="80 words on the server")
    expect_words(page, 40)
    person.context.set_offline(False)

    expect_state(page, "online")
    expect_words(page, 80)
    model.release()
    expect_as_fresh(person, page)
    check_answered_once(person, page, model=model)
    ignore_network_errors(person)


def saved_text(person: Person, url: str) -> str:
    """Return the text of the streaming reply that the server has saved so far."""
    return turn_of(person, url)[1]


def turn_status(person: Person, url: str) -> str:
    """Return the status of the conversation's only turn."""
    return turn_of(person, url)[0]


def turn_of(person: Person, url: str) -> tuple[str, str]:
    """Return the status and text of the conversation's only turn."""
    ((status, text),) = person.site.database.query(
        "SELECT status, text FROM chat_turn WHERE conversation_id = %s", url.rstrip("/").rsplit("/", 1)[1]
    )
    return status, text


@pytest.mark.parametrize("how", [pytest.param("stopped", marks=pytest.mark.long), "killed"])
def test_restarted_server_resumes_the_reply(
    person: Person, model: ThreadedModelServer, site: ServerProcess, how: str
) -> None:
    page = person.open_connected_chat()
    start_story(page, model)
    eventually(lambda: saved_text(person, page.url).endswith("word39 "), what="40 words on the server")

    if how == "killed":
        site.kill9()
    site.restart()  # stops the server first if it still runs

    # The text received so far stays until the resumed turn replaces it.
    expect_state(page, "online")
    expect(page.get_by_test_id("message").last).to_contain_text("word39")
    model.release()
    expect_as_fresh(person, page)
    check_answered_once(person, page, 2, model)
    ignore_network_errors(person)


def test_suspended_page_catches_up(chromium: Browser, person: Person, model: ThreadedModelServer) -> None:
    page = person.open_connected_chat()
    start_story(page, model)
    url = page.url

    with suspended(chromium):
        model.release(40)
        eventually(lambda: saved_text(person, url).endswith("word79 "), what="80 words on the server")

    expect_words(page, 80)
    model.release()
    expect_as_fresh(person, page)
    check_answered_once(person, page, model=model)


@pytest.mark.long
def test_suspended_page_catches_up_after_restart_and_end_of_reply(
    chromium: Browser, person: Person, model: ThreadedModelServer, site: ServerProcess
) -> None:
    page = person.open_connected_chat()
    start_story(page, model)
    url = page.url

    with suspended(chromium):
        site.kill9()
        model.release()
        site.restart()
        eventually(lambda: turn_status(person, url) == "done", what="the end of the turn")

    expect_as_fresh(person, page)
    check_answered_once(person, page, 2, model)
    ignore_network_errors(person)


@contextmanager
def suspended(chromium: Browser) -> Iterator[None]:
    """Suspend all processes of the browser, as closing the lid of a laptop does."""
    session = chromium.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    (browser,) = (psutil.Process(process["id"]) for process in processes if process["type"] == "browser")
    process_tree = [browser, *browser.children(recursive=True)]
    for process in process_tree:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
        # A process that has just exited stays a zombie while its parent is suspended.
        statuses = {process.status() for process in process_tree} - {psutil.STATUS_ZOMBIE}
        assert statuses == {psutil.STATUS_STOPPED}
    finally:
        for process in reversed(process_tree):
            with suppress(psutil.NoSuchProcess):
                process.resume()
    session.detach()


class SocketProxy:
    """A proxy between the page's socket and the real server, which can close the socket or go silent."""

    def __init__(self) -> None:
        self.opened: list[tuple[WebSocketRoute, WebSocketRoute]] = []
        self.silent: set[WebSocketRoute] = set()

    def open(self, page: WebSocketRoute) -> None:
        server = page.connect_to_server()
        self.opened.append((page, server))
        page.on_message(lambda text: None if page in self.silent else server.send(text))
        server.on_message(lambda text: None if page in self.silent else page.send(text))

    def go_silent(self) -> None:
        """Drop all frames of the current socket from now on, without closing it."""
        self.silent.add(self.opened[-1][0])

    def close(self, code: int) -> None:
        """Close the page's socket as the server does."""
        self.opened[-1][0].close(code=code)


def has_opened(page: Page, socket_proxy: SocketProxy, sockets: int) -> bool:
    page.evaluate("1")  # lets frames in flight arrive
    return len(socket_proxy.opened) == sockets


@pytest.fixture
def socket_proxy(chromium: Browser, person: Person) -> SocketProxy:
    proxy = SocketProxy()
    person.context = chromium.new_context(**DESKTOP)
    person.context.route_web_socket(re.compile("/ws/chat/"), proxy.open)
    return proxy


def test_closed_socket_is_reopened_and_the_reply_continues(
    person: Person, model: ThreadedModelServer, socket_proxy: SocketProxy
) -> None:
    page = person.open_connected_chat()
    start_story(page, model)

    # Daphne closes with 1000 after its limit of a day, and so do proxies with a time limit.
    for times, code in enumerate((1000, 1011, 4408), 1):
        socket_proxy.close(code)
        eventually(partial(has_opened, page, socket_proxy, times + 1), what=f"a new socket after {code}")
        model.release(20)
        expect_words(page, 40 + 20 * times)
    model.release()

    expect_as_fresh(person, page)
    check_answered_once(person, page, model=model)


@pytest.mark.long
def test_silent_socket_is_detected_and_replaced(
    person: Person, model: ThreadedModelServer, socket_proxy: SocketProxy
) -> None:
    page = person.open_new_chat()
    page.clock.install()
    page.reload()
    expect_state(page, "online")
    start_story(page, model)

    socket_proxy.go_silent()
    model.release(40)
    eventually(lambda: saved_text(person, page.url).endswith("word79 "), what="80 words on the server")
    expect_state(page, "online")
    for _ in range(4):
        page.clock.run_for(8_000)

    expect_state(page, "online")
    expect_words(page, 80)
    model.release()
    expect_end(page)
    assert len(socket_proxy.opened) == 3, "one socket for the first load, one for the reload, and one replacement"
    check_answered_once(person, page, model=model)
