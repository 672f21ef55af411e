"""The logs of all libraries contain neither user text nor secrets."""

import json
import logging
import sys

import psycopg
import pytest
from django.db import IntegrityError, connection
from django.test import Client, RequestFactory
from django.urls import resolve
from pydantic import BaseModel

from chat.models import User
from config.logging import JsonFormatter, SafeFormatter

SECRET = "s3cret"


def formatted(name: str, message: object, *args: object, **attributes: object) -> str:
    error = sys.exc_info()
    record = logging.getLogger(name).makeRecord(
        name, logging.ERROR, __file__, 1, message, args, error if error[0] else None, extra=attributes
    )
    return SafeFormatter("{name}: {message}", style="{").format(record)


class Model(BaseModel):
    """A model whose validation error quotes the input."""

    number: int


def test_own_loggers_keep_arguments_without_texts_of_errors() -> None:
    error = psycopg.OperationalError("connection to s3cret failed")
    assert formatted("chat.x", "Turn %s: %s", 7, error) == "chat.x: Turn 7: OperationalError"
    assert formatted("config.x", "%s", OSError(28, "No space left on device", "/s3cret")) == (
        "config.x: OSError (No space left on device)"
    )


@pytest.mark.parametrize(
    ("message", "args", "expected"),
    [
        ("Login failed for %s, attempt %d", (SECRET, 3), "Login failed for …, attempt 3"),
        ("Error: %(what)s", ({"what": SECRET},), "Error: …"),
        ("Got %r from %s", (ValueError(SECRET), int), "Got ValueError from int"),
        ("Invalid input: s3cret", (), "Invalid input"),
        ("It was never retrieved\nfuture: <Task exception=ValueError('s3cret')>", (), "It was never retrieved"),
        ("Failed 'sessions_admin.tasks.cleanup' (two-words) - s3cret", (), "Failed 'sessions_admin.tasks.cleanup"),
        ("Unknown event {'text': 's3cret'}", (), "Unknown event"),
        ("Two places %s", (), "Two places %s"),
        ("Too few %s %s", (SECRET,), "Too few %s %s"),
    ],
)  # fmt: skip
def test_library_loggers_omit_text_arguments(message: str, args: tuple[object, ...], expected: str) -> None:
    assert formatted("library.x", message, *args) == f"library.x: {expected}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer …"),
        ("token tk_abcdefgh is wrong", "token tk_… is wrong"),
        ("GET /search/?q=s3cret&x=1 took", "GET /search/?… took"),
        ("proxy socks5://me:s3cret@host:1080", "proxy socks5://…@host:1080"),
        ("Really? a=b", "Really? a=b"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
    ],
)
def test_known_forms_of_secrets_are_masked(text: str, expected: str) -> None:
    assert formatted("chat.x", "%s", text) == f"chat.x: {expected}"


def test_traceback_shows_functions_and_exception_types() -> None:
    try:
        try:
            Model.model_validate({"number": SECRET})
        except ValueError as error:
            raise ExceptionGroup(SECRET, [KeyError(SECRET), error]) from error
    except ExceptionGroup:
        text = formatted("chat.x", "It failed.")
    assert SECRET not in text
    assert text.startswith("chat.x: It failed.\nTraceback (most recent call last):\n")
    assert "test_traceback_shows_functions_and_exception_types" in text
    assert [word for word in ("ValidationError", "ExceptionGroup", "KeyError") if word not in text] == []


@pytest.mark.django_db
def test_database_error_shows_its_code_and_constraint(owner: User) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO chat_user SELECT * FROM chat_user")
    except IntegrityError:
        text = formatted("django.db", "It failed")
    assert "UniqueViolation (SQLSTATE 23505, constraint chat_user_pkey)" in text
    assert owner.email not in text and str(owner.pk) not in text


def test_request_is_logged_with_its_url_pattern(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setFormatter(SafeFormatter("{levelname} {name}: {message}", style="{"))
    with caplog.at_level("WARNING"):
        client.post("/accounts/reset/s3cret/s3cret/", headers={"host": "s3cret.example"})
        client.get("/s3cret?q=s3cret")
        client.post("/accounts/reset/sent/?q=s3cret")
    assert caplog.text.splitlines() == [
        "WARNING django.security.DisallowedHost: POST an unknown path answered 400 DisallowedHost",
        "WARNING django.request: GET an unknown path answered 404",
        "WARNING django.request: POST /accounts/reset/sent/ answered 405",
    ]


def test_request_with_secret_in_path_is_logged_with_its_url_pattern() -> None:
    request = RequestFactory().get("/accounts/reset/s3cret/s3cret/?q=s3cret")
    request.resolver_match = resolve("/accounts/reset/s3cret/s3cret/")
    assert formatted("django.request", "Internal Server Error: %s", request.path, request=request, status_code=500) == (
        "django.request: GET /accounts/reset/<uidb64>/<token>/ answered 500"
    )


def test_json_log_entry_is_one_line_of_ascii() -> None:
    record = logging.getLogger("chat.x").makeRecord(
        "chat.x", logging.INFO, __file__, 1, "a\nb\x85c\u2028d\ud800", (), None
    )
    line = JsonFormatter().format(record)
    assert line.isascii() and line.splitlines() == [line]
    assert json.loads(line)["message"] == "a\nb\x85c\u2028d\ud800"
