"""Chat pages show the history in turn order, without scripts, and in the user's time zone."""

import html
import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from chat.conversations import chat_page, listing
from chat.models import Conversation, Task, User
from chat.models.conversation import Role
from chat.models.turn import Status
from chat.read_models import MessageOut, TaskOut
from chat.realtime import server_frames
from chat.tasks import services as tasks
from chat.tasks.panel import load_panel
from chat.tests import stored_turns
from chat.turns.log import TurnLogs

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</script><b>",
    "{{ 7|add:7 }}",
    '"><svg onload=x>',
]
pytestmark = pytest.mark.django_db


@pytest.fixture
def groceries(owner: User) -> Conversation:
    return stored_turns.conversation(owner)


def visible_text(client: Client, conversation: Conversation) -> str:
    """Return the text that a browser without scripts shows."""
    page = client.get(f"/c/{conversation.pk}/").content.decode()
    body = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    return html.unescape(re.sub(r"<[^>]+>", " ", body))


def page_data(client: Client, conversation: Conversation) -> dict[str, Any]:
    """Return the initial data of the page's script."""
    page = client.get(f"/c/{conversation.pk}/").content.decode()
    match = re.search(r'<script id="state" type="application/json">(.*?)</script>', page, flags=re.S)
    assert match
    loaded: dict[str, Any] = json.loads(match[1])
    return loaded


def test_history_is_rendered_without_scripts(owner_client: Client, groceries: Conversation) -> None:
    stored_turns.add_turn(groceries, "Add milk", "Added **1** Milk.", calls=1)
    stored_turns.add_turn(groceries, "And eggs", None, status=Status.FAILED, error="The model did not answer.")
    shown = visible_text(owner_client, groceries)
    assert "Added <strong>1</strong> Milk." in owner_client.get(f"/c/{groceries.pk}/").content.decode()
    for text in ("Add milk", "And eggs", "The model did not answer.", "Create task: Add milk"):
        assert text in shown


def test_reply_follows_the_message_that_it_answers(owner_client: Client, groceries: Conversation) -> None:
    # Both were sent before the first was answered: positions are u1 u2 a1 a2.
    first = stored_turns.add_turn(groceries, "question one", None, status=Status.RUNNING)
    second = stored_turns.add_turn(groceries, "question two", None, status=Status.QUEUED)
    for turn, reply in ((first, "answer one"), (second, "answer two")):
        turn.status, turn.ended_at, turn.owner, turn.lease_until = Status.DONE, datetime.now(UTC), None, None
        turn.save()
        stored_turns.add_message(groceries, turn, Role.ASSISTANT, reply, datetime.now(UTC))
    shown = visible_text(owner_client, groceries)
    texts = re.findall(r"(?:question|answer) (?:one|two)", shown)
    assert texts == ["question one", "answer one", "question two", "answer two"]
    assert [turn["reply"]["text"] for turn in page_data(owner_client, groceries)["turns"]] == [
        "answer one",
        "answer two",
    ]


@pytest.mark.parametrize("attack", ATTACKS)
def test_user_and_model_text_is_escaped(
    owner: User, owner_client: Client, groceries: Conversation, attack: str
) -> None:
    groceries.title = attack
    stored_turns.add_turn(groceries, attack, attack, calls=1)
    stored_turns.add_turn(groceries, "again", None, status=Status.FAILED, error=attack)
    stored_turns.add_turn(groceries, "and", None, status=Status.RUNNING, so_far=attack)
    tasks.create_task(user_id=owner.pk, title=attack, description=attack)
    page = owner_client.get(f"/c/{groceries.pk}/").content.decode()
    assert attack not in re.sub(r"{{ 7\|add:7 }}", "", page)
    assert page.count("<script") == 3  # two files, and the data
    assert visible_text(owner_client, groceries).count(attack) >= 7
    assert page_data(owner_client, groceries)["turns"][0]["prompt"]["text"] == attack


