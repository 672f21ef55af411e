"""Staff users and the admin changelists that they can open."""

import re

from config.tests.attack.clients import Person

CHANGELIST = re.compile(r'href="(/admin/(?!auth/password)[a-z_]+/[a-z_0-9]+/)"')


def changelist_paths(staff: Person) -> list[str]:
    """Return the paths of the changelists that the admin index shows a user."""
    return sorted(set(CHANGELIST.findall(staff.browser.get("/admin/").text)))
