"""Tags for the admin's start page."""

from datetime import timedelta

from django import template
from django.utils import timezone

from chat.models import Quarantined

register = template.Library()

SHOWN_FOR = timedelta(days=7)


@register.simple_tag
def set_aside() -> Quarantined | None:
    """Return the newest recently quarantined session file."""
    files = Quarantined.objects.filter(session_id="", created_at__gt=timezone.now() - SHOWN_FOR)
    return files.order_by("-created_at").first()
