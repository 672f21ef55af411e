"""Changing a password, and getting back in without one."""

import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from django.contrib.auth import get_user
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.test import Client
from pytest_django import Settings

from chat.accounts import mail_threads, tokens
from chat.accounts.backend import PER_ACCOUNT
from chat.models import AttemptCount, User
from chat.tests.api import shown
from chat.tests.mail import link_in, wait_for_mail
from config.tests.support import PASSWORD, eventually, free_port

CHANGE, RESET = "/accounts/password/", "/accounts/reset/"
NEW_PASSWORD = "staple battery horse"
LOCK_WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
pytestmark = pytest.mark.django_db
# Mail is sent by another thread, which sees what is committed.
with_mail = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _with_mail(settings: Settings) -> None:
    settings.EMAIL_URL = "console://"


def changed(**fields: str) -> dict[str, str]:
    return {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD, **fields}


def test_the_password_changes_and_this_login_stays(owner: User, owner_client: Client) -> None:
    elsewhere = Client()
    elsewhere.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    answer = owner_client.post(CHANGE, changed(), follow=True)
    assert "Your password is changed." in answer.content.decode()
    owner.refresh_from_db()
    assert owner.check_password(NEW_PASSWORD)
    assert owner_client.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 302


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"old_password": "wrong"}, "That is not your current password."),
        ({"new_password2": "another one"}, "didn’t match"),
        ({"new_password1": "short", "new_password2": "short"}, "too short"),
    ],
)
def test_it_says_what_is_wrong(owner: User, owner_client: Client, fields: dict[str, str], complaint: str) -> None:
    assert complaint in owner_client.post(CHANGE, changed(**fields)).content.decode()
    owner.refresh_from_db()
    assert owner.check_password(PASSWORD)


def test_guessing_at_an_open_page_is_limited(owner_client: Client) -> None:
    answers = [owner_client.post(CHANGE, changed(old_password="wrong")).status_code for _ in range(10)]
    assert answers == [200] * 9 + [429]
    assert owner_client.post(CHANGE, changed()).status_code == 429


def ask(client: Client, email: str) -> str:
    answer = client.post(RESET, {"email": email}, follow=True)
    wait_for_mail()
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", answer.content.decode())


@with_mail
def test_a_link_by_mail_sets_a_new_password(client: Client, owner: User, mailoutbox: list[EmailMessage]) -> None:
    ask(client, "Owner@example.com")
    mail = mailoutbox[0]
    assert mail.to == [owner.email]
    assert mail.subject == "Choose a new Threadkeeper password"
    page = client.get(link_in(mail), follow=True)
    answer = client.post(
        page.redirect_chain[-1][0], {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}, follow=True
    )
    assert "Your new password is set." in answer.content.decode()
    owner.refresh_from_db()
    assert owner.check_password(NEW_PASSWORD)
    assert not get_user(client).is_authenticated
    assert "This link no longer works" in client.get(link_in(mail), follow=True).content.decode()


@with_mail
def test_a_link_that_is_used_twice_at_once_works_once(
    client: Client, owner: User, mailoutbox: list[EmailMessage]
) -> None:
    ask(client, owner.email)
    address = link_in(mailoutbox[0])
    browsers = [Client(), Client()]
    pages = [browser.get(address, follow=True).redirect_chain[-1][0] for browser in browsers]

    def choose(browser: Client, page: str, password: str) -> str:
        try:
            fields = {"new_password1": password, "new_password2": password}
            return browser.post(page, fields, follow=True).content.decode()
        finally:
            connection.close()

    def waiting() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(LOCK_WAITS)
            return bool(cursor.fetchone() == (2,))

    with ThreadPoolExecutor(2) as pool:
        # Both wait for the row, which is neither's before both have come as far.
        with transaction.atomic():
            User.objects.select_for_update().get(pk=owner.pk)
            choosing = pool.map(choose, browsers, pages, [NEW_PASSWORD, f"{NEW_PASSWORD} 2"])
            eventually(waiting, what="two requests that wait for the account")
        found = list(choosing)
    assert sorted("Your new password is set." in page for page in found) == [False, True]
    assert sum("This link no longer works" in page for page in found) == 1


