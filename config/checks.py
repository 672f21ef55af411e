"""System checks for known pitfalls of the stack, each with its consequence."""

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Warning, register

from chat.assistant.configured import is_offline
from chat.exceptions import BadExtraTools

TAG = "traps"
PROCESS_LOCAL_CACHES = ("LocMemCache", "DummyCache")


@register(TAG)
def check_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check the settings for every known pitfall."""
    settings_checks = (_apps, _database, _worker, _secrets, _public_url, _proxy, _session_folder, _backups)
    return [found for check in (*settings_checks, _extra_tools, _extra_apps) for found in check()]


def _apps() -> Iterator[CheckMessage]:
    names = list(settings.INSTALLED_APPS)
    if "django.contrib.staticfiles" in names and names.index("daphne") > names.index("django.contrib.staticfiles"):
        yield Error(
            "daphne comes after staticfiles.",
            hint="Put daphne first in INSTALLED_APPS: otherwise runserver is not daphne's and has no websockets.",
            id="threadkeeper.E001",
        )


def _database() -> Iterator[CheckMessage]:
    database = settings.DATABASES["default"]
    if database.get("CONN_MAX_AGE", 0) != 0:
        yield Error(
            "CONN_MAX_AGE is not 0.",
            hint="Under ASGI each thread would keep its own connection and never close it.",
            id="threadkeeper.E002",
        )
    if not database.get("DISABLE_SERVER_SIDE_CURSORS"):
        yield Error(
            "DISABLE_SERVER_SIDE_CURSORS is not set.",
            hint="A transaction-pooled server (PgBouncer, Neon) loses the cursor between two fetches.",
            id="threadkeeper.E003",
        )


def _worker() -> Iterator[CheckMessage]:
    cluster: dict[str, Any] = settings.Q_CLUSTER
    if cluster["retry"] <= cluster["timeout"]:
        yield Error(
            "Q_CLUSTER: retry is not longer than timeout.",
            hint="A task that still runs would be started a second time.",
            id="threadkeeper.E004",
        )
    if cluster.get("catch_up", True):
        yield Error(
            "Q_CLUSTER: catch_up is on.",
            hint="After a pause the daily clean-up would run once for each day missed.",
            id="threadkeeper.E005",
        )
    if settings.CACHES["default"]["BACKEND"].endswith(PROCESS_LOCAL_CACHES):
        yield Error(
            "The cache is local to one process.",
            hint="The worker reports its status to the server in the cache: use the database cache or Redis.",
            id="threadkeeper.E006",
        )
    if "qcluster" in sys.argv[1:2] and "pool" in settings.DATABASES["default"].get("OPTIONS", {}):
        yield Error(
            "The worker has a pool of database connections.",
            hint="Unset DATABASE_POOL_SIZE for it: a forked pool deadlocks.",
            id="threadkeeper.E007",
        )


def _secrets() -> Iterator[CheckMessage]:
    if len(settings.SECRET_KEY) < 32 or len(set(settings.SECRET_KEY)) < 5:
        yield Error(
            "SECRET_KEY can be guessed.",
            hint="Use 50 random characters, or unset it: a key is then created and stored in DATA_DIR.",
            id="threadkeeper.E008",
        )


def _public_url() -> Iterator[CheckMessage]:
    if settings.EMAIL_URL and not settings.PUBLIC_URL:
        yield Warning(
            "EMAIL_URL is set and PUBLIC_URL is not: links in mails lead to the first name in ALLOWED_HOSTS.",
            hint="Set PUBLIC_URL to the address of the site.",
            id="threadkeeper.W004",
        )
    if settings.PUBLIC_URL.startswith("http://") and settings.TRUSTED_PROXIES and "TRUSTED_PROXIES" not in os.environ:
        yield Warning(
            "PUBLIC_URL has no https, and one proxy is trusted to append the client's address to X-Forwarded-For.",
            hint="Without a proxy set TRUSTED_PROXIES=0, or clients choose their address. With one, set it to 1.",
            id="threadkeeper.W005",
        )


def _proxy() -> Iterator[CheckMessage]:
    if is_offline():
        return
    import httpx  # slow to import

    try:
        httpx.Client().close()
    except (ValueError, ImportError):
        yield Error(
            "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names a proxy of an unsupported type.",
            hint="The model is reached through it: use http://, https://, socks5:// or socks5h://, or unset it.",
            id="threadkeeper.E010",
        )


def _session_folder() -> Iterator[CheckMessage]:
    if settings.AGENT_SESSION_STORE != "file":
        return
    path = Path(settings.AGENT_SESSION_DB_PATH)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        yield Warning(
            f"The folder {path.parent} cannot be written.",
            hint="Turns run without context until AGENT_SESSION_DB_PATH is in a writable folder.",
            id="threadkeeper.W001",
        )
    elif path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Warning(
            f"{path} can be read by other users of this machine.", hint=f"chmod 600 {path}", id="threadkeeper.W002"
        )


def _backups() -> Iterator[CheckMessage]:
    target = settings.BACKUP_TO
    if (
        target
        and not target.startswith("s3://")
        and not (os.path.isdir(target) and os.access(target, os.W_OK | os.X_OK))
    ):
        yield Warning(
            f"BACKUP_TO is not a folder that this process can write to: {target}",
            hint="Where the worker runs, it must be one, or s3://bucket/folder/. Otherwise the daily backup fails.",
            id="threadkeeper.W007",
        )


def _extra_tools() -> Iterator[CheckMessage]:
    if not settings.AGENT_EXTRA_TOOLS:
        return
    # The SDK is slow to import, and most installations do not use it.
    from chat.assistant.extra import load

    try:
        load(settings.AGENT_EXTRA_TOOLS)
    except BadExtraTools as error:
        yield Error(error.detail, hint="See docs/how-to/add-a-tool.md.", id="threadkeeper.E009")
    if is_offline():
        yield Warning(
            "AGENT_EXTRA_TOOLS is set, and the built-in offline model answers: it uses none of them.",
            hint="Set OPENAI_API_KEY or OPENAI_BASE_URL.",
            id="threadkeeper.W003",
        )


def _extra_apps() -> Iterator[CheckMessage]:
    for config in apps.get_app_configs():
        paths = (config.name, f"{type(config).__module__}.{type(config).__name__}")
        if not any(path in settings.EXTRA_APPS for path in paths) or hasattr(config, "personal_data"):
            continue
        fields = (field for model in config.get_models() for field in model._meta.fields)
        if any(field.related_model is get_user_model() for field in fields):
            yield Warning(
                f"The app {config.label} stores data of users, and its AppConfig has no personal_data.",
                hint="Exports and erasures skip it. See docs/how-to/add-a-django-app.md.",
                id="threadkeeper.W006",
            )