def test_partial_reply_of_a_running_turn_is_shown(owner_client: Client, groceries: Conversation) -> None:
    stored_turns.add_turn(groceries, "tell me", None, status=Status.RUNNING, so_far="The first half")
    assert "The first half" in visible_text(owner_client, groceries)
    assert page_data(owner_client, groceries)["turns"][0]["text"] == "The first half"


def test_partial_reply_of_a_failed_turn_is_hidden(owner_client: Client, groceries: Conversation) -> None:
    stored_turns.add_turn(groceries, "tell me", None, status=Status.FAILED, so_far="The first half", error="No answer.")
    assert page_data(owner_client, groceries)["turns"][0]["text"] == ""
    assert "The first half" not in visible_text(owner_client, groceries)


def test_retry_does_not_repeat_the_message(owner_client: Client, groceries: Conversation) -> None:
    failed = stored_turns.add_turn(groceries, "Add milk", None, status=Status.FAILED, error="No answer.")
    stored_turns.add_turn(groceries, "", "Added.", retry_of=failed)
    (turn,) = page_data(owner_client, groceries)["turns"]
    assert (turn["prompt"]["text"], turn["reply"]["text"]) == ("Add milk", "Added.")
    assert (turn["replaces"], turn["versions"]) == (str(failed.pk), [str(failed.pk), turn["id"]])
    assert visible_text(owner_client, groceries).count("Add milk") == 1


def test_page_contains_the_data_of_the_state_endpoint(owner_client: Client, groceries: Conversation) -> None:
    stored_turns.add_turn(groceries, "Add milk", calls=2)
    response = owner_client.get(f"/c/{groceries.pk}/state/")
    assert response.json() == page_data(owner_client, groceries)


def test_page_data_matches_the_frames(owner: User, groceries: Conversation) -> None:
    turn = stored_turns.add_turn(groceries, "Add milk")
    task = tasks.create_task(user_id=owner.pk, title="Milk", due_date=date(2026, 3, 13))
    tasks.complete_task(user_id=owner.pk, number=task.number)
    page = chat_page.chat(owner, groceries.pk)
    assert page is not None
    data = page.as_json()
    assert data["tasks"] == [TaskOut.of(task).as_json() for task in Task.objects.filter(user=owner)]
    (frame,) = server_frames.conversation_frames(owner.pk, [groceries.pk])
    assert data["conversation"] == frame["conversation"]
    prompt = page.turns[0].as_json()["prompt"]
    assert isinstance(prompt, dict)
    client_id = prompt.pop("client_id")
    assert client_id == str(turn.client_id)
    assert prompt == MessageOut.of(turn.prompt).as_json()


def test_new_chat_gets_a_new_id_and_is_not_stored(owner_client: Client) -> None:
    ids = {re.search(r'"conversation_id": "([0-9a-f-]{36})"', owner_client.get("/").content.decode()) for _ in range(2)}
    assert len({match[1] for match in ids if match}) == 2
    assert not Conversation.objects.exists()


def test_chats_are_listed_by_last_activity(owner: User, owner_client: Client) -> None:
    now = datetime.now(UTC)
    for title, days in (("older", 2), ("newest", 0), ("old", 1)):
        stored_turns.conversation(owner, title, at=now - timedelta(days=days))
    titles = [line.title for line in listing.conversations_of(owner).conversations]
    assert titles == ["newest", "old", "older"]
    page = owner_client.get("/").content.decode()
    assert re.findall(r'conversation__title" title="(\w+)">\1<', page) == titles


def test_tasks_are_listed_by_date_then_priority(owner: User) -> None:
    for title, due, priority in (
        ("whenever", None, "normal"), ("later", date(2026, 3, 20), "normal"), ("soon", date(2026, 3, 14), "normal"),
        ("matters", None, "high"), ("soon and matters", date(2026, 3, 14), "high"),
    ):  # fmt: skip
        tasks.create_task(user_id=owner.pk, title=title, due_date=due, priority=priority)  # type: ignore[arg-type]
    tasks.complete_task(user_id=owner.pk, number=2)
    panel = load_panel(owner.pk)
    assert [task.title for task in panel.open] == ["soon and matters", "soon", "matters", "whenever"]
    assert [task.title for task in panel.completed] == ["later"]


