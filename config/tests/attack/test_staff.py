"""What staff can reach: neither texts nor hashes letter by letter, nor titles, nor a function of their choice."""

import itertools
import uuid

import pytest
from django.apps import apps

from config.tests.attack.clients import Person, new_person
from config.tests.attack.marks import on_product, quick
from config.tests.attack.product import Product
from config.tests.attack.staff import crawl, lists_of, new_staff

pytestmark = on_product

SECRET = f"pineapple{uuid.uuid4().hex[:6]}"


@pytest.fixture(scope="module")
def superuser(product: Product) -> Person:
    return new_staff(product)


@pytest.fixture(scope="module")
def viewer(product: Product) -> Person:
    return new_staff(product, "Session viewers")


@pytest.fixture(scope="module")
def manager(product: Product) -> Person:
    return new_staff(product, "Session managers")


@pytest.fixture(scope="module")
def talker(product: Product) -> Person:
    """Somebody whose words nobody is to see: in a title, a message, and the quarantine."""
    talker = new_person(product, "talker")
    with talker.program() as program:
        thread = talker.new_thread()
        text = {"text": f"{SECRET} must be added to my list as a task"}
        program.post(f"/api/chatkit/threads/{thread}/messages", json=text).raise_for_status()
        named = program.post("/api/chatkit/threads", json={"title": f"About {SECRET}"}).json()["thread_id"]
        program.post(f"/api/chatkit/threads/{named}/messages", json={"text": "Hello"}).raise_for_status()
    product.database.query(
        "INSERT INTO chat_quarantined (session_id, row_id, content, reason, created_at)"
        " VALUES (%s, 1, %s, 'It is no item.', now())",
        f"user_{talker.id}_conv_{thread}",
        f'{{"content": "{SECRET}"}}',
    )
    return talker


# Filters in the URL.


def lookups_of(path: str) -> list[str]:
    """Return paths over every field of a list's model, and over those of what it refers to."""
    _, _, app, name, _ = path.split("/")
    model = apps.get_model(app, name)
    fields = [field.name for field in model._meta.get_fields()]
    related = [
        f"{field.name}__{other.name}"
        for field in model._meta.get_fields()
        if field.is_relation and field.related_model
        for other in field.related_model._meta.get_fields()
    ]
    return [*fields, *related, "pk", "conversation__messages__text", "user__api_tokens__hash", "turn__items"]


@quick
def test_no_list_can_be_narrowed_by_a_secret_s_letters(superuser: Person, manager: Person, talker: Person) -> None:
    for staff, path, lookup in [
        (manager, "/admin/chat/quarantined/", "content__startswith"),
        (manager, "/admin/chat/apitoken/", "hash__startswith"),
        (manager, "/admin/chat/apitoken/", "user__password__startswith"),
        (manager, "/admin/chat/agentsession/", "conversation__title__startswith"),
        (superuser, "/admin/chat/user/", "password__startswith"),
        (superuser, "/admin/django_q/success/", "result__startswith"),
    ]:
        for value in ("", "p", "zzqq", "("):
            answer = staff.browser.get(path, params={lookup: value})
            assert answer.status_code in (302, 400, 403), f"{path}?{lookup}={value}: {answer.status_code}"


def test_no_lookup_of_any_field_is_applied(superuser: Person, talker: Person) -> None:
    applied = []
    for path in lists_of(superuser):
        for lookup in lookups_of(path):
            url = f"{path}?{lookup}__{'regex' if '__' in lookup else 'startswith'}=("
            answer = superuser.browser.get(url)
            assert answer.status_code < 500, url
            if answer.status_code == 200:
                applied.append(url)
    assert applied == []


# Of any list.
ODD_PARAMETERS = [
    "q=%00",
    "q=%22%5C",
    "p=99999999999999999999999",
    "p=-1",
    "o=-1.x.%00.99999999999999999999999",
    "all=",
    "id__regex=(",
    "id__exact=%00",
    "id__exact=99999999999999999999999",
    "id__in=" + ",".join(["1"] * 500),
    "pk__isnull=x",
    "_to_field=password",
    "_changelist_filters=%00",
    "%00=1",
]
# Of the lists that narrow by these.
ODD_FILTERS = [
    "q=" + "a" * 5_000,
    "created_at__year=99999",
    "created_at__year=x",
    "created_at__month=13",
    "created_at__day=%00",
    "last_activity_at__year=0",
    "last_activity_at__year=99999999999999999999",
    "last_activity_at__gte=x",
    "at__day=%00",
    "at__year=99999",
    "user__id__exact=%00",
    "user__id__exact=x",
    "groups__id__exact=99999999999999999999999",
    "is_active__exact=%00",
    "action=%00",
    "action__exact=%00",
    "actor=%00",
    "person=%00",
    "session=%00",
    "state=%00",
    "status__exact=%00",
    "size=%00",
    "activity=x",
    "_popup=1",
    "_facets=True",
]


def test_no_parameter_of_a_list_ends_in_an_error(superuser: Person, talker: Person) -> None:
    failed = []
    for path in lists_of(superuser):
        narrows = path.startswith(("/admin/chat/", "/admin/sessions_admin/"))
        for parameters in [*ODD_PARAMETERS, *(ODD_FILTERS if narrows else [])]:
            if superuser.browser.get(f"{path}?{parameters}").status_code >= 500:
                failed.append(f"{path}?{parameters[:60]}")
    assert failed == []


