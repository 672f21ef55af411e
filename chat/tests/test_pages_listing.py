"""Owners pin, archive, trash, restore, rename and delete chats on pages, with and without scripts."""

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
from chat.tests import stored_turns
from chat.web.listing_views import TRY_LATER, VERBS

pytestmark = pytest.mark.django_db
AS_JSON = {"accept": "application/json"}


@pytest.fixture
def groceries(owner: User) -> Conversation:
    return stored_turns.conversation(owner)


@pytest.fixture(autouse=True)
def session_file(tmp_path: Path, settings: Settings) -> Path:
    settings.AGENT_SESSION_DB_PATH = tmp_path / "agent_sessions.db"
    return tmp_path / "agent_sessions.db"


def submit(client: Client, conversation: Conversation, verb: str, **rest: Any) -> Any:
    return client.post(f"/c/{conversation.pk}/shelf/", {"do": verb, **rest})


def submit_json(client: Client, conversation: Conversation, verb: str) -> Any:
    return client.post(f"/c/{conversation.pk}/shelf/", {"do": verb}, headers=AS_JSON)


def text(client: Client, path: str) -> str:
    """Return the text that a browser without scripts shows."""
    page = client.get(path).content.decode()
    bare = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", bare)).split())


def test_pagination_reaches_all_expiring_chats(owner: User, owner_client: Client) -> None:
    old = timezone.now() - timedelta(days=25)
    for n in range(120):
        stored_turns.conversation(owner, f"Chat-{n:03}", at=old + timedelta(minutes=n // 3))
    path, pages = "/trash/", []
    while path:
        page = owner_client.get(path).content.decode()
        pages.append(re.findall(r"listing-item__title\"[^>]*>(Chat-\d+)<", page))
        more = re.search(r'<a href="(\?leaving=[^"]+)"', page)
        path = "/trash/" + html.unescape(more[1]) if more else ""
    assert [len(titles) for titles in pages] == [50, 50, 20]
    assert sorted(sum(pages, [])) == [f"Chat-{n:03}" for n in range(120)]
    assert owner_client.get("/trash/?leaving=x").status_code == 404


def banner(client: Client, path: str) -> str:
    """Return the text of the banner with the chat's place, empty where it is hidden."""
    page = client.get(path).content.decode()
    match = re.search(r'<div class="banner banner--notice" id="retention-notice"([^>]*)>(.*?)</div>', page, flags=re.S)
    assert match
    content = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", match[2])).split())
    assert ("hidden" in match[1]) == (content == "")
    return content


def set_inactive(conversation: Conversation, days: float) -> None:
    Conversation.objects.filter(pk=conversation.pk).update(updated_at=timezone.now() - timedelta(days=days))


def place_hold(conversation: Conversation) -> None:
    update_metadata(SessionId(conversation.user_id, conversation.pk), size=None, now=timezone.now())
    AgentSession.objects.update(held_at=timezone.now(), hold_reason="Suspicion of fraud")


@pytest.mark.parametrize("verb", VERBS)
def test_only_the_owner_can_change_a_chat(
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

    assert submit(client, groceries, verb)["Location"].startswith("/accounts/login/?next=")
    for other_client in (outsider_client, staff_client):
        assert submit(other_client, groceries, verb).status_code == 404
        refused = submit_json(other_client, groceries, verb)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")
        assert refused.json() == other_client.post(f"/c/{uuid.uuid4()}/shelf/", {"do": verb}, headers=AS_JSON).json()
    assert Conversation.objects.values().get() == before

    assert submit(owner_client, groceries, verb, next="/", title="Food").status_code == 302
    assert Conversation.objects.values().first() != before


@pytest.mark.parametrize("path", ["/trash/{}/", "/c/{}/rename/", "/trash/", "/archive/"])
def test_lists_show_only_own_chats(
    client: Client, outsider_client: Client, staff_client: Client, groceries: Conversation, path: str
) -> None:
    conversations.trash(user_id=groceries.user_id, conversation_id=groceries.pk)
    Conversation.objects.create(
        user=groceries.user, title="Groceries too", updated_at=timezone.now(), archived_at=timezone.now()
    )
    path = path.format(groceries.pk)
    assert client.get(path)["Location"].startswith("/accounts/login/?next=")
    for other_client in (outsider_client, staff_client):
        response = other_client.get(path)
        assert response.status_code == (404 if str(groceries.pk) in path else 200)
        assert "Groceries" not in response.content.decode()


def test_form_redirects_to_its_page_with_a_message(owner_client: Client, groceries: Conversation) -> None:
    response = submit(owner_client, groceries, "archive", next="/")
    assert response["Location"] == "/"
    assert "Archived: “Groceries”" in text(owner_client, "/")
    assert "Archived: “Groceries”" not in text(owner_client, "/")  # once


@pytest.mark.parametrize("url", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", ""])
def test_form_does_not_redirect_to_another_site(owner_client: Client, groceries: Conversation, url: str) -> None:
    assert submit(owner_client, groceries, "pin", next=url)["Location"] == "/trash/"


def test_script_gets_the_chat_and_the_undo_action(owner: User, owner_client: Client, groceries: Conversation) -> None:
    response = submit_json(owner_client, groceries, "trash").json()
    (frame,) = server_frames.conversation_frames(owner.pk, [groceries.pk])
    assert response == {
        "conversation": frame["conversation"],
        "said": "Moved to the trash: “Groceries”",
        "undo": "restore",
    }
    assert (response["conversation"]["trashed"], response["conversation"]["pinned"]) == (True, False)
    assert "Moved to" not in text(owner_client, "/")


def test_every_undo_action_restores_the_state(owner_client: Client, groceries: Conversation) -> None:
    for verb in ("pin", "unpin", "archive", "unarchive", "trash"):
        fields = ("pinned", "archived", "trashed")
        lists = [submit_json(owner_client, groceries, "keep").json()["conversation"][field] for field in fields]
        undo = submit_json(owner_client, groceries, verb).json()["undo"]
        if verb not in ("unpin", "unarchive"):  # these change nothing here
            restored = submit_json(owner_client, groceries, undo).json()["conversation"]
            assert [restored[field] for field in fields] == lists
        assert VERBS[undo].do is not VERBS[verb].do


@pytest.mark.parametrize(("first", "then"), [("pin", "archive"), ("archive", "pin")])
def test_undo_restores_a_flag_that_the_action_cleared(
    owner_client: Client, groceries: Conversation, first: str, then: str
) -> None:
    before = submit_json(owner_client, groceries, first).json()["conversation"]
    undo = submit_json(owner_client, groceries, then).json()["undo"]
    assert submit_json(owner_client, groceries, undo).json()["conversation"] == before


def test_refusals_are_reported_to_scripts_and_forms(
    owner_client: Client, groceries: Conversation, session_file: Path
) -> None:
    refused = submit_json(owner_client, groceries, "explode")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_input")
    place_hold(groceries)
    refused = submit_json(owner_client, groceries, "trash")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert "fraud" not in refused.content.decode()
    response = owner_client.post(f"/c/{groceries.pk}/shelf/", {"do": "trash", "next": "/"}, follow=True)
    assert "Your administrator has asked to keep this chat for now." in response.content.decode()
    AgentSession.objects.all().delete()
    submit(owner_client, groceries, "trash")
    session_file.write_bytes(b"this is no database at all, only text" * 100)
    refused = submit_json(owner_client, groceries, "purge")
    # Only staff see the error of the session file.
    assert (refused.status_code, refused.json()["error"]["detail"]) == (503, TRY_LATER)
    assert Conversation.objects.exists()


def test_forms_require_a_csrf_token(owner: User, groceries: Conversation) -> None:
    csrf_client = Client(enforce_csrf_checks=True)
    csrf_client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    assert submit(csrf_client, groceries, "trash").status_code == 403
    assert [csrf_client.post(f"/trash/{path}/").status_code for path in ("keep", "empty")] == [403, 403]
    groceries.refresh_from_db()
    assert groceries.trashed_at is None


def test_get_requests_change_nothing(owner_client: Client, groceries: Conversation) -> None:
    set_inactive(groceries, 25)
    before = Conversation.objects.values().get()
    assert owner_client.get(f"/c/{groceries.pk}/shelf/?do=trash")["Location"] == f"/c/{groceries.pk}/"
    assert owner_client.get("/trash/keep/")["Location"] == "/trash/"
    assert Conversation.objects.values().get() == before
    for path in ("/trash/", "/archive/", f"/trash/{groceries.pk}/"):
        assert owner_client.post(path).status_code == 405


def test_chat_menu_works_without_scripts(owner_client: Client, groceries: Conversation) -> None:
    page = owner_client.get("/").content.decode()
    form = re.search(r'<form id="action-form" method="post" hidden>.*?</form>', page, flags=re.S)
    assert form and 'name="csrfmiddlewaretoken"' in form[0] and 'name="next" value="/"' in form[0]
    button = r'<button class="menu__item" form="action-form" formaction="([^"]+)" name="do" value="(\w+)">'
    buttons = re.findall(button, page)
    assert buttons == [(f"/c/{groceries.pk}/shelf/", verb) for verb in ("pin", "archive", "trash")]
    submit(owner_client, groceries, "pin")
    page = owner_client.get(f"/c/{groceries.pk}/").content.decode()
    # The menu in the list, and the menu of the open chat.
    assert re.findall(r'name="do" value="(\w+)"', page) == ["unpin", "archive", "trash"] * 2
    assert "conversation__pin" in page


def test_sidebar_hides_archived_and_trashed_chats(owner_client: Client, groceries: Conversation) -> None:
    for verb in ("archive", "trash"):
        submit(owner_client, groceries, verb)
        assert "conversation-link" not in owner_client.get("/").content.decode()
        assert "Groceries" in text(owner_client, f"/c/{groceries.pk}/")


def test_trashed_chat_shows_its_deletion_date(owner: User, owner_client: Client, groceries: Conversation) -> None:
    User.objects.update(time_zone="Pacific/Auckland")
    submit(owner_client, groceries, "trash")
    Conversation.objects.update(trashed_at="2026-03-01T13:30:00Z")
    assert banner(owner_client, f"/c/{groceries.pk}/") == "In the trash until 1 April Restore"
    place_hold(groceries)
    assert banner(owner_client, f"/c/{groceries.pk}/") == "In the trash Restore"
    submit(owner_client, groceries, "restore")
    assert banner(owner_client, f"/c/{groceries.pk}/") == ""


def test_archived_chat_shows_a_banner(owner_client: Client, groceries: Conversation) -> None:
    submit(owner_client, groceries, "archive")
    assert banner(owner_client, f"/c/{groceries.pk}/") == "In the archive Unarchive"


@pytest.mark.parametrize(("days", "shown"), [(22.9, False), (23.1, True), (29.9, True)])
def test_chat_that_moves_to_the_trash_soon_shows_a_warning(
    owner_client: Client, groceries: Conversation, days: float, shown: bool
) -> None:
    set_inactive(groceries, days)
    day = timezone.now() + timedelta(days=30 - days)
    message = f"This chat moves to the trash on {day.day} {day:%B} Keep this chat"
    assert banner(owner_client, f"/c/{groceries.pk}/") == (message if shown else "")
    assert banner(owner_client, "/") == ("1 chat will move to the trash within a week View it" if shown else "")
    submit(owner_client, groceries, "keep")
    assert banner(owner_client, f"/c/{groceries.pk}/") == banner(owner_client, "/") == ""


def test_overdue_move_to_the_trash_names_no_past_date(owner_client: Client, groceries: Conversation) -> None:
    set_inactive(groceries, 31)
    assert banner(owner_client, f"/c/{groceries.pk}/").startswith("This chat moves to the trash soon")
    assert "moves to the trash soon" in text(owner_client, "/trash/")


def test_expiring_chats_can_be_kept_one_by_one_or_all(
    owner: User, owner_client: Client, groceries: Conversation
) -> None:
    others = [stored_turns.conversation(owner, title) for title in ("Bills", "Plants")]
    for row in (groceries, *others):
        set_inactive(row, 25)
    assert banner(owner_client, "/") == "3 chats will move to the trash within a week View them"
    assert "Keep all 3" in text(owner_client, "/trash/")
    submit(owner_client, groceries, "keep", next="/trash/")
    shown = text(owner_client, "/trash/")
    assert "Keep all 2" in shown and shown.index("Kept: “Groceries”") < shown.index("Bills")
    response = owner_client.post("/trash/keep/", follow=True)
    assert "2 chats kept." in response.content.decode()
    assert "within a week" not in text(owner_client, "/trash/")


def test_trash_lists_chats_with_deletion_dates(owner_client: Client, groceries: Conversation) -> None:
    assert "The trash is empty." in text(owner_client, "/trash/")
    submit(owner_client, groceries, "trash")
    User.objects.update(time_zone="Pacific/Auckland")
    Conversation.objects.update(trashed_at="2026-03-01T13:30:00Z")
    assert "Groceries Will be deleted for good on 1 April 2026 Restore Delete for good" in text(owner_client, "/trash/")
    place_hold(groceries)
    shown = text(owner_client, "/trash/")
    assert "Groceries Your administrator has asked to keep this chat for now Restore" in shown
    assert "Restore Delete" not in shown and "fraud" not in shown


def test_archive_lists_chats_with_their_last_use(owner_client: Client, groceries: Conversation) -> None:
    assert "You have no archived chats." in text(owner_client, "/archive/")
    submit(owner_client, groceries, "archive")
    assert "Groceries Last used on" in text(owner_client, "/archive/")


def test_permanent_deletion_asks_for_confirmation(owner_client: Client, groceries: Conversation) -> None:
    stored_turns.add_turn(groceries, "Add milk")
    assert owner_client.get(f"/trash/{groceries.pk}/")["Location"] == f"/c/{groceries.pk}/"  # not in the trash
    submit(owner_client, groceries, "trash")
    page = owner_client.get(f"/trash/{groceries.pk}/").content.decode()
    assert "Delete “Groceries” for good?" in html.unescape(page)
    assert f'action="/c/{groceries.pk}/shelf/"' in page and 'name="do" value="purge"' in page
    response = owner_client.post(f"/c/{groceries.pk}/shelf/", {"do": "purge", "next": "/trash/"}, follow=True)
    assert "Deleted for good: “Groceries”" in response.content.decode()
    assert owner_client.get(f"/c/{groceries.pk}/").status_code == 404
    assert owner_client.get(f"/trash/{groceries.pk}/").status_code == 404


def test_emptying_the_trash_asks_for_confirmation(
    client: Client, owner: User, owner_client: Client, outsider_client: Client, groceries: Conversation
) -> None:
    other = stored_turns.conversation(owner, "Bills")
    assert owner_client.get("/trash/empty/")["Location"] == "/trash/"  # the trash is empty
    for row in (groceries, other):
        submit(owner_client, row, "trash")
    assert "Delete all 2 chats in the trash for good?" in text(owner_client, "/trash/empty/")
    assert client.post("/trash/empty/")["Location"].startswith("/accounts/login/")
    outsider_client.post("/trash/empty/")
    assert Conversation.objects.count() == 2
    place_hold(other)
    response = owner_client.post("/trash/empty/", follow=True).content.decode()
    assert "1 chat permanently deleted." in response and "in which the assistant is working, stay" in response
    assert list(Conversation.objects.all()) == [other]


def test_settings_show_the_retention_periods(owner_client: Client, settings: Settings) -> None:
    settings.AGENT_SESSION_RETENTION_DAYS, settings.CONVERSATION_RETENTION_DAYS = 5, 44
    shown = text(owner_client, "/settings/")
    assert "After 5 days without a message, the assistant’s memory of a chat is cleared" in shown
    assert "After 44 days without a message, a chat moves to the trash" in shown
    assert "After 30 more days in the trash, it is permanently deleted" in shown
    page = owner_client.get("/settings/").content.decode()
    assert 'href="/trash/"' in page and 'href="/archive/"' in page


@pytest.mark.parametrize("path", ["/trash/", "/archive/", "/trash/{}/"])
def test_lists_are_escaped_uncached_and_without_inline_code(
    owner_client: Client, groceries: Conversation, path: str
) -> None:
    groceries.title = '<img src=x onerror=alert(1)>"'
    groceries.save()
    submit(owner_client, groceries, "archive" if path == "/archive/" else "trash", next=f"/c/{groceries.pk}/")
    response = owner_client.get(path.format(groceries.pk))
    page = response.content.decode()
    assert "no-store" in response["Cache-Control"] and "<img src=x" not in page
    assert "&lt;img src=x" in page
    assert " style=" not in page and "onclick" not in page
    assert re.findall("<script[^>]*>", page) in ([], ['<script type="module" src="/static/js/pagination.js">'])


def test_deleted_conversation_gets_a_deleted_frame(owner: User, groceries: Conversation) -> None:
    stored_turns.add_turn(groceries, "Add milk", status=Status.DONE)
    deleted = uuid.uuid4()
    frames = server_frames.conversation_frames(owner.pk, [groceries.pk, deleted])
    assert frames[0] == {"type": "conversation.deleted", "id": str(deleted)}
    assert frames[1]["conversation"]["title"] == "Groceries"


def test_chat_is_renamed_with_and_without_scripts(owner_client: Client, groceries: Conversation) -> None:
    form = owner_client.get(f"/c/{groceries.pk}/rename/").content.decode()
    assert 'name="title" value="Groceries"' in form
    response = submit(owner_client, groceries, "rename", title="  Party\n food ", next=f"/c/{groceries.pk}/")
    assert response.headers["location"] == f"/c/{groceries.pk}/"
    assert 'title="Party food">Party food<' in owner_client.get(f"/c/{groceries.pk}/").content.decode()
    data = {"do": "rename", "title": "Food"}
    renamed = owner_client.post(f"/c/{groceries.pk}/shelf/", data, headers=AS_JSON).json()
    assert (renamed["conversation"]["title"], renamed["said"]) == ("Food", "Renamed: “Food”")
    for invalid, code in ((" ", "bad_input"), ("x" * 101, "too_long")):
        refused = owner_client.post(f"/c/{groceries.pk}/shelf/", {"do": "rename", "title": invalid}, headers=AS_JSON)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)
    groceries.refresh_from_db()
    assert groceries.title == "Food"


def test_chat_menu_exports_the_chat(owner_client: Client, groceries: Conversation) -> None:
    stored_turns.add_turn(groceries, "Add milk", "Added.")
    page = owner_client.get(f"/c/{groceries.pk}/").content.decode()
    files = set(re.findall(r'href="(/api/[^"]+export[^"]+)" download', page))
    assert len(files) == 2
    for path in files:
        response = owner_client.get(path)
        assert response.headers["content-disposition"].startswith('attachment; filename="groceries.')
        assert "Added." in response.content.decode()


@pytest.mark.parametrize("path", ["/archive/", "/trash/"])
def test_pagination_reaches_all_archived_and_trashed_chats(owner: User, owner_client: Client, path: str) -> None:
    for n in range(120):
        stored_turns.conversation(owner, f"Chat-{n}", at=timezone.now() - timedelta(minutes=n % 5))
    field = "archived_at" if path == "/archive/" else "trashed_at"
    Conversation.objects.update(**{field: timezone.now()})
    titles: list[str] = []
    more: str | None = ""
    while more is not None:
        page = owner_client.get(path + html.unescape(more)).content.decode()
        titles += re.findall(r'listing-item__title"[^>]*>(Chat-\d+)<', page)
        link = re.search(r'<p class="more"[^>]*><a href="([^"]+)"', page)
        more = link[1] if link else None
    assert len(titles) == len(set(titles)) == 120