@time_machine.travel("2026-03-13T23:30:00Z", tick=False)
def test_times_and_overdue_dates_use_the_users_time_zone(
    owner: User, owner_client: Client, groceries: Conversation
) -> None:
    stored_turns.add_turn(groceries, "Add milk")
    tasks.create_task(user_id=owner.pk, title="Pay bills", due_date=date(2026, 3, 13))
    assert "Overdue" not in visible_text(owner_client, groceries)
    User.objects.update(time_zone="Europe/Berlin")
    shown = visible_text(owner_client, groceries)
    assert "14 Mar 2026, 00:30" in shown
    assert "Overdue" in shown


def test_time_zone_of_a_user_does_not_leak_into_the_next_request(owner: User, owner_client: Client) -> None:
    from django.utils import timezone

    User.objects.update(time_zone="Asia/Tokyo")
    owner_client.get("/")
    assert timezone.get_current_timezone_name() == "UTC"


@pytest.mark.parametrize("turns", [1, 25])
def test_query_count_does_not_depend_on_the_chat_length(
    owner: User,
    owner_client: Client,
    groceries: Conversation,
    django_assert_num_queries: DjangoAssertNumQueries,
    turns: int,
) -> None:
    for n in range(turns):
        stored_turns.add_turn(groceries, f"Add {n}", calls=2)
        tasks.create_task(user_id=owner.pk, title=f"Task {n}")
        stored_turns.conversation(owner, f"Chat {n}")
    # The login and the user; the conversation, its versions, turns, messages, tool calls; tasks; conversations that
    # are pinned, unpinned, or wait for a decision.
    with django_assert_num_queries(16):
        owner_client.get(f"/c/{groceries.pk}/")
    # A new chat also counts the chats that move to the trash within a week.
    with django_assert_num_queries(10):
        owner_client.get("/")


def test_turn_that_ends_during_the_query_is_shown_as_running(owner_client: Client, groceries: Conversation) -> None:
    turn = stored_turns.add_turn(groceries, "Add milk", None, status=Status.RUNNING)
    with stored_turns.turn_ends_during_read(turn):
        (shown,) = page_data(owner_client, groceries)["turns"]
    assert (shown["status"], shown["reply"]) == ("running", None)


@pytest.mark.long
def test_page_size_does_not_grow_with_messages_and_chats(
    owner: User, owner_client: Client, groceries: Conversation
) -> None:
    paths = ("/", f"/c/{groceries.pk}/", f"/c/{groceries.pk}/state/")

    def sizes(chats: int, turns: int) -> list[int]:
        for n in range(turns):
            stored_turns.add_turn(groceries, f"Add milk {n:04}", calls=1)
        fields = {"user": owner, "title": "Chat", "updated_at": datetime.now(UTC) - timedelta(days=1)}
        Conversation.objects.bulk_create([Conversation(**fields) for _ in range(chats)])
        return [len(owner_client.get(path).content) for path in paths]

    small = sizes(20, 10)
    large = sizes(10_000, 500)
    for path, before, after in zip(paths, small, large, strict=True):
        assert after < before * 1.03, path
    ready = server_frames.ready_frame(server_frames.conversation_state(owner.pk, groceries.pk), TurnLogs())
    assert len(json.dumps(ready)) < 600


def test_pagination_links_reach_every_chat(owner: User, owner_client: Client) -> None:
    now = datetime.now(UTC)
    for n in range(75):
        row = stored_turns.conversation(owner, f"Chat-{n}", at=now - timedelta(minutes=n % 7))
        if n % 25 == 0:
            row.pinned_at = now
            row.save()
    listed = listing.conversations_of(owner, limit=75).conversations
    assert [line.pinned for line in listed].count(True) == 3
    path, shown, sizes = "/", [], []
    while path:
        page = owner_client.get(path).content.decode()
        titles = re.findall(r"(?:conversation|listing-item)__title\"[^>]*>(Chat-\d+)<", page)
        shown += titles
        sizes.append(len(titles))
        more = re.search(r'<p class="more"[^>]*?( hidden)?><a href="([^"]*\?after=[^"]+)"', page)
        path = html.unescape(more[2]) if more and not more[1] else ""
        path = f"/chats/{path}" if path.startswith("?") else path
    assert shown == [line.title for line in listed]
    assert sizes == [20, 50, 5]


