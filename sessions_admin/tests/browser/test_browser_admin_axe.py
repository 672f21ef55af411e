"""axe-core finds nothing in the administration, in light and dark; and its pages of ours fit a phone."""

import re

from playwright.sync_api import Page, expect

from chat.tests.browser.axe import violations
from chat.tests.browser.conftest import say
from sessions_admin.tests.browser.conftest import Site

# One of each template and kind of filter, search and action; what they list has its own page looked at below.
LISTS = (
    "chat/user",
    "chat/agentsession",
    "chat/apitoken",
    "chat/modelusage",
    "sessions_admin/auditrecord",
    "sessions_admin/cleanuprun",
)
# Of Django's own template: fields to be filled in, and fields to be read.
FORMS = ("auth/group", "sessions_admin/auditrecord")
# One that asks for nothing, one that destroys, one with all fields.
VERBS = ("Expire now…", "Clear permanently…", "Hold…")


def test_the_administration(site: Site) -> None:
    staff = site.person("staff@example.com")
    site.database.query("UPDATE chat_user SET is_staff = true, is_superuser = true WHERE email = %s", staff.email)
    page = staff.chat()
    say(page, "Add three tasks: book a table, call Mum, water the plants")
    page.goto(site.url + "/settings/tokens/")
    page.get_by_label("Name").fill("Laptop")
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Create token").click()
    found: dict[str, list[str]] = {}

    def look(name: str, *, fits: bool = True) -> None:
        if wrong := violations(page):
            found[name] = wrong
        if fits and (wide := width_on_a_phone(page)) > 390:
            found[f"{name} on a phone"] = [f"{wide} pixels wide", *too_wide(page)]
        page.set_viewport_size({"width": 1280, "height": 900})

    page.goto(site.url + "/admin/")
    look("dashboard")

    # A session: look into it, and each kind of verb.
    page.goto(site.url + "/admin/chat/agentsession/")
    page.locator("#result_list tbody th a").first.click()
    session = page.url
    look("session")
    for verb in VERBS:
        page.goto(session)
        page.get_by_role("button", name=verb).click()
        look(verb)
    page.goto(session)
    page.get_by_role("link", name="Inspect").click()
    look("inspect: why")
    page.get_by_label("Reason").fill("She asked")
    page.get_by_role("button", name="Inspect", exact=True).click()
    for details in page.locator("details").all():
        details.evaluate("one => { one.open = true }")
    look("inspect")

    # People, tokens, clean-ups, the comparison of the stores.
    page.goto(site.url + "/admin/chat/user/")
    page.locator("#result_list tbody th a", has_text="staff@").click()
    look("person")
    for verb in page.locator(".object-tools a[href*='/do/']").evaluate_all("links => links.map((link) => link.href)"):
        page.goto(verb)
        look(re.sub(r".*/do/", "", verb))
    page.goto(site.url + "/admin/chat/apitoken/")
    page.locator("#result_list input.action-select").first.check()
    page.locator("select[name=action]").select_option("revoke")
    page.get_by_role("button", name="Go", exact=False).first.click()
    look("revoke")
    for button in ("Preview", "Run now"):
        page.goto(site.url + "/admin/sessions_admin/cleanuprun/")
        page.get_by_role("link", name=button).click()
        look(button)
        page.get_by_role("button", name=button).click()
        expect(page.get_by_test_id("run")).to_have_attribute("data-status", "done", timeout=60_000)
        look(f"run of {button}")
    # By now each list has something to show.
    for name in LISTS:
        page.goto(f"{site.url}/admin/{name}/")
        look(f"list of {name}", fits=False)
    for name in FORMS:
        page.goto(f"{site.url}/admin/{name}/")
        page.locator("#result_list tbody th a").first.click()
        look(f"first of {name}", fits=False)
    page.goto(site.url + "/admin/compare/")
    look("compare")
    page.get_by_role("button", name="Compare the stores").click()
    expect(page.get_by_text("The stores agree.")).to_be_visible(timeout=60_000)
    look("compared")
    # Widgets of Django's set a style, which the policy refuses and they do without.
    staff.faults[:] = [fault for fault in staff.faults if not fault.startswith("Applying inline style")]
    assert found == {}, "\n".join(f"{name}: {one}" for name, wrong in found.items() for one in wrong)


def width_on_a_phone(page: Page) -> int:
    page.set_viewport_size({"width": 390, "height": 844})
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width


def too_wide(page: Page) -> list[str]:
    names: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("#content *")].filter((one) => one.getBoundingClientRect().right > 391)
            .map((one) => one.outerHTML.slice(0, 100)).slice(0, 8)"""
    )
    return names
