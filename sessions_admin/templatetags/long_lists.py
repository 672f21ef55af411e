"""Parts of lists that may be very long."""

from django import template
from django.contrib.admin.views.main import ChangeList

from sessions_admin.admin import lists

register = template.Library()


@register.inclusion_tag("admin/date_hierarchy.html")
def date_drilldown(changes: ChangeList) -> dict[str, object]:
    """Offer dates to narrow a list to."""
    return lists.drilldown(changes)
