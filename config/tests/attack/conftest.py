"""One product for all attacks, behind a proxy; a second one for attacks that kill its processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from config.tests.attack.clients import Person, new_person
from config.tests.attack.mail import Mailbox
from config.tests.attack.product import ORIGIN, Product
from config.tests.support import PASSWORD

ADMIN = "admin@example.com"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder as attacks, except long ones, which are not part of the five-minute run."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and not item.get_closest_marker("long"):
            item.add_marker("attack")


@pytest.fixture(scope="session")
def mailbox() -> Iterator[Mailbox]:
    """A mail server that stores the messages it receives."""
    with Mailbox() as mailbox:
        yield mailbox


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory, mailbox: Mailbox) -> Iterator[Product]:
    """A product as deployed: with a host name, behind a proxy, with mail. No attack may stop it."""
    variables = {"PUBLIC_URL": ORIGIN, "EMAIL_URL": mailbox.url, "ADMIN_EMAIL": ADMIN, "ADMIN_PASSWORD": PASSWORD}
    yield from _run_product(tmp_path_factory, ALLOWED_HOSTS="chat.example.test,localhost,127.0.0.1", **variables)


@pytest.fixture(scope="session")
def bare_product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A product without any settings, as `up` first starts it; attacks may kill its processes."""
    yield from _run_product(tmp_path_factory)


def _run_product(tmp_path_factory: pytest.TempPathFactory, **variables: str) -> Iterator[Product]:
    data_dir = tmp_path_factory.mktemp("product") / "data"
    data_dir.mkdir()
    product = Product(data_dir, **variables)
    try:
        yield product.await_ready()
    finally:
        product.stop_all()


@pytest.fixture
def person(product: Product) -> Person:
    """A user with an account, who may be malicious."""
    return new_person(product)


@pytest.fixture
def victim(product: Product) -> Person:
    """Another user with an account."""
    return new_person(product, "victim")
