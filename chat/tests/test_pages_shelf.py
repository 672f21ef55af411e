"""Chats are put away and brought back by pages: with scripts and without, by their owner alone."""

import html
import re
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from chat.conversations import services as conversations
from chat.memory.identity import SessionId
from chat.memory.metadata import update_metadata
from chat.models import AgentSession, Conversation, User
from chat.models.turn import Status
from chat.realtime import server_frames
from chat.tests import talk
from chat.web.listing_views import TRY_LATER, VERBS

pytestmark = pytest.mark.django_db
AS_SCRIPT = {"accept": "application/json"}


@pytest.fixture
def groceries(owner: User) -> Conversation:
    return talk.conversation(owner)


@pytest.fixture(autouse=True)
def session_file(tmp_path: Path, settings: Settings) -> Path:
    settings.AGENT_SESSION_DB_PATH = tmp_path / "agent_sessions.db"
    return tmp_path / "agent_sessions.db"


def put(client: Client, conversation: Conversation, verb: str, **rest: Any) -> Any:
    return client.post(f"/c/{conversation.pk}/shelf/", {"do": verb, **rest})


def put_by_script(client: Client, conversation: Conversation, verb: str) -> Any:
    return client.post(f"/c/{conversation.pk}/shelf/", {"do": verb}, headers=AS_SCRIPT)


def text(client: Client, path: str) -> str:
    """Return what a browser without scripts shows."""
    page = client.get(path).content.decode()
    bare = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", bare)).split())


