"""Tags for notices about recent events."""

from datetime import timedelta

from django import template
from django.utils import timezone

from chat.models import Quarantined, User
from sessions_admin.audit import staff_accesses

register = template.Library()

ACCESS_SHOWN_FOR, FILE_SHOWN_FOR = timedelta(days=30), timedelta(days=7)


@register.simple_tag
def staff_accessed_recently(person: User) -> bool:
    """Return whether staff inspected a user's chats within the last 30 days."""
    latest = staff_accesses(person.pk, limit=1)
    return bool(latest) and latest[0].at > timezone.now() - ACCESS_SHOWN_FOR


@register.simple_tag
def quarantined_file() -> Quarantined | None:
    """Return the newest recently quarantined session file."""
    files = Quarantined.objects.filter(session_id="", created_at__gt=timezone.now() - FILE_SHOWN_FOR)
    return files.order_by("-created_at").first()
