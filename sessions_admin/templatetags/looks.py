"""Tags for the settings page."""

from datetime import timedelta

from django import template
from django.utils import timezone

from chat.models import User
from sessions_admin.audit import looks_at

register = template.Library()

LATELY = timedelta(days=30)


@register.simple_tag
def looked_lately(person: User) -> bool:
    """Return whether staff inspected a user's chats within the last 30 days."""
    newest = looks_at(person.pk, limit=1)
    return bool(newest) and newest[0].at > timezone.now() - LATELY
