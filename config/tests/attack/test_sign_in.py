"""Sign-in: no password is guessed, nobody is locked out by a stranger, nothing says who has an account."""

import asyncio
import itertools
import re
import statistics
import time
import uuid
from collections.abc import Callable

import httpx
import pytest

from config.tests.attack.clients import CSRF, Browser, Person, many_clients, new_address, new_person
from config.tests.attack.mail import Mailbox
from config.tests.attack.marks import on_product, quick
from config.tests.attack.product import Product, Watch, at_once, places_of
from config.tests.support import PASSWORD, eventually

pytestmark = on_product

REFUSED = (403, 429)


def guess_at_page(browser: Browser, email: str, password: str) -> int:
    """Try a password at the sign-in page."""
    return browser.sign_in(email, password).status_code


def guess_at_admin(browser: Browser, email: str, password: str) -> int:
    """Try a password at the admin's sign-in page, or where that leads."""
    page = browser.get("/admin/login/", follow_redirects=True)
    found = CSRF.search(page.text)
    data = {"username": email, "password": password, "csrfmiddlewaretoken": found[1] if found else ""}
    return browser.post(page.url.raw_path.decode(), data=data, headers={"Referer": str(page.url)}).status_code


def guess_by_program(browser: Browser, email: str, password: str) -> int:
    """Try a password as a program."""
    return browser.post("/api/auth/login", json={"email": email, "password": password}).status_code


PATHS: list[Callable[[Browser, str, str], int]] = [guess_at_page, guess_at_admin, guess_by_program]


def spellings(email: str) -> list[str]:
    """Return other spellings of an address that sign in as the same person."""
    name, domain = email.split("@")
    return [
        f"{name.title()}@{domain}",
        f"{name.upper()}@{domain}",
        f"{email} ",
        f" {email}",
        f"{name}@{domain.upper()}",
    ]


def test_spellings_and_pages_do_not_give_more_guesses(product: Product) -> None:
    victim = new_person(product, "spelled")
    statuses = []
    with Browser(product) as guesser:
        ways = itertools.product(spellings(victim.email), PATHS)
        for email, guess in itertools.islice(itertools.cycle(ways), 12):
            statuses.append(guess(guesser, email, f"wrong {uuid.uuid4()}"))
        # Whoever has been refused does not get in with the right one either.
        assert statuses[-1] in REFUSED, statuses
        for guess in PATHS:
            assert guess(guesser, victim.email, PASSWORD) in REFUSED
            assert not guesser.is_signed_in


def forged_cookies(attacker: Person) -> list[dict[str, str]]:
    """Return cookies that somebody could send along who has signed in as themself: nothing, their own, changed ones."""
    own = {name: value for name, value in attacker.browser.cookies.items() if name not in ("sessionid", "csrftoken")}
    return [{}, own, {name: value[:-1] + "x" for name, value in own.items()}]


def test_guesses_from_many_addresses_are_limited(product: Product) -> None:
    victim, attacker = new_person(product, "guessed"), new_person(product, "guesser")
    forged = forged_cookies(attacker)

    def guess(number: int) -> int:
        with Browser(product, cookies=forged[number % len(forged)], timeout=120) as guesser:
            return guess_by_program(guesser, victim.email, f"wrong {number}")

    statuses = [status for _ in range(6) for status in at_once(10, guess)]
    assert set(statuses) & {*REFUSED}, "60 guesses at one account from as many addresses were let through"
    # The person goes on from the browser they have signed in with before.
    victim.browser.submit("/accounts/logout/")
    assert not victim.browser.is_signed_in
    assert victim.browser.sign_in(victim.email).status_code == 302
    assert victim.browser.is_signed_in


def test_a_stranger_at_the_same_address_does_not_lock_somebody_out(product: Product) -> None:
    victim = new_person(product, "neighbour")
    victim.browser.submit("/accounts/logout/")
    with Browser(product, address=victim.browser.address) as guesser:
        statuses = [guess_at_page(guesser, victim.email, f"wrong {n}") for n in range(12)]
    assert statuses[-1] in REFUSED, statuses
    assert victim.browser.sign_in(victim.email).status_code == 302


