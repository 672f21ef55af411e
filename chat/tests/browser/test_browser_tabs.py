"""Pages that are closed, reloaded, cut off or asleep while a reply is written end as a page that was just opened."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import psutil
import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from chat.tests.browser.conftest import DESKTOP, Person, expect_state, transcript
from chat.tests.model_server import says
from chat.tests.model_server.threaded import ThreadedModelServer
from config.tests.support import LiveDatabase, ServerProcess, database, eventually, free_port

WORDS = [f"word{n} " for n in range(120)] + ["and the *end* 🧵."]
STORY = "".join(WORDS)


@pytest.fixture(scope="module")
def model_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def site(_migrated_template: str, tmp_path_factory: pytest.TempPathFactory, model_port: int) -> Iterator[ServerProcess]:
    """A server whose model speaks as fast as a test lets it."""
    with database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url):
        model = {"OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1", "AGENT_GUARDRAIL": "off"}
        process = ServerProcess(LiveDatabase(url), tmp_path_factory.mktemp("tabs"), **model)
        yield process
        process.terminate()


@pytest.fixture
def model(model_port: int) -> Iterator[ThreadedModelServer]:
    """The model, which tells its story and holds in it."""
    with ThreadedModelServer(port=model_port) as server:
        server.always(says(*WORDS))
        server.hold()
        yield server


def begin(page: Page, model: ThreadedModelServer, words: int = 40) -> None:
    """Ask for the story, and hold where so many words of it are there."""
    model.release(words)
    page.get_by_test_id("composer").fill("Tell me a story")
    page.get_by_test_id("composer").press("Enter")
    expect_words(page, words)


def expect_words(page: Page, words: int) -> None:
    """Wait until the growing reply has so many words and no more."""
    growing = page.locator('[data-testid="message"][data-role="assistant"][data-streaming]')
    expect(growing).to_have_text(re.compile(rf"word{words - 1}\s*$"))


def expect_end(page: Page) -> None:
    """Wait until the whole reply is there."""
    reply = page.locator('[data-testid="message"][data-role="assistant"]')
    expect(reply).to_have_count(1)
    expect(reply).not_to_have_attribute("data-streaming", "")
    expect(reply.locator(".message__text")).to_have_text(STORY.replace("*", "").strip())
    expect(reply.locator("em")).to_have_text("end")
    expect_state(page, "online")


def expect_as_fresh(person: Person, page: Page) -> None:
    """Check that a page shows what one shows that was just opened."""
    expect_end(page)
    fresh = person.page(page.url.removeprefix(person.site.url))
    expect_end(fresh)
    eventually(lambda: transcript(page) == transcript(fresh), what=f"{transcript(page)}\n{transcript(fresh)}")
    fresh.close()


def another_tab(person: Person, page: Page) -> Page:
    """Open the page's conversation in a tab more."""
    tab = person.page(page.url.removeprefix(person.site.url))
    expect_state(tab, "online")
    return tab


def check_answered_once(
    person: Person, page: Page, requests: int = 1, model: ThreadedModelServer | None = None
) -> None:
    """Check that the record has one answer, and how often the model was asked for it."""
    turns = person.site.database.query(
        "SELECT t.status, m.text FROM chat_turn t JOIN chat_message m ON m.turn_id = t.id AND m.role = 'assistant'"
        " WHERE t.conversation_id = %s",
        page.url.rstrip("/").rsplit("/", 1)[1],
    )
    assert turns == [("done", STORY)]
    assert model is None or len(model.requests) == requests


def without_network_errors(person: Person) -> None:
    """Forget what the browser itself says about a network or a server that is gone."""
    said = re.compile("ERR_(CONNECTION_REFUSED|INTERNET_DISCONNECTED|NETWORK_CHANGED|CONNECTION_RESET|EMPTY_RESPONSE)")
    person.faults[:] = [fault for fault in person.faults if not said.search(fault)]


def test_b_watches_what_a_asked_for_though_a_is_closed_and_b_reloaded_meanwhile(
    person: Person, model: ThreadedModelServer
) -> None:
    a = person.chat()
    begin(a, model, 20)
    b = another_tab(person, a)
    expect_words(b, 20)
    model.release(20)
    for page in (a, b):
        expect_words(page, 40)
    a.close()
    model.release(20)
    expect_words(b, 60)

    b.reload()
    expect_state(b, "online")
    expect_words(b, 60)
    model.release()

    expect_as_fresh(person, b)
    check_answered_once(person, b, model=model)


def test_a_network_that_is_gone_for_a_while_costs_nothing(person: Person, model: ThreadedModelServer) -> None:
    page = person.chat()
    begin(page, model)

    person.context.set_offline(True)
    expect_state(page, "offline")
    model.release(40)
    eventually(lambda: so_far(person, page.url).endswith("word79 "), what="80 words on the server")
    expect_words(page, 40)
    person.context.set_offline(False)

    expect_state(page, "online")
    expect_words(page, 80)
    model.release()
    expect_as_fresh(person, page)
    check_answered_once(person, page, model=model)
    without_network_errors(person)


def so_far(person: Person, url: str) -> str:
    """Return what the server has saved of the growing reply."""
    return turn_of(person, url)[1]


