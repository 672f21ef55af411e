"""axe-core finds no violation in the admin, in light and dark mode, and the product's own pages fit a phone."""

import re

import pytest
from playwright.sync_api import Page, expect

from chat.tests.browser.axe import violations
from chat.tests.browser.conftest import send_message
from sessions_admin.tests.browser.conftest import Site

# One list of each template and kind of filter, search and action; pages of single objects are checked below.
LISTS = (
    "chat/user",
    "chat/agentsession",
    "chat/apitoken",
    "chat/modelusage",
    "sessions_admin/auditrecord",
    "sessions_admin/cleanuprun",
)
# Django's own template, with editable fields and with read-only fields.
FORMS = ("auth/group", "sessions_admin/auditrecord")
# One action without fields, one that is destructive, one with all fields.
VERBS = ("Expire now…", "Clear permanently…", "Hold…")


@pytest.mark.long
def test_admin_pages_have_no_axe_violations_and_fit_a_phone(site: Site) -> None:
    staff = site.person("staff@example.com")
    site.database.query("UPDATE chat_user SET is_staff = true, is_superuser = true WHERE email = %s", staff.email)
    page = staff.open_connected_chat()
    send_message(page, "Add three tasks: book a table, call Mum, water the plants")
    page.goto(site.url + "/settings/tokens/")
    page.get_by_label("Name").fill("Laptop")
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Create token").click()
    found: dict[str, list[str]] = {}

    def check_page(name: str, *, fits: bool = True) -> None:
        page.get_by_role("main").wait_for()  # a click may have just left the previous page
        if problems := violations(page):
            found[name] = problems
        if fits and (page_width := width_on_a_phone(page)) > 390:
            found[f"{name} on a phone"] = [f"{page_width} pixels wide", *elements_too_wide(page)]
        page.set_viewport_size({"width": 1280, "height": 900})

    page.goto(site.url + "/admin/")
    check_page("dashboard")

    # A session: inspect it, and open each kind of action.
    page.goto(site.url + "/admin/chat/agentsession/")
    page.locator("#result_list tbody th a").first.click()
    session = page.url
    check_page("session")
    for verb in VERBS:
        page.goto(session)
        page.get_by_role("button", name=verb).click()
        check_page(verb)
    page.goto(session)
    page.get_by_role("link", name="Inspect").click()
    check_page("inspect: why")
    page.get_by_label("Reason").fill("She asked")
    page.get_by_role("button", name="Inspect", exact=True).click()
    for details in page.locator("details").all():
        details.evaluate("one => { one.open = true }")
    check_page("inspect")

    # Users, tokens, clean-ups, the comparison of the stores.
    page.goto(site.url + "/admin/chat/user/")
    page.locator("#result_list tbody th a", has_text="staff@").click()
    check_page("person")
    for verb in page.locator(".object-tools a[href*='/do/']").evaluate_all("links => links.map((link) => link.href)"):
        page.goto(verb)
        check_page(re.sub(r".*/do/", "", verb))
    page.goto(site.url + "/admin/chat/apitoken/")
    page.locator("#result_list input.action-select").first.check()
    page.locator("select[name=action]").select_option("revoke")
    page.get_by_role("button", name="Go", exact=False).first.click()
    check_page("revoke")
    for button in ("Preview", "Run now"):
        page.goto(site.url + "/admin/sessions_admin/cleanuprun/")
        page.get_by_role("link", name=button).click()
        check_page(button)
        page.get_by_role("button", name=button).click()
        expect(page.get_by_test_id("run")).to_have_attribute("data-status", "done", timeout=60_000)
        check_page(f"run of {button}")
    # By now each list has rows.
    for name in LISTS:
        page.goto(f"{site.url}/admin/{name}/")
        check_page(f"list of {name}", fits=False)
    for name in FORMS:
        page.goto(f"{site.url}/admin/{name}/")
        page.locator("#result_list tbody th a").first.click()
        check_page(f"first of {name}", fits=False)
    page.goto(site.url + "/admin/compare/")
    check_page("compare")
    page.get_by_role("button", name="Compare the stores").click()
    expect(page.get_by_text("The stores agree.")).to_be_visible(timeout=60_000)
    check_page("compared")
    # Django's widgets set inline styles, which the policy blocks and they do not need.
    staff.page_errors[:] = [fault for fault in staff.page_errors if not fault.startswith("Applying inline style")]
    assert found == {}, "\n".join(f"{name}: {problem}" for name, problems in found.items() for problem in problems)


def width_on_a_phone(page: Page) -> int:
    page.set_viewport_size({"width": 390, "height": 844})
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width


def elements_too_wide(page: Page) -> list[str]:
    names: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("#content *")].filter((one) => one.getBoundingClientRect().right > 391)
            .map((one) => one.outerHTML.slice(0, 100)).slice(0, 8)"""
    )
    return names
