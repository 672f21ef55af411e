"""Each trap that settings can hold is found, and named in a sentence."""

from copy import deepcopy
from pathlib import Path

import pytest
from django.conf import settings
from django.core.checks import run_checks
from pytest_django.fixtures import Settings

from config.checks import TAG


def found() -> set[str]:
    return {message.id or "" for message in run_checks(tags=[TAG])}


def test_the_settings_as_they_are_hold_none() -> None:
    assert found() == set()


def test_daphne_after_staticfiles(settings: Settings) -> None:
    settings.INSTALLED_APPS = [*[app for app in settings.INSTALLED_APPS if app != "daphne"], "daphne"]
    assert found() == {"threadkeeper.E001"}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("CONN_MAX_AGE", 60, "threadkeeper.E002"),
        ("CONN_MAX_AGE", None, "threadkeeper.E002"),
        ("DISABLE_SERVER_SIDE_CURSORS", False, "threadkeeper.E003"),
    ],
)
def test_database(monkeypatch: pytest.MonkeyPatch, name: str, value: object, expected: str) -> None:
    database = deepcopy(settings.DATABASES["default"])
    monkeypatch.setitem(settings.DATABASES, "default", {**database, name: value})
    assert found() == {expected}


def test_a_pool_in_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    database = settings.DATABASES["default"]
    monkeypatch.setitem(settings.DATABASES, "default", {**database, "OPTIONS": {"pool": {"max_size": 4}}})
    assert found() == set()
    monkeypatch.setattr("sys.argv", ["manage.py", "qcluster"])
    assert found() == {"threadkeeper.E007"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"retry": 900}, "threadkeeper.E004"), ({"catch_up": True}, "threadkeeper.E005")],
)
def test_worker(settings: Settings, change: dict[str, object], expected: str) -> None:
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, **change}
    assert found() == {expected}


def test_a_cache_that_one_process_sees(settings: Settings) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    assert found() == {"threadkeeper.E006"}


@pytest.mark.parametrize("key", ["short", "a" * 60])
def test_a_key_that_can_be_guessed(settings: Settings, key: str) -> None:
    settings.SECRET_KEY = key
    assert found() == {"threadkeeper.E008"}


def test_mail_without_a_public_url(settings: Settings) -> None:
    settings.EMAIL_URL = "smtp://mail.example.com"
    assert found() == {"threadkeeper.W004"}
    settings.PUBLIC_URL = "https://chat.example.com"
    assert found() == set()


def test_a_proxy_that_may_not_be_there(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PUBLIC_URL, settings.TRUSTED_PROXIES = "http://chat.example.com", 1
    assert found() == {"threadkeeper.W005"}
    monkeypatch.setenv("TRUSTED_PROXIES", "1")
    assert found() == set()


def test_a_proxy_that_the_model_cannot_be_reached_through(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    settings.OPENAI_BASE_URL = "https://models.example.com/v1"
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    assert found() == set()
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1080")
    assert found() == {"threadkeeper.E010"}


def test_a_session_file_that_cannot_be_made(settings: Settings, tmp_path: Path) -> None:
    settings.AGENT_SESSION_DB_PATH = tmp_path / "missing" / "agent_sessions.db"
    assert found() == {"threadkeeper.W001"}


def test_a_session_file_that_others_can_read(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "agent_sessions.db"
    path.touch(mode=0o644)
    path.chmod(0o644)
    settings.AGENT_SESSION_DB_PATH = path
    assert found() == {"threadkeeper.W002"}