@pytest.mark.long
def test_one_address_does_not_try_one_password_at_many_accounts(product: Product) -> None:
    address = new_address()

    def guess(number: int) -> int:
        with Browser(product, address=address, timeout=120) as guesser:
            return guess_by_program(guesser, f"nobody-{uuid.uuid4()}@example.com", "Summer2026!")

    statuses = [status for _ in range(15) for status in at_once(10, guess)]
    assert statuses[-1] in REFUSED, statuses


# Who has an account.


def words_of(page: str) -> str:
    """Return a page without what is different each time."""
    return re.sub(r'value="[^"]*"|[\w.+-]+@[\w.-]+|nonce-\S+', "", page)


def test_sign_up_does_not_say_who_has_an_account(product: Product, person: Person) -> None:
    answers = []
    for email in (person.email, f"new-{uuid.uuid4().hex[:8]}@example.com"):
        with Browser(product) as stranger:
            answer = stranger.submit("/accounts/signup/", email=email, password="a Good passphrase 77", time_zone="UTC")
            names = {cookie for cookie in stranger.cookies if cookie != "csrftoken"}
            answers.append((answer.status_code, answer.headers.get("location"), words_of(answer.text), names))
    assert answers[0] == answers[1]


def test_registration_of_programs_does_not_say_who_has_an_account(product: Product, person: Person) -> None:
    answers = []
    for email in (person.email, f"new-{uuid.uuid4().hex[:8]}@example.com"):
        with Browser(product) as stranger:
            body = {"email": email, "password": "a Good passphrase 77"}
            answer = stranger.post("/api/auth/register", json=body)
            answers.append((answer.status_code, sorted(answer.json())))
    assert answers[0] == answers[1]


def test_the_reset_page_does_not_say_who_has_an_account(product: Product, person: Person) -> None:
    answers = []
    for email in (person.email, "nobody-at-all@example.com"):
        with Browser(product) as stranger:
            answer = stranger.submit("/accounts/reset/", email=email)
            answers.append((answer.status_code, answer.headers.get("location"), words_of(answer.text)))
    assert answers[0] == answers[1]


def test_how_long_a_sign_in_takes_does_not_say_who_has_an_account(product: Product) -> None:
    # Hashed as an account's password is: by now that of somebody who has signed in.
    person = new_person(product, "timed")
    seconds: dict[str, list[float]] = {"known": [], "unknown": []}
    for n in range(5):
        for kind, email in (("known", person.email), ("unknown", f"nobody-{n}@example.com")):
            with Browser(product) as stranger:
                begun = time.monotonic()
                guess_by_program(stranger, email, "wrong password")
                seconds[kind].append(time.monotonic() - begun)
    known, unknown = (statistics.median(seconds[kind]) for kind in ("known", "unknown"))
    assert known < 2 * unknown and unknown < 2 * known, seconds


# Limits of pages.


@pytest.mark.parametrize("path", ["/accounts/signup/", "/accounts/reset/", "/accounts/login/"])
def test_pages_for_strangers_are_limited_by_address(product: Product, path: str) -> None:
    statuses: list[int] = []

    async def submit() -> None:
        async with many_clients(product) as client:
            for _ in range(4):
                page = await client.get(path)
                token = client.cookies["csrftoken"]
                # Not accepted, so that nothing is hashed.
                data = {"email": "x", "username": "x", "password": "", "csrfmiddlewaretoken": token}
                headers = {"Referer": str(page.url)}
                posts = (client.post(path, data=data, headers=headers) for _ in range(50))
                statuses.extend(answer.status_code for answer in await asyncio.gather(*posts))

    asyncio.run(submit())
    assert 429 in statuses
    with Browser(product) as other:
        assert other.get(path).status_code == 200


