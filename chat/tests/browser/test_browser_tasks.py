"""The task list beside the chat: bounded, whole on request, and the same in every tab."""

from playwright.sync_api import Page, expect

from chat.tests.browser.conftest import Person, expect_state, say


def fill(person: Person, count: int) -> None:
    ((user_id,),) = person.site.database.query("SELECT id FROM chat_user WHERE email = %s", person.email)
    person.site.database.query(
        "INSERT INTO chat_task (id, user_id, number, title, description, priority, created_at, updated_at)"
        " SELECT gen_random_uuid(), %s, n, 'Task ' || n, '', 2, now(), now() FROM generate_series(1, %s) n",
        user_id,
        count,
    )
    person.site.database.query(
        "INSERT INTO chat_taskcounter (user_id, last_number, revision) VALUES (%s, %s, 0)", user_id, count
    )


def tasks(page: Page) -> int:
    return page.locator("#task-list").get_by_test_id("task").count()


def test_a_long_list_begins_with_500_and_shows_the_rest_on_request(person: Person) -> None:
    fill(person, 602)
    page = person.chat()
    assert tasks(page) == 500
    expect(page.locator("#task-count")).to_have_text("602")
    expect(page.locator("#more-tasks")).to_contain_text("102 more to do")

    page.get_by_role("link", name="Show more").click()
    expect(page.locator("#more-tasks")).to_be_hidden()
    assert tasks(page) == 602

    say(page, "delete task 7")
    expect(page.locator("#task-count")).to_have_text("601")
    assert tasks(page) == 601


def test_each_tab_applies_the_changes_of_the_others(person: Person) -> None:
    page = person.chat()
    other = person.page("/")
    expect_state(other, "online")
    say(page, "Add three tasks: buy milk, call Mum, water the plants")
    say(page, "I finished call Mum")
    say(page, "delete task 3")
    for tab in (page, other):
        expect(tab.locator("#task-list .task__title")).to_have_text(["Buy milk"])
        expect(tab.locator("#task-count")).to_have_text("1")
        expect(tab.locator("#done-count")).to_have_text("1")
