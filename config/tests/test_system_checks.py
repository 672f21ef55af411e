"""System checks find each misconfiguration and report it under its id."""

from pathlib import Path

import pytest
from django.conf import settings
from django.core.checks import run_checks
from pytest_django.fixtures import Settings

from config.checks import TAG


def reported_ids() -> set[str]:
    return {message.id or "" for message in run_checks(tags=[TAG])}


def test_default_settings_pass_all_checks() -> None:
    assert reported_ids() == set()


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
        ("BACKUP_TO", "/missing/backups", "W007"),
    ],
)
def test_invalid_setting_is_reported(settings: Settings, name: str, value: object, expected: str) -> None:
    setattr(settings, name, value)
    assert reported_ids() == {f"threadkeeper.{expected}"}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("CONN_MAX_AGE", 60, "E002"), ("CONN_MAX_AGE", None, "E002"), ("DISABLE_SERVER_SIDE_CURSORS", False, "E003")],
)
def test_invalid_database_option_is_reported(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, expected: str
) -> None:
    monkeypatch.setitem(settings.DATABASES, "default", {**settings.DATABASES["default"], name: value})
    assert reported_ids() == {f"threadkeeper.{expected}"}


def test_connection_pool_in_worker_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    database = settings.DATABASES["default"]
    monkeypatch.setitem(settings.DATABASES, "default", {**database, "OPTIONS": {"pool": {"max_size": 4}}})
    assert reported_ids() == set()
    monkeypatch.setattr("sys.argv", ["manage.py", "qcluster"])
    assert reported_ids() == {"threadkeeper.E007"}


def test_mail_without_public_url_is_reported(settings: Settings) -> None:
    settings.EMAIL_URL = "smtp://mail.example.com"
    assert reported_ids() == {"threadkeeper.W004"}
    settings.PUBLIC_URL = "https://chat.example.com"
    assert reported_ids() == set()


def test_default_proxy_count_with_public_url_is_reported(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PUBLIC_URL, settings.TRUSTED_PROXIES = "http://chat.example.com", 1
    assert reported_ids() == {"threadkeeper.W005"}
    monkeypatch.setenv("TRUSTED_PROXIES", "1")
    assert reported_ids() == set()


def test_unsupported_proxy_to_the_model_is_reported(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    settings.OPENAI_BASE_URL = "https://models.example.com/v1"
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    assert reported_ids() == set()
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1080")
    assert reported_ids() == {"threadkeeper.E010"}


def test_session_file_readable_by_other_users_is_reported(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "agent_sessions.db"
    path.touch(mode=0o644)
    path.chmod(0o644)
    settings.AGENT_SESSION_DB_PATH = path
    assert reported_ids() == {"threadkeeper.W002"}