def test_scripts_page_through_the_list_of_chats(owner: User, owner_client: Client) -> None:
    for n in range(30):
        stored_turns.conversation(owner, f"Chat-{n}")
    first = owner_client.get("/state/").json()
    cursor = first["conversations_after"]["place"]
    rest = owner_client.get("/chats/", {"after": cursor}, headers={"accept": "application/json"}).json()
    titles = [line["title"] for line in first["conversations"] + rest["conversations"]]
    assert titles == [f"Chat-{n}" for n in reversed(range(30))]
    assert rest["conversations_after"] is None
    assert len(owner_client.get("/state/?chats=25").json()["conversations"]) == 25
    for invalid in ("x", "2026-03-13T10:00:00/x", f"2026-03-13T10:00:00/{owner.pk}"):
        assert owner_client.get("/chats/", {"after": invalid}).status_code == 404


def test_earlier_turns_are_loaded_in_parts(owner_client: Client, groceries: Conversation) -> None:
    turns = [str(stored_turns.add_turn(groceries, f"said-{n}", f"answered-{n}").pk) for n in range(40)]

    def texts(data: Any) -> list[str]:
        return [turn["prompt_text"] for turn in data["turns"]]

    first = page_data(owner_client, groceries)
    assert (texts(first), first["earlier"]) == ([f"said-{n}" for n in range(30, 40)], turns[30])
    path = f"/c/{groceries.pk}/turns/"
    before = owner_client.get(path, {"before": first["earlier"]}).json()
    assert (texts(before), before["earlier"]) == ([f"said-{n}" for n in range(5, 30)], turns[5])
    last = owner_client.get(path, {"before": before["earlier"]}).json()
    assert (texts(last), last["earlier"]) == ([f"said-{n}" for n in range(5)], None)
    # A client that has loaded more receives all of it again.
    refreshed = owner_client.get(f"/c/{groceries.pk}/state/", {"since": turns[12]}).json()
    assert (texts(refreshed), refreshed["earlier"]) == ([f"said-{n}" for n in range(12, 40)], turns[12])
    for invalid in (groceries.pk, "x"):
        assert owner_client.get(path, {"before": str(invalid)}).status_code == 404


def test_parts_with_long_turns_have_fewer_turns(owner_client: Client, groceries: Conversation) -> None:
    turns = [str(stored_turns.add_turn(groceries, f"said-{n}", "x" * 30_000).pk) for n in range(12)]
    path = f"/c/{groceries.pk}/"

    def ids(data: Any) -> tuple[list[str], str | None]:
        return [turn["id"] for turn in data["turns"]], data["earlier"]

    assert ids(page_data(owner_client, groceries)) == (turns[9:], turns[9])
    assert ids(owner_client.get(f"{path}turns/", {"before": turns[9]}).json()) == (turns[6:9], turns[6])
    assert ids(owner_client.get(f"{path}turns/", {"before": turns[1]}).json()) == (turns[:1], None)
    # A client that has loaded more receives all of it again, and no more.
    assert ids(owner_client.get(f"{path}state/", {"since": turns[2]}).json()) == (turns[2:], turns[2])
    assert ids(owner_client.get(f"{path}state/", {"since": turns[9]}).json()) == (turns[9:], turns[9])
    # Pages without scripts have links.
    for query, shown in (("before", turns[1:4]), ("after", turns[5:8]), ("turn", turns[4:7])):
        page = owner_client.get(path, {query: turns[4]}).content.decode()
        assert re.findall(r'<li class="turn" id="turn-([0-9a-f-]+)"', page) == shown, query


