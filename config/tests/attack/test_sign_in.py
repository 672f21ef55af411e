"""Sign-in: its duration does not reveal which accounts exist, and e-mailed links lead to this site."""

import statistics
import time

from config.tests.attack.clients import Browser, Person, new_person
from config.tests.attack.mail import Mailbox
from config.tests.attack.marks import product_group
from config.tests.attack.product import ORIGIN, Product

pytestmark = product_group


def test_sign_in_duration_does_not_reveal_accounts(product: Product) -> None:
    # The person has signed in before, so their password hash is up to date.
    person = new_person(product, "timed")
    seconds: dict[str, list[float]] = {"known": [], "unknown": []}
    for n in range(5):
        for kind, email in (("known", person.email), ("unknown", f"nobody-{n}@example.com")):
            with Browser(product) as anonymous:
                started = time.monotonic()
                anonymous.post("/api/auth/login", json={"email": email, "password": "wrong password"})
                seconds[kind].append(time.monotonic() - started)
    known, unknown = (statistics.median(seconds[kind]) for kind in ("known", "unknown"))
    assert known < 2 * unknown and unknown < 2 * known, seconds


def test_emailed_link_uses_public_url_despite_forged_host(product: Product, mailbox: Mailbox, person: Person) -> None:
    with Browser(product) as browser:
        page = browser.get("/accounts/reset/")
        assert page.status_code == 200
        fields = {"email": person.email, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        headers = {"Host": "localhost", "X-Forwarded-Host": "evil.test", "Referer": "https://localhost/accounts/reset/"}
        headers["Cookie"] = f"csrftoken={browser.cookies['csrftoken']}"
        response = browser.post("/accounts/reset/", data=fields, headers=headers)
    assert response.status_code == 302
    assert mailbox.link_to(person.email).startswith(f"{ORIGIN}/")
