"""The number of bytes that the first and the second page load transfer."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from chat.tests.browser.conftest import Person, expect_state
from config.tests.support import LiveDatabase, ServerProcess, database
from config.tests.test_static_files import collect_static

MAX_BYTES = 120_000


@pytest.fixture(scope="module")
def site(_migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with collected static files, as `up` starts it."""
    folder = collect_static(tmp_path_factory.mktemp("static"))
    with (
        database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url),
        ServerProcess(LiveDatabase(url), folder) as server,
    ):
        yield server


def count_bytes(page: Page) -> dict[str, float]:
    """Return a dict that fills with the bytes each response takes on the wire, headers included."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    names: dict[str, str] = {}
    sizes: dict[str, float] = {}
    session.on("Network.responseReceived", lambda event: names.update({event["requestId"]: event["response"]["url"]}))
    session.on(
        "Network.loadingFinished",
        lambda event: sizes.update({names[event["requestId"]]: event["encodedDataLength"]}),
    )
    return sizes


@pytest.mark.long
def test_first_load_is_small_and_second_load_is_cached(person: Person) -> None:
    signed_in = person.open_new_chat()
    cookies = person.context.cookies()
    context = person.context.browser.new_context()  # type: ignore[union-attr]
    context.add_cookies(cookies)  # type: ignore[arg-type]
    signed_in.close()
    page = context.new_page()
    sizes = count_bytes(page)
    page.goto(person.url + "/")
    expect_state(page, "online")
    page.wait_for_load_state("networkidle")
    assert len(sizes) > 20
    assert sum(sizes.values()) <= MAX_BYTES, sorted(sizes.items(), key=lambda item: -item[1])

    second_page = context.new_page()
    sizes = count_bytes(second_page)
    second_page.goto(person.url + "/")
    expect_state(second_page, "online")
    second_page.wait_for_load_state("networkidle")
    assert sum(sizes.values()) <= MAX_BYTES / 10, sizes
    context.close()
