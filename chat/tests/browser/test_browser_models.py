"""The model selector: with the first message, later, by keyboard, in every tab, and on a phone."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from chat.tests.browser.axe import violations
from chat.tests.browser.conftest import Person, expect_state, send_message
from chat.tests.browser.fake_server import FakeServer
from chat.tests.model_server.script import text_reply
from chat.tests.model_server.threaded import ThreadedModelServer
from config.tests.support import LiveDatabase, ServerProcess, database, eventually, free_port

MODELS = """
[[models]]
name = "fast"
label = "Fast"
base_url = "{url}"
fallback = ["slow"]

[[models]]
name = "slow"
label = "Slow and thorough"
base_url = "{url}"
"""


@pytest.fixture(scope="module")
def models() -> Iterator[ThreadedModelServer]:
    with ThreadedModelServer(port=free_port()) as server:
        server.always(text_reply("Hel", "lo"))
        yield server


@pytest.fixture(scope="module")
def site(
    models: ThreadedModelServer, _migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server with two models."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "models.toml").write_text(MODELS.format(url=models.url))
    with database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url):
        file = str(folder / "models.toml")
        process = ServerProcess(LiveDatabase(url), folder, AGENT_MODELS=file, AGENT_GUARDRAIL="off")
        yield process
        process.terminate()


def requested_models(models: ThreadedModelServer) -> list[str]:
    return [request.model for request in models.requests]


@pytest.mark.long
def test_model_is_chosen_with_the_first_message_and_changed_later(person: Person, models: ThreadedModelServer) -> None:
    page = person.open_connected_chat()
    select = page.get_by_label("Model", exact=True)
    expect(select).to_have_value("fast")
    expect(page.locator("#bar-model")).to_have_text("Fast")
    select.select_option("slow")
    send_message(page, "hi")
    assert requested_models(models)[-1] == "slow"
    expect(page.locator("#bar-model")).to_have_text("Slow and thorough")

    other = page.context.new_page()
    other.goto(page.url)
    expect_state(other, "online")
    expect(other.get_by_test_id("model")).to_have_value("slow")

    select.focus()
    page.keyboard.press("ArrowUp")
    expect(page.locator("#bar-model")).to_have_text("Fast")
    expect(other.get_by_test_id("model")).to_have_value("fast")
    send_message(other, "hi again")
    assert requested_models(models)[-1] == "fast"
    other.close()


@pytest.mark.long
def test_failed_model_change_is_reverted(person: Person) -> None:
    page = person.open_connected_chat()
    send_message(page, "hi")
    page.route("**/model/", lambda route: route.abort())
    page.get_by_test_id("model").select_option("slow")
    expect(page.locator("#banner")).to_contain_text("The model was not changed")
    expect(page.get_by_test_id("model")).to_have_value("fast")
    person.page_errors.clear()  # the browser reports the connection that failed


def test_model_selector_fits_a_phone(person: Person) -> None:
    page = person.open_connected_chat()
    page.set_viewport_size({"width": 360, "height": 640})
    select = page.get_by_test_id("model")
    expect(select).to_be_in_viewport()
    box = select.bounding_box()
    assert box is not None and box["height"] >= 32 and box["x"] + box["width"] <= 360
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert violations(page) == []


def test_model_retry_is_shown_and_announced_until_text_arrives(fake_server: FakeServer) -> None:
    page = fake_server.page
    turn = fake_server.accept(fake_server.send_message("hi"))
    fake_server.send_turn_event(turn, "turn.started")
    detail = "The model does not answer. Retrying, 2 of 5."
    fake_server.send_turn_event(turn, "model.retrying", attempt_n=2, of=5, seconds=1.5, detail=detail)
    expect(page.get_by_test_id("retrying")).to_have_text(detail)
    expect(page.locator("#announcer")).to_have_text(detail)
    fake_server.send_delta(turn, "Hello")
    expect(page.get_by_test_id("retrying")).to_have_count(0)
    fake_server.finish(turn, "Hello")
    eventually(lambda: page.locator("#announcer").inner_text() != detail, what="the announcement of the reply")
