"""Staff who may see little and try to see more."""

import re
from collections import deque
from collections.abc import Iterator

import httpx

from config.tests.attack.clients import Person, new_person
from config.tests.attack.product import Product

CHANGELIST = re.compile(r'href="(/admin/(?!auth/password)[a-z_]+/[a-z_0-9]+/)"')
LINK = re.compile(r'href="(/admin/[^"#]*|\?[^"#]*)"')


def new_staff(product: Product, group: str = "") -> Person:
    """Make somebody of the staff, in a group or (without one) a superuser."""
    person = new_person(product, "staff", staff=True)
    if group:
        product.database.query("UPDATE chat_user SET is_superuser = false WHERE id = %s", person.id)
        product.database.query(
            "INSERT INTO chat_user_groups (user_id, group_id) SELECT %s, id FROM auth_group WHERE name = %s",
            person.id,
            group,
        )
    return person


def lists_of(staff: Person) -> list[str]:
    """Return the lists that the admin offers somebody."""
    return sorted(set(CHANGELIST.findall(staff.browser.get("/admin/").text)))


def crawl(staff: Person, *, most: int = 120) -> Iterator[httpx.Response]:
    """Follow every link of the admin that changes nothing; yield the pages."""
    waiting, seen = deque(["/admin/"]), {"/admin/"}
    while waiting and len(seen) <= most:
        page = staff.browser.get(waiting.popleft())
        yield page
        for link in LINK.findall(page.text):
            url = page.url.join(link.replace("&amp;", "&")).raw_path.decode()
            if url not in seen and "logout" not in url:
                seen.add(url)
                waiting.append(url)
