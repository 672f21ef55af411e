"""The worker's queue, to be read only: schedules belong to the code, and a schedule can name any callable.

What a task was given and returned is not shown: it may name people.
"""

from django.contrib import admin
from django_q.models import Failure, OrmQ, Schedule, Success

from sessions_admin.admin.base import SuperusersReadOnly

for model in (Schedule, Success, Failure, OrmQ):
    admin.site.unregister(model)


@admin.register(Schedule)
class ScheduleAdmin(SuperusersReadOnly[Schedule]):
    """What the worker does at which times."""

    list_display = fields = ("name", "func", "schedule_type", "cron", "next_run", "repeats")
    ordering = ("next_run",)


class TaskAdmin(SuperusersReadOnly[Success | Failure]):
    """What the worker did, without a way to have it done again."""

    list_display = fields = ("name", "func", "group", "started", "stopped", "attempt_count")
    list_filter = ("group",)
    search_fields = ("name", "func")


admin.site.register((Success, Failure), TaskAdmin)


@admin.register(OrmQ)
class QueuedTaskAdmin(SuperusersReadOnly[OrmQ]):
    """What waits for the worker; a task that it has taken is locked until then."""

    list_display = fields = ("id", "key", "lock")
