"""Changing a password, and resetting a forgotten one by mail."""

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
from chat.tests.api import auth_header
from chat.tests.mail import link_in, wait_for_mail
from config.tests.support import PASSWORD, eventually, free_port

CHANGE, RESET = "/accounts/password/", "/accounts/reset/"
NEW_PASSWORD = "staple battery horse"
LOCK_WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
pytestmark = pytest.mark.django_db
# Another thread sends mail, and sees only committed data.
with_mail = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _with_mail(settings: Settings) -> None:
    settings.EMAIL_URL = "console://"


def change_form(**fields: str) -> dict[str, str]:
    return {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD, **fields}


def test_password_change_keeps_this_login_and_ends_the_others(owner: User, owner_client: Client) -> None:
    other_browser = Client()
    other_browser.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    response = owner_client.post(CHANGE, change_form(), follow=True)
    assert "Your password is changed." in response.content.decode()
    owner.refresh_from_db()
    assert owner.check_password(NEW_PASSWORD)
    assert owner_client.get("/").status_code == 200
    assert other_browser.get("/").status_code == 302


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"old_password": "wrong"}, "That is not your current password."),
        ({"new_password2": "another one"}, "didn’t match"),
        ({"new_password1": "short", "new_password2": "short"}, "too short"),
    ],
)
def test_invalid_password_form_shows_an_error(
    owner: User, owner_client: Client, fields: dict[str, str], message: str
) -> None:
    assert message in owner_client.post(CHANGE, change_form(**fields)).content.decode()
    owner.refresh_from_db()
    assert owner.check_password(PASSWORD)


def test_wrong_current_passwords_are_rate_limited(owner_client: Client) -> None:
    responses = [owner_client.post(CHANGE, change_form(old_password="wrong")).status_code for _ in range(10)]
    assert responses == [200] * 9 + [429]
    assert owner_client.post(CHANGE, change_form()).status_code == 429


def request_reset(client: Client, email: str) -> str:
    response = client.post(RESET, {"email": email}, follow=True)
    wait_for_mail()
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", response.content.decode())


@with_mail
def test_reset_link_sets_a_new_password_once(client: Client, owner: User, mailoutbox: list[EmailMessage]) -> None:
    request_reset(client, "Owner@example.com")
    mail = mailoutbox[0]
    assert mail.to == [owner.email]
    assert mail.subject == "Choose a new Threadkeeper password"
    page = client.get(link_in(mail), follow=True)
    response = client.post(
        page.redirect_chain[-1][0], {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}, follow=True
    )
    assert "Your new password is set." in response.content.decode()
    owner.refresh_from_db()
    assert owner.check_password(NEW_PASSWORD)
    assert not get_user(client).is_authenticated
    assert "This link no longer works" in client.get(link_in(mail), follow=True).content.decode()


