"""Each trap that settings can hold is found, and named in a sentence."""

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


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("INSTALLED_APPS", [*[app for app in settings.INSTALLED_APPS if app != "daphne"], "daphne"], "E001"),
        ("Q_CLUSTER", {**settings.Q_CLUSTER, "retry": 900}, "E004"),
        ("Q_CLUSTER", {**settings.Q_CLUSTER, "catch_up": True}, "E005"),
        ("CACHES", {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}, "E006"),
        ("SECRET_KEY", "short", "E008"),
        ("SECRET_KEY", "a" * 60, "E008"),
        ("AGENT_SESSION_DB_PATH", Path("/missing/agent_sessions.db"), "W001"),
    ],
)
def test_a_setting(settings: Settings, name: str, value: object, expected: str) -> None:
    setattr(settings, name, value)
    assert found() == {f"threadkeeper.{expected}"}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("CONN_MAX_AGE", 60, "E002"), ("CONN_MAX_AGE", None, "E002"), ("DISABLE_SERVER_SIDE_CURSORS", False, "E003")],
)
def test_database(monkeypatch: pytest.MonkeyPatch, name: str, value: object, expected: str) -> None:
    monkeypatch.setitem(settings.DATABASES, "default", {**settings.DATABASES["default"], name: value})
    assert found() == {f"threadkeeper.{expected}"}


def test_a_pool_in_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    database = settings.DATABASES["default"]
    monkeypatch.setitem(settings.DATABASES, "default", {**database, "OPTIONS": {"pool": {"max_size": 4}}})
    assert found() == set()
    monkeypatch.setattr("sys.argv", ["manage.py", "qcluster"])
    assert found() == {"threadkeeper.E007"}


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


def test_a_session_file_that_others_can_read(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "agent_sessions.db"
    path.touch(mode=0o644)
    path.chmod(0o644)
    settings.AGENT_SESSION_DB_PATH = path
    assert found() == {"threadkeeper.W002"}