def test_very_long_turn_is_a_part_of_its_own(owner_client: Client, groceries: Conversation) -> None:
    turns = [str(stored_turns.add_turn(groceries, f"said-{n}", "x" * 120_000).pk) for n in range(3)]
    loaded = page_data(owner_client, groceries)
    assert ([turn["id"] for turn in loaded["turns"]], loaded["earlier"]) == (turns[2:], turns[2])
    before = owner_client.get(f"/c/{groceries.pk}/turns/", {"before": turns[2]}).json()
    assert ([turn["id"] for turn in before["turns"]], before["earlier"]) == (turns[1:2], turns[1])


def test_page_has_all_unfinished_turns(owner_client: Client, groceries: Conversation) -> None:
    stored_turns.add_turn(groceries, "before")
    for n in range(15):
        stored_turns.add_turn(groceries, f"{n}", None, status=Status.QUEUED)
    assert len(page_data(owner_client, groceries)["turns"]) == 15


def test_links_page_through_a_long_chat_without_scripts(owner_client: Client, groceries: Conversation) -> None:
    turns = [stored_turns.add_turn(groceries, f"said-{n}.", f"answered-{n}.") for n in range(25)]

    def shown(query: str) -> tuple[list[str], list[str]]:
        page = owner_client.get(f"/c/{groceries.pk}/{query}").content.decode()
        bare = re.sub(r"<script.*?</script>", "", page, flags=re.S)
        links = re.findall(r'<p class="more" id="(?:earlier|later)"><a href="([^"]+)"', bare)
        return re.findall(r"said-(\d+)\.", bare), links

    assert shown("") == ([f"{n}" for n in range(15, 25)], [f"?before={turns[15].pk}"])
    middle = [f"?before={turns[5].pk}", f"?after={turns[14].pk}"]
    assert shown(f"?before={turns[15].pk}") == ([f"{n}" for n in range(5, 15)], middle)
    assert shown(f"?before={turns[5].pk}") == ([f"{n}" for n in range(5)], [f"?after={turns[4].pk}"])
    assert shown(f"?after={turns[14].pk}") == shown("")
    reply = turns[3].messages.get(role=Role.ASSISTANT)
    for message in (reply.pk, turns[3].prompt_id):
        assert "3" in shown(f"?message={message}")[0]
    assert owner_client.get(f"/c/{groceries.pk}/?message={turns[3].pk}").status_code == 404


def test_link_to_a_replaced_message_redirects_to_its_version(owner_client: Client, groceries: Conversation) -> None:
    failed = stored_turns.add_turn(groceries, "Add milk", "Old reply.")
    stored_turns.add_turn(groceries, "", "Added.", retry_of=failed)
    old = failed.messages.get(role=Role.ASSISTANT)
    response = owner_client.get(f"/c/{groceries.pk}/?message={old.pk}")
    assert response.headers["location"] == f"/c/{groceries.pk}/versions/{failed.pk}/#message-{old.pk}"
    assert owner_client.get(f"/c/{groceries.pk}/?message={failed.prompt_id}").status_code == 200


def test_chat_that_waits_for_a_decision_is_marked_in_every_list(
    owner: User, owner_client: Client, groceries: Conversation
) -> None:
    stored_turns.conversation(owner, "Other")
    turn = stored_turns.add_turn(groceries, "Delete all", None, status=Status.WAITING)
    groceries.archived_at = datetime.now(UTC)
    groceries.save()
    data = owner_client.get("/state/").json()
    assert (data["waiting"], [line["title"] for line in data["conversations"]]) == ([str(groceries.pk)], ["Other"])
    assert "<title>(1) New chat" in owner_client.get("/").content.decode()
    (frame,) = server_frames.conversation_frames(owner.pk, [groceries.pk])
    assert frame["conversation"]["waiting"] is True
    Conversation.objects.update(archived_at=None)
    assert owner_client.get("/").content.decode().count('data-testid="waiting"') == 1
    turn.status, turn.ended_at = Status.DONE, datetime.now(UTC)
    turn.save()
    (frame,) = server_frames.conversation_frames(owner.pk, [groceries.pk])
    assert frame["conversation"]["waiting"] is False
    assert owner_client.get("/state/").json()["waiting"] == []
