"""What an erasure cannot remove and no search can find, and how long it lasts."""

from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from config.runtime.embedded_postgres import url_of
from sessions_admin.audit import successful_records
from sessions_admin.models import Action


@dataclass(frozen=True, slots=True)
class BeyondReach:
    """A place that may still contain erased data, and until when."""

    what: str
    until: str


def beyond_reach() -> tuple[BeyondReach, ...]:
    """Return the limits of an erasure, by the settings of the database server."""
    return (
        BeyondReach(f"Backups made before the erasure ({_last_backup()}), and exports", "you delete them"),
        BeyondReach("Deleted rows in PostgreSQL's files", _until_vacuumed()),
        BeyondReach("PostgreSQL's write-ahead log", _until_recycled()),
        *(() if _is_embedded() else (BeyondReach("The log of your PostgreSQL server", "your server removes it"),)),
    )


def _last_backup() -> str:
    last = successful_records().filter(action=Action.BACKUP).order_by("-pk").first()
    return f"the last known one was made on {last.at:%Y-%m-%d at %H:%M} UTC" if last else "none is known"


def _until_vacuumed() -> str:
    if _setting("autovacuum") != "on":
        return "you run VACUUM, and other rows take their place"
    return "autovacuum has run, as a rule within minutes, and other rows take their place"


def _until_recycled() -> str:
    seconds = 2 * int(_setting("checkpoint_timeout"))
    recycled = f"its segments are reused, as a rule within two checkpoints ({seconds // 60} minutes)"
    return (
        f"{recycled}, and you delete what your server has archived" if _setting("archive_mode") != "off" else recycled
    )


def _setting(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT setting FROM pg_settings WHERE name = %s", [name])
        (value,) = cursor.fetchone() or ("",)
    return str(value)


def _is_embedded() -> bool:
    return settings.DATABASE_URL in ("", url_of(settings.EMBEDDED_POSTGRES_DIR))