def test_no_address_of_the_admin_ends_in_an_error(superuser: Person) -> None:
    failed = []
    odd = ["%00", "x", "99999999999999999999999", "_5F", str(uuid.uuid4())]
    rests = ["change/", "delete/", "history/", "", "inspect/", "do/erase/", "erased/", "stop/"]
    urls = [
        f"{path}{key}/{rest}"
        for path, key, rest in itertools.product(lists_of(superuser), odd, rests)
        if rest in rests[:3] or "/chat/" in path or "/cleanuprun/" in path
    ]
    more = ["autocomplete/?app_label=x", "autocomplete/?term=%00", "r/1/1/", "r/%00/1/", "jsi18n/", "doc/", "%00"]
    for url in [*urls, *(f"/admin/{rest}" for rest in more)]:
        if superuser.browser.get(url).status_code >= 500:
            failed.append(url)
    assert failed == []


def test_no_form_of_a_list_ends_in_an_error(superuser: Person) -> None:
    failed = []
    superuser.browser.get("/admin/")
    token = superuser.browser.cookies["csrftoken"]
    for path in lists_of(superuser):
        for fields in [
            {"action": "delete_selected", "_selected_action": "\x00"},
            {"action": "erase", "_selected_action": "x", "confirmed": "1", "email": "\x00", "reason": "\x00"},
            {"action": "\x00", "_selected_action": "1"},
            {"action": "revoke", "_selected_action": str(uuid.uuid4()), "confirmed": "1", "reason": "x\x00"},
            {"form-TOTAL_FORMS": "99999999999", "_save": "1"},
            {},
        ]:
            data = {"csrfmiddlewaretoken": token, **fields}
            answer = superuser.browser.post(path, data=data, headers={"Referer": str(superuser.browser.base_url)})
            if answer.status_code >= 500:
                failed.append((path, fields))
    assert failed == []


# Functions.


@quick
def test_nobody_adds_a_schedule(product: Product, superuser: Person) -> None:
    before = product.database.query("SELECT count(*) FROM django_q_schedule")
    fields = {"name": "x", "func": "os.system", "args": "'true'", "schedule_type": "O", "repeats": "1", "minutes": ""}
    fields |= {
        "next_run_0": "2020-01-01",
        "next_run_1": "00:00:00",
        "kwargs": "",
        "hook": "",
        "cron": "",
        "cluster": "",
    }
    answer = superuser.browser.submit("/admin/django_q/schedule/add/", **fields)
    assert answer.status_code in (403, 404), answer.status_code
    assert product.database.query("SELECT count(*) FROM django_q_schedule") == before


def test_nobody_changes_or_repeats_what_the_worker_does(product: Product, superuser: Person) -> None:
    schedules = product.database.query("SELECT id, func, next_run FROM django_q_schedule ORDER BY id")
    product.database.query(
        "INSERT INTO django_q_task (id, name, func, args, kwargs, started, stopped, success, attempt_count)"
        " VALUES ('a1', 'n', 'os.getpid', NULL, NULL, now(), now(), false, 1) ON CONFLICT DO NOTHING"
    )
    for path in [f"/admin/django_q/schedule/{schedules[0][0]}/change/", "/admin/django_q/ormq/add/"]:
        answer = superuser.browser.submit(path, func="os.system", name="x", schedule_type="O")
        assert answer.status_code in (403, 404), (path, answer.status_code)
    for path, action, key in [
        ("schedule", "delete_selected", schedules[0][0]),
        ("failure", "retry_failed", "a1"),
        ("failure", "resubmit_task", "a1"),
        ("success", "resubmit_task", "a1"),
        ("failure", "delete_selected", "a1"),
    ]:
        fields = {"action": action, "_selected_action": str(key), "post": "yes"}
        superuser.browser.submit(f"/admin/django_q/{path}/", **fields)
    assert product.database.query("SELECT id, func, next_run FROM django_q_schedule ORDER BY id") == schedules
    assert product.database.query("SELECT success FROM django_q_task WHERE id = 'a1'") == [(False,)]


# Words.


@quick
def test_titles_are_words_that_not_all_staff_may_read(viewer: Person, talker: Person) -> None:
    page = viewer.browser.get("/admin/chat/agentsession/")
    assert page.status_code == 200
    assert SECRET not in page.text
    found = viewer.browser.get("/admin/chat/agentsession/", params={"q": SECRET})
    # What is looked for stands in the field of the search.
    assert talker.email not in found.text
    ordered = [viewer.browser.get("/admin/chat/agentsession/", params={"o": n}).status_code for n in "12345"]
    assert max(ordered) < 500


@pytest.mark.parametrize("group", ["Session viewers", "Session managers"])
def test_no_page_of_the_admin_shows_words(product: Product, talker: Person, group: str) -> None:
    staff = new_staff(product, group)
    shown = [str(page.url) for page in crawl(staff) if SECRET in page.text]
    assert shown == []


def test_no_answer_to_programs_shows_words(viewer: Person, manager: Person, talker: Person) -> None:
    for staff in (viewer, manager):
        with staff.program() as program:
            listed = program.get(f"/api/sessions?user={talker.email}")
            assert listed.status_code == 200
            assert SECRET not in listed.text
            for session in listed.json()["items"]:
                one = f"/api/sessions/{session['session_id']}"
                assert SECRET not in program.get(one).text
                assert program.get(f"{one}?items=true&reason=curious").status_code == 403


def test_people_see_nothing_of_the_admin(person: Person, superuser: Person) -> None:
    for path in [*lists_of(superuser), "/admin/", "/admin/compare/"]:
        answer = person.browser.get(path)
        assert answer.status_code in (302, 403, 404), path
