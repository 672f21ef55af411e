"""Tags for the settings page."""

from datetime import timedelta

from django import template
from django.utils import timezone

from chat.models import User
from sessions_admin.audit import staff_accesses

register = template.Library()

RECENT = timedelta(days=30)


@register.simple_tag
def staff_accessed_recently(person: User) -> bool:
    """Return whether staff inspected a user's chats within the last 30 days."""
    latest = staff_accesses(person.pk, limit=1)
    return bool(latest) and latest[0].at > timezone.now() - RECENT
