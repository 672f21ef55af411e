from typing import Any

from django_q.management.commands import qcluster


class Command(qcluster.Command):  # type: ignore[misc]  # untyped
    help = "Run the worker: clean-ups and all other background tasks."

    def handle(self, *args: Any, **options: Any) -> None:
        from sessions_admin.cluster import install

        install()
        super().handle(*args, **options)
