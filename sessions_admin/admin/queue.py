"""django-q2's own pages, for superusers alone: a schedule can name any function there is."""

from django.contrib import admin
from django_q.admin import FailAdmin, QueueAdmin, ScheduleAdmin, TaskAdmin
from django_q.models import Failure, OrmQ, Schedule, Success

from sessions_admin.admin.shown import SuperusersOnly

for model, theirs in ((Schedule, ScheduleAdmin), (Success, TaskAdmin), (Failure, FailAdmin), (OrmQ, QueueAdmin)):
    admin.site.unregister(model)
    admin.site.register(model, type(theirs.__name__, (SuperusersOnly, theirs), {}))
