"""Sign-in: its duration does not say who has an account, and the link of a mail leads to this site."""

import statistics
import time

from config.tests.attack.clients import Browser, Person, new_person
from config.tests.attack.mail import Mailbox
from config.tests.attack.marks import on_product, quick
from config.tests.attack.product import ORIGIN, Product

pytestmark = on_product


def test_how_long_a_sign_in_takes_does_not_say_who_has_an_account(product: Product) -> None:
    # Hashed as an account's password is: by now that of somebody who has signed in.
    person = new_person(product, "timed")
    seconds: dict[str, list[float]] = {"known": [], "unknown": []}
    for n in range(5):
        for kind, email in (("known", person.email), ("unknown", f"nobody-{n}@example.com")):
            with Browser(product) as stranger:
                begun = time.monotonic()
                stranger.post("/api/auth/login", json={"email": email, "password": "wrong password"})
                seconds[kind].append(time.monotonic() - begun)
    known, unknown = (statistics.median(seconds[kind]) for kind in ("known", "unknown"))
    assert known < 2 * unknown and unknown < 2 * known, seconds


@quick
def test_links_in_mails_name_the_public_address_whatever_host_was_asked(
    product: Product, mailbox: Mailbox, person: Person
) -> None:
    with Browser(product) as browser:
        page = browser.get("/accounts/reset/")
        assert page.status_code == 200
        fields = {"email": person.email, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        headers = {"Host": "localhost", "X-Forwarded-Host": "evil.test", "Referer": "https://localhost/accounts/reset/"}
        headers["Cookie"] = f"csrftoken={browser.cookies['csrftoken']}"
        answer = browser.post("/accounts/reset/", data=fields, headers=headers)
    assert answer.status_code == 302
    assert mailbox.link_to(person.email).startswith(f"{ORIGIN}/")
