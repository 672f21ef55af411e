"""How what is in a session is shown."""

import json

from django import template

register = template.Library()


@register.filter
def pretty(value: object) -> str:
    """Show a value as JSON for people; a text that is JSON as what it is."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    return json.dumps(value, indent=2, ensure_ascii=False)