def test_50_sign_ins_in_progress_do_not_hold_up_the_others(product: Product) -> None:
    async def sign_ins() -> list[int]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_one_sign_in(product, n)) for n in range(50)]
        return [task.result() for task in tasks]

    with Watch(product.healthz_seconds, every=0.01) as health:
        statuses = asyncio.run(sign_ins())
    assert set(statuses) <= {401, 403, 429, 503}, statuses
    health.check_latency()
    assert health.median < 0.3 + 10 * health.before, f"{health.median:.3f} s, {health.before:.3f} s before"


async def _one_sign_in(product: Product, number: int) -> int:
    async with many_clients(product, timeout=120) as client:
        credentials = {"email": f"nobody{number}-{uuid.uuid4().hex[:6]}@example.com", "password": "wrong password"}
        return (await client.post("/api/auth/login", json=credentials)).status_code


# Reset.


@quick
def test_a_reset_ends_all_logins_and_all_tokens(product: Product, mailbox: Mailbox) -> None:
    person = new_person(product, "resetter")
    with Browser(product) as program:
        credentials = {"email": person.email, "password": PASSWORD}
        token = program.post("/api/auth/login", json=credentials).raise_for_status().json()["access_token"]
    with Browser(product) as stranger:
        stranger.submit("/accounts/reset/", email=person.email)
        link = mailbox.link_to(person.email)
        page = stranger.get(httpx.URL(link).raw_path.decode(), follow_redirects=True)
        found = CSRF.search(page.text)
        assert found, page.text
        new = "another Good passphrase 78"
        data = {"new_password1": new, "new_password2": new, "csrfmiddlewaretoken": found[1]}
        answer = stranger.post(page.url.raw_path.decode(), data=data, headers={"Referer": str(page.url)})
        assert answer.status_code == 302, answer.text
        # The link works once.
        assert "new_password1" not in stranger.get(httpx.URL(link).raw_path.decode(), follow_redirects=True).text
    assert not person.browser.is_signed_in
    for key in (token, person.token):
        with Browser(product, headers={"Authorization": f"Bearer {key}"}) as program:
            assert program.get("/api/tasks").status_code == 401


def test_reset_mails_do_not_fill_a_mailbox(product: Product, mailbox: Mailbox) -> None:
    person = new_person(product, "flooded")
    spelled = [person.email, *spellings(person.email)]
    for n in range(8):
        with Browser(product) as stranger:
            stranger.submit("/accounts/reset/", email=spelled[n % len(spelled)])
    eventually(lambda: mailbox.mails_to(person.email), what="a mail")
    time.sleep(1)
    assert len(mailbox.mails_to(person.email)) == 1


# What is left of passwords.


def test_no_form_leaves_a_password_anywhere(product: Product) -> None:
    person = new_person(product, "typist")
    planted = f"mistyped{uuid.uuid4().hex}"
    browser = person.browser
    browser.submit(
        "/accounts/password/", old_password=planted, new_password1=f"{planted}1", new_password2=f"{planted}2"
    )
    browser.submit("/settings/", form="email", email="other@example.com", current_password=planted)
    page = browser.get("/settings/data/")
    found = CSRF.search(page.text)
    data = {"current_password": planted, "csrfmiddlewaretoken": found[1] if found else ""}
    browser.post("/settings/data/delete/", data=data, headers={"Referer": str(page.url)})
    with Browser(product) as stranger:
        for guess in PATHS:
            guess(stranger, person.email, planted)
            guess(stranger, "nobody@example.com", planted)
        stranger.submit("/accounts/signup/", email=person.email, password=planted, time_zone="UTC")
        stranger.submit("/accounts/signup/", email="not an address", password=planted, time_zone="UTC")
        stranger.post("/api/auth/register", json={"email": person.email, "password": planted})
        stranger.post("/api/auth/login", json={"email": ["x"], "password": planted, "more": planted})
        stranger.get("/accounts/reset/MQ/set-password/")
    assert places_of(product.database, planted) == []
    assert planted not in product.output