@with_mail
def test_concurrent_uses_of_a_reset_link_succeed_once(
    client: Client, owner: User, mailoutbox: list[EmailMessage]
) -> None:
    request_reset(client, owner.email)
    address = link_in(mailoutbox[0])
    browsers = [Client(), Client()]
    pages = [browser.get(address, follow=True).redirect_chain[-1][0] for browser in browsers]

    def set_password(browser: Client, page: str, password: str) -> str:
        try:
            fields = {"new_password1": password, "new_password2": password}
            return browser.post(page, fields, follow=True).content.decode()
        finally:
            connection.close()

    def both_wait() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(LOCK_WAITS)
            return bool(cursor.fetchone() == (2,))

    with ThreadPoolExecutor(2) as pool:
        # The row stays locked until both requests wait for it.
        with transaction.atomic():
            User.objects.select_for_update().get(pk=owner.pk)
            results = pool.map(set_password, browsers, pages, [NEW_PASSWORD, f"{NEW_PASSWORD} 2"])
            eventually(both_wait, what="two requests waiting for the account's lock")
        bodies = list(results)
    assert sorted("Your new password is set." in page for page in bodies) == [False, True]
    assert sum("This link no longer works" in page for page in bodies) == 1


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
def test_reset_link_ignores_the_host_header(
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
    request_reset(client, owner.email)
    assert f"{origin}/accounts/reset/" in str(mailoutbox[0].body)
    assert "evil" not in str(mailoutbox[0].body)


@with_mail
def test_reset_ends_all_logins_and_tokens(
    client: Client, owner: User, owner_client: Client, mailoutbox: list[EmailMessage]
) -> None:
    named_token = tokens.make(user=owner, name="script", scopes=["tasks"])
    PER_ACCOUNT.count(owner.email)
    request_reset(client, owner.email)
    page = client.get(link_in(mailoutbox[0]), follow=True)
    assert "all your tokens are revoked" in page.content.decode()
    form = {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    assert client.post(page.redirect_chain[-1][0], form).status_code == 302
    assert owner_client.get("/").status_code == 302
    assert client.get("/api/tasks", headers=auth_header(named_token.key)).status_code == 401
    assert not AttemptCount.objects.filter(key=PER_ACCOUNT._key(owner.email)).exists()
    for address in (f"198.51.100.{n}" for n in range(PER_ACCOUNT.most)):
        Client().post("/accounts/login/", {"username": owner.email, "password": "wrong"}, REMOTE_ADDR=address)
    # The browser that used the link is a known device.
    assert client.post("/accounts/login/", {"username": owner.email, "password": NEW_PASSWORD}).status_code == 302


@with_mail
def test_reset_requests_are_limited_per_client_address(
    client: Client, settings: Settings, mailoutbox: list[EmailMessage]
) -> None:
    responses = [client.post(RESET, {"email": f"p{n}@example.com"}).status_code for n in range(settings.MAILS_PER_HOUR)]
    assert set(responses) == {302}
    limited = client.post(RESET, {"email": "one@example.com"})
    assert (limited.status_code, "Retry-After" in limited) == (429, True)
    wait_for_mail()


@with_mail
def test_mail_failure_is_logged_without_the_address(
    client: Client, owner: User, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    request_reset(client, owner.email)
    assert "A mail could not be sent: ConnectionRefusedError" in caplog.text
    assert owner.email not in caplog.text


def test_full_mail_queue_returns_503_for_any_address(client: Client, owner: User) -> None:
    for _ in range(mail_threads.MAX_PENDING):
        assert mail_threads._places.acquire(timeout=10)
    try:
        responses = [client.post(RESET, {"email": email}) for email in (owner.email, "nobody@example.com")]
    finally:
        mail_threads._places.release(mail_threads.MAX_PENDING)
    assert {(response.status_code, response["Retry-After"]) for response in responses} == {(503, "60")}


@with_mail
def test_reset_response_does_not_reveal_accounts(client: Client, owner: User, mailoutbox: list[EmailMessage]) -> None:
    assert request_reset(client, owner.email) == request_reset(client, "nobody@example.com")
    assert [mail.to for mail in mailoutbox] == [[owner.email]]


@with_mail
def test_repeated_reset_requests_send_one_mail(client: Client, owner: User, mailoutbox: list[EmailMessage]) -> None:
    for email in (owner.email, owner.email.upper(), owner.email):
        request_reset(client, email)
    assert len(mailoutbox) == 1


@with_mail
def test_deactivated_user_gets_no_reset_link(client: Client, owner: User, mailoutbox: list[EmailMessage]) -> None:
    User.objects.update(is_active=False)
    request_reset(client, owner.email)
    assert not mailoutbox


@pytest.mark.parametrize("path", ["MQ/set-password/", "MQ/abc-def/"])
def test_forged_reset_link_is_rejected(client: Client, path: str) -> None:
    response = client.get(RESET + path, follow=True)
    assert "This link no longer works" in response.content.decode()


def test_reset_page_without_mail_names_the_administrator(client: Client, settings: Settings) -> None:
    settings.EMAIL_URL = ""
    assert "Ask an administrator" in client.get(RESET).content.decode()
    assert "Ask an administrator" in client.post(RESET, {"email": "owner@example.com"}).content.decode()