def status_of(person: Person, url: str) -> str:
    """Return how far the turn is."""
    return turn_of(person, url)[0]


def turn_of(person: Person, url: str) -> tuple[str, str]:
    """Return status and text of a conversation's one turn."""
    ((status, text),) = person.site.database.query(
        "SELECT status, text FROM chat_turn WHERE conversation_id = %s", url.rstrip("/").rsplit("/", 1)[1]
    )
    return status, text


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_server_that_is_started_again_goes_on_by_itself(
    person: Person, model: ThreadedModelServer, site: ServerProcess, how: str
) -> None:
    page = person.chat()
    begin(page, model)
    eventually(lambda: so_far(person, page.url).endswith("word39 "), what="40 words on the server")

    if how == "killed":
        site.kill9()
    site.restart()  # stopped first where it still runs

    # What was said stays until it is said anew.
    expect_state(page, "online")
    expect(page.get_by_test_id("message").last).to_contain_text("word39")
    model.release()
    expect_as_fresh(person, page)
    check_answered_once(person, page, 2, model)
    without_network_errors(person)


def test_a_page_that_slept_catches_up(chromium: Browser, person: Person, model: ThreadedModelServer) -> None:
    page = person.chat()
    begin(page, model)
    url = page.url

    with asleep(chromium):
        model.release(40)
        eventually(lambda: so_far(person, url).endswith("word79 "), what="80 words on the server")

    expect_words(page, 80)
    model.release()
    expect_as_fresh(person, page)
    check_answered_once(person, page, model=model)


def test_a_page_that_slept_while_the_server_was_started_again_and_the_reply_ended_catches_up(
    chromium: Browser, person: Person, model: ThreadedModelServer, site: ServerProcess
) -> None:
    page = person.chat()
    begin(page, model)
    url = page.url

    with asleep(chromium):
        site.kill9()
        model.release()
        site.restart()
        eventually(lambda: status_of(person, url) == "done", what="the end of the turn")

    expect_as_fresh(person, page)
    check_answered_once(person, page, 2, model)
    without_network_errors(person)


@contextmanager
def asleep(chromium: Browser) -> Iterator[None]:
    """Let all of the browser sleep, as with the lid of a laptop closed."""
    session = chromium.new_browser_cdp_session()
    told = session.send("SystemInfo.getProcessInfo")["processInfo"]
    (browser,) = (psutil.Process(process["id"]) for process in told if process["type"] == "browser")
    family = [browser, *browser.children(recursive=True)]
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
        # One that ended at that moment waits for its parent, which sleeps.
        asleep = {process.status() for process in family} - {psutil.STATUS_ZOMBIE}
        assert asleep == {psutil.STATUS_STOPPED}
    finally:
        for process in reversed(family):
            with suppress(psutil.NoSuchProcess):
                process.resume()
    session.detach()


class Line:
    """The page's socket to the real server, over a line that can be cut with or without a word."""

    def __init__(self) -> None:
        self.opened: list[tuple[WebSocketRoute, WebSocketRoute]] = []
        self.dead: set[WebSocketRoute] = set()

    def open(self, page: WebSocketRoute) -> None:
        server = page.connect_to_server()
        self.opened.append((page, server))
        page.on_message(lambda text: None if page in self.dead else server.send(text))
        server.on_message(lambda text: None if page in self.dead else page.send(text))

    def die(self) -> None:
        """Lose whatever is sent from now on, without telling anybody."""
        self.dead.add(self.opened[-1][0])

    def close(self, code: int) -> None:
        """End the page's socket the way the server does."""
        self.opened[-1][0].close(code=code)


def has_opened(page: Page, line: Line, sockets: int) -> bool:
    page.evaluate("1")  # lets what is under way arrive
    return len(line.opened) == sockets


@pytest.fixture
def line(chromium: Browser, person: Person) -> Line:
    lined = Line()
    person.context = chromium.new_context(**DESKTOP)
    person.context.route_web_socket(re.compile("/ws/chat/"), lined.open)
    return lined


def test_a_socket_that_is_cut_is_opened_again_and_followed_on(
    person: Person, model: ThreadedModelServer, line: Line
) -> None:
    page = person.chat()
    begin(page, model)

    # 1000 is daphne's limit of a day, and what proxies have of the kind.
    for times, code in enumerate((1000, 1011, 4408), 1):
        line.close(code)
        eventually(partial(has_opened, page, line, times + 1), what=f"another socket after {code}")
        model.release(20)
        expect_words(page, 40 + 20 * times)
    model.release()

    expect_as_fresh(person, page)
    check_answered_once(person, page, model=model)


def test_a_line_that_is_dead_without_a_word_is_noticed_and_replaced(
    person: Person, model: ThreadedModelServer, line: Line
) -> None:
    page = person.sign_in()
    page.clock.install()
    page.reload()
    expect_state(page, "online")
    begin(page, model)

    line.die()
    model.release(40)
    eventually(lambda: so_far(person, page.url).endswith("word79 "), what="80 words on the server")
    expect_state(page, "online")
    for _ in range(4):
        page.clock.run_for(8_000)

    expect_state(page, "online")
    expect_words(page, 80)
    model.release()
    expect_end(page)
    assert len(line.opened) == 3, "the page's first, the reloaded page's, and one more"
    check_answered_once(person, page, model=model)