@with_mail
@pytest.mark.parametrize(
    ("public_url", "hosts", "origin"),
    [
        ("https://chat.example.com", ["*"], "https://chat.example.com"),
        ("https://example.com/team", ["*"], "https://example.com/team"),
        ("", ["*"], "http://localhost:80"),
        ("", [".example.com", "chat.example.com"], "http://chat.example.com:80"),
    ],
)
def test_the_link_does_not_lead_to_the_host_of_the_request(
    client: Client,
    owner: User,
    mailoutbox: list[EmailMessage],
    settings: Settings,
    public_url: str,
    hosts: list[str],
    origin: str,
) -> None:
    settings.PUBLIC_URL, settings.ALLOWED_HOSTS = public_url, hosts
    settings.ROOT_PATH = urlsplit(public_url).path
    client.defaults["HTTP_HOST"] = "evil.example.com:8443"
    client.defaults["HTTP_X_FORWARDED_HOST"] = "evil.example.com"
    ask(client, owner.email)
    assert f"{origin}/accounts/reset/" in str(mailoutbox[0].body)
    assert "evil" not in str(mailoutbox[0].body)


@with_mail
def test_a_reset_ends_all_logins_and_all_tokens(
    client: Client, owner: User, owner_client: Client, mailoutbox: list[EmailMessage]
) -> None:
    named = tokens.make(user=owner, name="script", scopes=["tasks"])
    PER_ACCOUNT.count(owner.email)
    ask(client, owner.email)
    page = client.get(link_in(mailoutbox[0]), follow=True)
    assert "all your tokens are revoked" in page.content.decode()
    form = {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    assert client.post(page.redirect_chain[-1][0], form).status_code == 302
    assert owner_client.get("/").status_code == 302
    assert client.get("/api/tasks", headers=shown(named.key)).status_code == 401
    assert not AttemptCount.objects.filter(key=PER_ACCOUNT._key(owner.email)).exists()
    for address in (f"198.51.100.{n}" for n in range(PER_ACCOUNT.most)):
        Client().post("/accounts/login/", {"username": owner.email, "password": "wrong"}, REMOTE_ADDR=address)
    # Whoever came by the link is known on this device.
    assert client.post("/accounts/login/", {"username": owner.email, "password": NEW_PASSWORD}).status_code == 302


@with_mail
def test_an_address_can_ask_for_few_mails(client: Client, settings: Settings, mailoutbox: list[EmailMessage]) -> None:
    answers = [client.post(RESET, {"email": f"p{n}@example.com"}).status_code for n in range(settings.MAILS_PER_HOUR)]
    assert set(answers) == {302}
    refused = client.post(RESET, {"email": "one@example.com"})
    assert (refused.status_code, "Retry-After" in refused) == (429, True)
    wait_for_mail()


@with_mail
def test_a_mail_server_that_fails_is_logged_without_the_address(
    client: Client, owner: User, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    ask(client, owner.email)
    assert "A mail could not be sent: ConnectionRefusedError" in caplog.text
    assert owner.email not in caplog.text


def test_too_many_mails_at_once_are_refused_alike(client: Client, owner: User) -> None:
    for _ in range(mail_threads.MAX_PENDING):
        assert mail_threads._places.acquire(timeout=10)
    try:
        answers = [client.post(RESET, {"email": email}) for email in (owner.email, "nobody@example.com")]
    finally:
        mail_threads._places.release(mail_threads.MAX_PENDING)
    assert {(answer.status_code, answer["Retry-After"]) for answer in answers} == {(503, "60")}


@with_mail
def test_the_answer_does_not_tell_who_has_an_account(
    client: Client, owner: User, mailoutbox: list[EmailMessage]
) -> None:
    assert ask(client, owner.email) == ask(client, "nobody@example.com")
    assert [mail.to for mail in mailoutbox] == [[owner.email]]


@with_mail
def test_a_mailbox_cannot_be_flooded(client: Client, owner: User, mailoutbox: list[EmailMessage]) -> None:
    for email in (owner.email, owner.email.upper(), owner.email):
        ask(client, email)
    assert len(mailoutbox) == 1


@with_mail
def test_a_deactivated_person_gets_no_link(client: Client, owner: User, mailoutbox: list[EmailMessage]) -> None:
    User.objects.update(is_active=False)
    ask(client, owner.email)
    assert not mailoutbox


@pytest.mark.parametrize("path", ["MQ/set-password/", "MQ/abc-def/"])
def test_a_link_that_was_made_up_opens_nothing(client: Client, path: str) -> None:
    answer = client.get(RESET + path, follow=True)
    assert "This link no longer works" in answer.content.decode()


def test_a_server_without_mail_says_whom_to_ask(client: Client, settings: Settings) -> None:
    settings.EMAIL_URL = ""
    assert "Ask an administrator" in client.get(RESET).content.decode()
    assert "Ask an administrator" in client.post(RESET, {"email": "owner@example.com"}).content.decode()
