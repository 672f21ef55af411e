#!/usr/bin/env python
"""Run a command of the project."""

import os
import sys
import warnings

# These ask the database nothing that they could not do without. `up` starts one itself.
NO_DATABASE = {
    "check",
    "check_model",
    "collectstatic",
    "compilemessages",
    "diffsettings",
    "findstatic",
    "help",
    "makemessages",
    "makemigrations",
    "startapp",
    "up",
    "version",
}


def needs_database(words: list[str]) -> bool:
    """Return whether a command line is that of a command which asks the database."""
    return bool(words) and words[0] not in NO_DATABASE and not {"--help", "-h", "--version"} & set(words)


def run(argv: list[str]) -> None:
    """Carry out a command on a database that this version knows. Raise CannotStart."""
    import django
    from django.core.management import execute_from_command_line

    from config.versions import refuse_newer_database

    django.setup()
    refuse_newer_database()
    execute_from_command_line(argv)


def main() -> None:
    """Hand the command line to Django; without DATABASE_URL, with the data folder's own server running meanwhile."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    from config import settings
    from config.exceptions import CannotStart
    from config.runtime.embedded_postgres import EmbeddedPostgresError, start

    words = sys.argv[1:]
    if not needs_database(words):
        # Without a server, the history of migrations cannot be compared.
        warnings.filterwarnings("ignore", message="Got an error checking a consistent migration history")
        execute_from_command_line(sys.argv)
        return
    if settings.DATABASE_URL:
        run(sys.argv)
        return
    try:
        server = start(settings.EMBEDDED_POSTGRES_DIR)
    except EmbeddedPostgresError as error:
        raise CannotStart(str(error)) from error
    try:
        run(sys.argv)
    finally:
        server.stop(wait_for_others=True)


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except KeyboardInterrupt:  # before a command handles it
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
