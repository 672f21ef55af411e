"""Filters for inspected sessions."""

import json

from django import template

register = template.Library()


@register.filter
def pretty(value: object) -> str:
    """Format a value, or JSON text, as indented JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    return json.dumps(value, indent=2, ensure_ascii=False)
