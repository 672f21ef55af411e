"""The worker's queue, read-only: schedules are defined in code, and a schedule can name any callable.

The arguments and results of tasks are not shown: they may name users.
"""

from django.contrib import admin
from django_q.models import Failure, OrmQ, Schedule, Success

from sessions_admin.admin.base import SuperusersReadOnly

for model in (Schedule, Success, Failure, OrmQ):
    admin.site.unregister(model)


@admin.register(Schedule)
class ScheduleAdmin(SuperusersReadOnly[Schedule]):
    """The worker's schedule."""

    list_display = fields = ("name", "func", "schedule_type", "cron", "next_run", "repeats")
    ordering = ("next_run",)


class TaskAdmin(SuperusersReadOnly[Success | Failure]):
    """Finished tasks, without a way to run them again."""

    list_display = fields = ("name", "func", "group", "started", "stopped", "attempt_count")
    list_filter = ("group",)
    search_fields = ("name", "func")


admin.site.register((Success, Failure), TaskAdmin)


@admin.register(OrmQ)
class QueuedTaskAdmin(SuperusersReadOnly[OrmQ]):
    """Queued tasks; a task that the worker has taken is locked until `lock`."""

    list_display = fields = ("id", "key", "lock")
