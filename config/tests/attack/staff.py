"""Staff, and what the administration offers them."""

import re

from config.tests.attack.clients import Person

CHANGELIST = re.compile(r'href="(/admin/(?!auth/password)[a-z_]+/[a-z_0-9]+/)"')


def lists_of(staff: Person) -> list[str]:
    """Return the lists that the admin offers somebody."""
    return sorted(set(CHANGELIST.findall(staff.browser.get("/admin/").text)))
