"""Parts of very long lists."""

from django import template
from django.contrib.admin.options import IS_FACETS_VAR, IS_POPUP_VAR
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList

from sessions_admin.admin import lists

register = template.Library()


@register.inclusion_tag("admin/date_hierarchy.html")
def date_drilldown(changes: ChangeList) -> dict[str, object]:
    """Show the dates by which a list can be filtered."""
    return lists.drilldown(changes)


@register.inclusion_tag("admin/search_form.html")
def search_within(changes: ChangeList) -> dict[str, object]:
    """Show Django's search form, with the number of results only if all were counted."""
    return {
        "cl": changes,
        "show_result_count": not getattr(changes.paginator, "is_cut", False),
        "search_var": SEARCH_VAR,
        "is_popup_var": IS_POPUP_VAR,
        "is_facets_var": IS_FACETS_VAR,
    }
