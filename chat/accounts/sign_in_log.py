"""The log of sign-ins and failed sign-ins, in the tables of django-axes, without the contents of forms."""

from datetime import timedelta
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.http import HttpRequest
from django.utils import timezone

from chat.accounts import limits
from chat.infra.client_address import client_address
from chat.models import User
from chat.models.email import MAX_LENGTH
from chat.models.sql import change

RETENTION = timedelta(days=30)
BATCH = 5_000  # rows per deletion

_FAILED = """
INSERT INTO axes_accessattempt AS a (
    username, ip_address, user_agent, http_accept, path_info, attempt_time, get_data, post_data, failures_since_start
) VALUES (%(username)s, %(ip_address)s, %(user_agent)s, '', %(path_info)s, %(now)s, '', '', 1)
ON CONFLICT (username, ip_address, user_agent) DO UPDATE SET
    path_info = excluded.path_info, attempt_time = excluded.attempt_time,
    failures_since_start = a.failures_since_start + 1
"""


class SignInLog(AxesDatabaseHandler):  # type: ignore[misc]  # untyped
    """Logs what django-axes logs, except the contents of forms."""

    def user_login_failed(
        self, sender: object, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
    ) -> None:
        """Count a failed sign-in in the log."""
        if request is None:
            return
        # Only the address of an account: other input in this field may be a password.
        text = str(credentials.get("username") or "")[:MAX_LENGTH]
        found = User.objects.filter(email=text).values_list("email", flat=True) if "\0" not in text else ()
        values = {
            "username": next(iter(found), ""),
            "ip_address": client_address(request) or None,
            "user_agent": request.META.get("HTTP_USER_AGENT", "")[:255],
            "path_info": request.path[:255],
            "now": timezone.now(),
        }
        change(_FAILED, values)


def expire() -> int:
    """Remove records older than 30 days, and counts of attempts whose window has ended; return the number of rows."""
    now = timezone.now()
    removed = limits.forget_expired(now)
    for model in (AccessAttempt, AccessFailureLog, AccessLog):
        old = model.objects.filter(attempt_time__lt=now - RETENTION)
        while count := model.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:BATCH])).delete()[0]:
            removed += count
    return removed
