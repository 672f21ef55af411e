"""One product for all attacks, behind a proxy; a second one for those that end processes of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from config.tests.attack.clients import Person, new_person
from config.tests.attack.mail import Mailbox
from config.tests.attack.product import ORIGIN, Product
from config.tests.support import PASSWORD

ADMIN = "admin@example.com"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder; a long one is not of those that are played in five minutes."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and not item.get_closest_marker("long"):
            item.add_marker("attack")


@pytest.fixture(scope="session")
def mailbox() -> Iterator[Mailbox]:
    """A mail server that keeps what it is given."""
    with Mailbox() as mailbox:
        yield mailbox


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory, mailbox: Mailbox) -> Iterator[Product]:
    """A product as people run it: under a name, behind a proxy, with mail. No attack may end it."""
    variables = {"PUBLIC_URL": ORIGIN, "EMAIL_URL": mailbox.url, "ADMIN_EMAIL": ADMIN, "ADMIN_PASSWORD": PASSWORD}
    yield from _running(tmp_path_factory, ALLOWED_HOSTS="chat.example.test,localhost,127.0.0.1", **variables)


@pytest.fixture(scope="session")
def bare_product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A product with no setting at all, as `up` starts it the first time; attacks may end parts of it."""
    yield from _running(tmp_path_factory)


def _running(tmp_path_factory: pytest.TempPathFactory, **variables: str) -> Iterator[Product]:
    data_dir = tmp_path_factory.mktemp("product") / "data"
    data_dir.mkdir()
    product = Product(data_dir, **variables)
    try:
        yield product.await_ready()
    finally:
        product.stop_all()


@pytest.fixture
def person(product: Product) -> Person:
    """Somebody with an account, who may be up to no good."""
    return new_person(product)


@pytest.fixture
def victim(product: Product) -> Person:
    """Somebody else with an account."""
    return new_person(product, "victim")