def test_all_that_goes_to_the_trash_soon_is_reached(owner: User, owner_client: Client) -> None:
    old = timezone.now() - timedelta(days=25)
    for n in range(120):
        talk.conversation(owner, f"Chat-{n:03}", at=old + timedelta(minutes=n // 3))
    path, seen = "/trash/", []
    while path:
        page = owner_client.get(path).content.decode()
        seen.append(re.findall(r"shelved__title\"[^>]*>(Chat-\d+)<", page))
        more = re.search(r'<a href="(\?leaving=[^"]+)"', page)
        path = "/trash/" + html.unescape(more[1]) if more else ""
    assert [len(part) for part in seen] == [50, 50, 20]
    assert sorted(sum(seen, [])) == [f"Chat-{n:03}" for n in range(120)]
    assert owner_client.get("/trash/?leaving=x").status_code == 404


def strip(client: Client, path: str) -> str:
    """Return what the page says of where the chat lies, empty where it is hidden."""
    page = client.get(path).content.decode()
    found = re.search(r'<div class="strip strip--shelf" id="shelf-strip"([^>]*)>(.*?)</div>', page, flags=re.S)
    assert found
    said = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", found[2])).split())
    assert ("hidden" in found[1]) == (said == "")
    return said


def silent_for(conversation: Conversation, days: float) -> None:
    Conversation.objects.filter(pk=conversation.pk).update(updated_at=timezone.now() - timedelta(days=days))


def hold(conversation: Conversation) -> None:
    update_metadata(SessionId(conversation.user_id, conversation.pk), size=None, now=timezone.now())
    AgentSession.objects.update(held_at=timezone.now(), hold_reason="Suspicion of fraud")


@pytest.mark.parametrize("verb", VERBS)
def test_a_chat_is_put_somewhere_by_its_owner_alone(
    client: Client,
    outsider_client: Client,
    staff_client: Client,
    owner_client: Client,
    groceries: Conversation,
    verb: str,
) -> None:
    if verb in ("restore", "purge"):
        conversations.trash(user_id=groceries.user_id, conversation_id=groceries.pk)
    before = Conversation.objects.values().get()

    assert put(client, groceries, verb)["Location"].startswith("/accounts/login/?next=")
    for somebody in (outsider_client, staff_client):
        assert put(somebody, groceries, verb).status_code == 404
        refused = put_by_script(somebody, groceries, verb)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")
        assert refused.json() == somebody.post(f"/c/{uuid.uuid4()}/shelf/", {"do": verb}, headers=AS_SCRIPT).json()
    assert Conversation.objects.values().get() == before

    assert put(owner_client, groceries, verb, next="/", title="Food").status_code == 302
    assert Conversation.objects.values().first() != before


@pytest.mark.parametrize("path", ["/trash/{}/", "/c/{}/rename/", "/trash/", "/archive/"])
def test_lists_are_ones_own(
    client: Client, outsider_client: Client, staff_client: Client, groceries: Conversation, path: str
) -> None:
    conversations.trash(user_id=groceries.user_id, conversation_id=groceries.pk)
    Conversation.objects.create(
        user=groceries.user, title="Groceries too", updated_at=timezone.now(), archived_at=timezone.now()
    )
    path = path.format(groceries.pk)
    assert client.get(path)["Location"].startswith("/accounts/login/?next=")
    for somebody in (outsider_client, staff_client):
        answer = somebody.get(path)
        assert answer.status_code == (404 if str(groceries.pk) in path else 200)
        assert "Groceries" not in answer.content.decode()


def test_what_a_form_asks_for_is_done_where_it_came_from(owner_client: Client, groceries: Conversation) -> None:
    answer = put(owner_client, groceries, "archive", next="/")
    assert answer["Location"] == "/"
    assert "Archived: “Groceries”" in text(owner_client, "/")
    assert "Archived: “Groceries”" not in text(owner_client, "/")  # once


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", ""])
def test_a_form_leads_to_no_other_site(owner_client: Client, groceries: Conversation, elsewhere: str) -> None:
    assert put(owner_client, groceries, "pin", next=elsewhere)["Location"] == "/trash/"


def test_a_script_gets_the_chat_and_the_way_back(owner: User, owner_client: Client, groceries: Conversation) -> None:
    answer = put_by_script(owner_client, groceries, "trash").json()
    (frame,) = server_frames.conversation_frames(owner.pk, [groceries.pk])
    assert answer == {
        "conversation": frame["conversation"],
        "said": "Moved to the trash: “Groceries”",
        "undo": "restore",
    }
    assert (answer["conversation"]["trashed"], answer["conversation"]["pinned"]) == (True, False)
    assert "Moved to" not in text(owner_client, "/")


def test_every_way_back_leads_back(owner_client: Client, groceries: Conversation) -> None:
    for verb in ("pin", "unpin", "archive", "unarchive", "trash"):
        fields = ("pinned", "archived", "trashed")
        lists = [put_by_script(owner_client, groceries, "keep").json()["conversation"][field] for field in fields]
        undo = put_by_script(owner_client, groceries, verb).json()["undo"]
        if verb not in ("unpin", "unarchive"):  # which do nothing here
            back = put_by_script(owner_client, groceries, undo).json()["conversation"]
            assert [back[field] for field in fields] == lists
        assert VERBS[undo].do is not VERBS[verb].do


@pytest.mark.parametrize(("first", "then"), [("pin", "archive"), ("archive", "pin")])
def test_what_an_action_takes_away_comes_back_with_its_undo(
    owner_client: Client, groceries: Conversation, first: str, then: str
) -> None:
    before = put_by_script(owner_client, groceries, first).json()["conversation"]
    undo = put_by_script(owner_client, groceries, then).json()["undo"]
    assert put_by_script(owner_client, groceries, undo).json()["conversation"] == before


def test_refusals_are_told_to_scripts_and_to_readers(
    owner_client: Client, groceries: Conversation, session_file: Path
) -> None:
    refused = put_by_script(owner_client, groceries, "explode")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_input")
    hold(groceries)
    refused = put_by_script(owner_client, groceries, "trash")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert "fraud" not in refused.content.decode()
    answer = owner_client.post(f"/c/{groceries.pk}/shelf/", {"do": "trash", "next": "/"}, follow=True)
    assert "Your administrator has asked to keep this chat for now." in answer.content.decode()
    AgentSession.objects.all().delete()
    put(owner_client, groceries, "trash")
    session_file.write_bytes(b"this is no database at all, only text" * 100)
    refused = put_by_script(owner_client, groceries, "purge")
    # What is wrong with the file is nobody's business but staff's.
    assert (refused.status_code, refused.json()["error"]["detail"]) == (503, TRY_LATER)
    assert Conversation.objects.exists()


def test_forms_of_other_sites_do_nothing(owner: User, groceries: Conversation) -> None:
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    assert put(careful, groceries, "trash").status_code == 403
    assert [careful.post(f"/trash/{path}/").status_code for path in ("keep", "empty")] == [403, 403]
    groceries.refresh_from_db()
    assert groceries.trashed_at is None


def test_looking_changes_nothing(owner_client: Client, groceries: Conversation) -> None:
    silent_for(groceries, 25)
    before = Conversation.objects.values().get()
    assert owner_client.get(f"/c/{groceries.pk}/shelf/?do=trash")["Location"] == f"/c/{groceries.pk}/"
    assert owner_client.get("/trash/keep/")["Location"] == "/trash/"
    assert Conversation.objects.values().get() == before
    for path in ("/trash/", "/archive/", f"/trash/{groceries.pk}/"):
        assert owner_client.post(path).status_code == 405


def test_the_menu_of_a_chat_needs_no_script(owner_client: Client, groceries: Conversation) -> None:
    page = owner_client.get("/").content.decode()
    found = re.search(r'<form id="shelf" method="post" hidden>.*?</form>', page, flags=re.S)
    assert found and 'name="csrfmiddlewaretoken"' in found[0] and 'name="next" value="/"' in found[0]
    buttons = re.findall(r'<button class="menu__item" form="shelf" formaction="([^"]+)" name="do" value="(\w+)">', page)
    assert buttons == [(f"/c/{groceries.pk}/shelf/", verb) for verb in ("pin", "archive", "trash")]
    put(owner_client, groceries, "pin")
    page = owner_client.get(f"/c/{groceries.pk}/").content.decode()
    assert re.findall(r'name="do" value="(\w+)"', page) == ["unpin", "archive", "trash"] * 2  # the list's, the chat's
    assert "conversation__pin" in page


def test_the_list_beside_the_chat_holds_what_is_at_hand(owner_client: Client, groceries: Conversation) -> None:
    for verb in ("archive", "trash"):
        put(owner_client, groceries, verb)
        assert "conversation-link" not in owner_client.get("/").content.decode()
        assert "Groceries" in text(owner_client, f"/c/{groceries.pk}/")


def test_a_chat_in_the_trash_says_so_and_until_when(owner: User, owner_client: Client, groceries: Conversation) -> None:
    User.objects.update(time_zone="Pacific/Auckland")
    put(owner_client, groceries, "trash")
    Conversation.objects.update(trashed_at="2026-03-01T13:30:00Z")
    assert strip(owner_client, f"/c/{groceries.pk}/") == "In the trash until 1 April Restore"
    hold(groceries)
    assert strip(owner_client, f"/c/{groceries.pk}/") == "In the trash Restore"
    put(owner_client, groceries, "restore")
    assert strip(owner_client, f"/c/{groceries.pk}/") == ""


def test_an_archived_chat_says_so(owner_client: Client, groceries: Conversation) -> None:
    put(owner_client, groceries, "archive")
    assert strip(owner_client, f"/c/{groceries.pk}/") == "In the archive Unarchive"


@pytest.mark.parametrize(("days", "told"), [(22.9, False), (23.1, True), (29.9, True)])
def test_a_chat_that_goes_soon_says_so(owner_client: Client, groceries: Conversation, days: float, told: bool) -> None:
    silent_for(groceries, days)
    on = timezone.now() + timedelta(days=30 - days)
    said = f"This chat moves to the trash on {on.day} {on:%B} Keep this chat"
    assert strip(owner_client, f"/c/{groceries.pk}/") == (said if told else "")
    assert strip(owner_client, "/") == ("1 chat will move to the trash within a week View it" if told else "")
    put(owner_client, groceries, "keep")
    assert strip(owner_client, f"/c/{groceries.pk}/") == strip(owner_client, "/") == ""


def test_where_the_clean_up_is_late_no_day_that_is_over_is_named(owner_client: Client, groceries: Conversation) -> None:
    silent_for(groceries, 31)
    assert strip(owner_client, f"/c/{groceries.pk}/").startswith("This chat moves to the trash soon")
    assert "moves to the trash soon" in text(owner_client, "/trash/")


def test_what_goes_soon_is_listed_and_kept_one_by_one_or_all(
    owner: User, owner_client: Client, groceries: Conversation
) -> None:
    others = [talk.conversation(owner, title) for title in ("Bills", "Plants")]
    for row in (groceries, *others):
        silent_for(row, 25)
    assert strip(owner_client, "/") == "3 chats will move to the trash within a week View them"
    assert "Keep all 3" in text(owner_client, "/trash/")
    put(owner_client, groceries, "keep", next="/trash/")
    shown = text(owner_client, "/trash/")
    assert "Keep all 2" in shown and shown.index("Kept: “Groceries”") < shown.index("Bills")
    answer = owner_client.post("/trash/keep/", follow=True)
    assert "2 chats kept." in answer.content.decode()
    assert "within a week" not in text(owner_client, "/trash/")


def test_the_trash_says_what_is_in_it_and_when_it_goes(owner_client: Client, groceries: Conversation) -> None:
    assert "The trash is empty." in text(owner_client, "/trash/")
    put(owner_client, groceries, "trash")
    User.objects.update(time_zone="Pacific/Auckland")
    Conversation.objects.update(trashed_at="2026-03-01T13:30:00Z")
    assert "Groceries Deleted for good on 1 April 2026 Restore Delete for good" in text(owner_client, "/trash/")
    hold(groceries)
    shown = text(owner_client, "/trash/")
    assert "Groceries Your administrator has asked to keep this chat for now Restore" in shown
    assert "Restore Delete" not in shown and "fraud" not in shown


def test_the_archive_says_what_is_in_it(owner_client: Client, groceries: Conversation) -> None:
    assert "You have no archived chats." in text(owner_client, "/archive/")
    put(owner_client, groceries, "archive")
    assert "Groceries Last used on" in text(owner_client, "/archive/")


def test_a_chat_is_deleted_for_good_after_a_question(owner_client: Client, groceries: Conversation) -> None:
    talk.say(groceries, "Add milk")
    assert owner_client.get(f"/trash/{groceries.pk}/")["Location"] == f"/c/{groceries.pk}/"  # not in the trash
    put(owner_client, groceries, "trash")
    page = owner_client.get(f"/trash/{groceries.pk}/").content.decode()
    assert "Delete “Groceries” for good?" in html.unescape(page)
    assert f'action="/c/{groceries.pk}/shelf/"' in page and 'name="do" value="purge"' in page
    answer = owner_client.post(f"/c/{groceries.pk}/shelf/", {"do": "purge", "next": "/trash/"}, follow=True)
    assert "Deleted for good: “Groceries”" in answer.content.decode()
    assert owner_client.get(f"/c/{groceries.pk}/").status_code == 404
    assert owner_client.get(f"/trash/{groceries.pk}/").status_code == 404


def test_the_trash_is_emptied_after_a_question(
    client: Client, owner: User, owner_client: Client, outsider_client: Client, groceries: Conversation
) -> None:
    other = talk.conversation(owner, "Bills")
    assert owner_client.get("/trash/empty/")["Location"] == "/trash/"  # there is nothing in it
    for row in (groceries, other):
        put(owner_client, row, "trash")
    assert "Delete all 2 chats in the trash for good?" in text(owner_client, "/trash/empty/")
    assert client.post("/trash/empty/")["Location"].startswith("/accounts/login/")
    outsider_client.post("/trash/empty/")
    assert Conversation.objects.count() == 2
    hold(other)
    answer = owner_client.post("/trash/empty/", follow=True).content.decode()
    assert "1 chat permanently deleted." in answer and "in which the assistant is working, stay" in answer
    assert list(Conversation.objects.all()) == [other]


def test_settings_say_how_long_what_is_kept(owner_client: Client, settings: Settings) -> None:
    settings.AGENT_SESSION_RETENTION_DAYS, settings.CONVERSATION_RETENTION_DAYS = 5, 44
    shown = text(owner_client, "/settings/")
    assert "After 5 days without a message, the assistant’s memory of a chat is cleared" in shown
    assert "After 44 days without a message, a chat moves to the trash" in shown
    assert "After 30 more days in the trash, it is permanently deleted" in shown
    page = owner_client.get("/settings/").content.decode()
    assert 'href="/trash/"' in page and 'href="/archive/"' in page


@pytest.mark.parametrize("path", ["/trash/", "/archive/", "/trash/{}/"])
def test_these_pages_are_as_strict_as_the_others(owner_client: Client, groceries: Conversation, path: str) -> None:
    groceries.title = '<img src=x onerror=alert(1)>"'
    groceries.save()
    put(owner_client, groceries, "archive" if path == "/archive/" else "trash", next=f"/c/{groceries.pk}/")
    answer = owner_client.get(path.format(groceries.pk))
    page = answer.content.decode()
    assert "no-store" in answer["Cache-Control"] and "<img src=x" not in page
    assert "&lt;img src=x" in page
    assert " style=" not in page and "onclick" not in page
    assert re.findall("<script[^>]*>", page) in ([], ['<script type="module" src="/static/js/lists.js">'])


def test_what_was_deleted_is_told_as_such(owner: User, groceries: Conversation) -> None:
    talk.say(groceries, "Add milk", status=Status.DONE)
    gone = uuid.uuid4()
    frames = server_frames.conversation_frames(owner.pk, [groceries.pk, gone])
    assert frames[0] == {"type": "conversation.deleted", "id": str(gone)}
    assert frames[1]["conversation"]["title"] == "Groceries"


def test_a_chat_is_renamed_with_scripts_and_without(owner_client: Client, groceries: Conversation) -> None:
    form = owner_client.get(f"/c/{groceries.pk}/rename/").content.decode()
    assert 'name="title" value="Groceries"' in form
    answer = put(owner_client, groceries, "rename", title="  Party\n food ", next=f"/c/{groceries.pk}/")
    assert answer.headers["location"] == f"/c/{groceries.pk}/"
    assert 'title="Party food">Party food<' in owner_client.get(f"/c/{groceries.pk}/").content.decode()
    data = {"do": "rename", "title": "Food"}
    by_script = owner_client.post(f"/c/{groceries.pk}/shelf/", data, headers=AS_SCRIPT).json()
    assert (by_script["conversation"]["title"], by_script["said"]) == ("Food", "Renamed: “Food”")
    for wrong, code in ((" ", "bad_input"), ("x" * 101, "too_long")):
        refused = owner_client.post(f"/c/{groceries.pk}/shelf/", {"do": "rename", "title": wrong}, headers=AS_SCRIPT)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)
    groceries.refresh_from_db()
    assert groceries.title == "Food"


def test_the_menu_of_a_chat_exports_it(owner_client: Client, groceries: Conversation) -> None:
    talk.say(groceries, "Add milk", "Added.")
    page = owner_client.get(f"/c/{groceries.pk}/").content.decode()
    files = set(re.findall(r'href="(/api/[^"]+export[^"]+)" download', page))
    assert len(files) == 2
    for path in files:
        answer = owner_client.get(path)
        assert answer.headers["content-disposition"].startswith('attachment; filename="groceries.')
        assert "Added." in answer.content.decode()


@pytest.mark.parametrize("path", ["/archive/", "/trash/"])
def test_all_that_was_put_away_is_reached_a_page_at_a_time(owner: User, owner_client: Client, path: str) -> None:
    for n in range(120):
        talk.conversation(owner, f"Chat-{n}", at=timezone.now() - timedelta(minutes=n % 5))
    where = "archived_at" if path == "/archive/" else "trashed_at"
    Conversation.objects.update(**{where: timezone.now()})
    seen: list[str] = []
    more: str | None = ""
    while more is not None:
        page = owner_client.get(path + html.unescape(more)).content.decode()
        seen += re.findall(r'shelved__title"[^>]*>(Chat-\d+)<', page)
        link = re.search(r'<p class="more"[^>]*><a href="([^"]+)"', page)
        more = link[1] if link else None
    assert len(seen) == len(set(seen)) == 120
