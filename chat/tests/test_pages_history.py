"""What was said can be read: in turn order, without scripts, and as the person's clock has it."""

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
from chat.tests import talk
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
    return talk.conversation(owner)


def visible(client: Client, conversation: Conversation) -> str:
    """Return what a browser without scripts shows."""
    page = client.get(f"/c/{conversation.pk}/").content.decode()
    body = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    return html.unescape(re.sub(r"<[^>]+>", " ", body))


def state(client: Client, conversation: Conversation) -> dict[str, Any]:
    """Return what the page's script begins with."""
    page = client.get(f"/c/{conversation.pk}/").content.decode()
    found = re.search(r'<script id="state" type="application/json">(.*?)</script>', page, flags=re.S)
    assert found
    loaded: dict[str, Any] = json.loads(found[1])
    return loaded


def test_history_is_read_without_scripts(owner_client: Client, groceries: Conversation) -> None:
    talk.say(groceries, "Add milk", "Added **1** Milk.", calls=1)
    talk.say(groceries, "And eggs", None, status=Status.FAILED, error="The model did not answer.")
    shown = visible(owner_client, groceries)
    assert "Added <strong>1</strong> Milk." in owner_client.get(f"/c/{groceries.pk}/").content.decode()
    for text in ("Add milk", "And eggs", "The model did not answer.", "Create task: Add milk"):
        assert text in shown


def test_a_reply_stands_right_after_what_it_answers(owner_client: Client, groceries: Conversation) -> None:
    # Both were sent before the first was answered: positions are u1 u2 a1 a2.
    first = talk.say(groceries, "question one", None, status=Status.RUNNING)
    second = talk.say(groceries, "question two", None, status=Status.QUEUED)
    for turn, reply in ((first, "answer one"), (second, "answer two")):
        turn.status, turn.ended_at, turn.owner, turn.lease_until = Status.DONE, datetime.now(UTC), None, None
        turn.save()
        talk.message(groceries, turn, Role.ASSISTANT, reply, datetime.now(UTC))
    shown = visible(owner_client, groceries)
    said = re.findall(r"(?:question|answer) (?:one|two)", shown)
    assert said == ["question one", "answer one", "question two", "answer two"]
    assert [turn["reply"]["text"] for turn in state(owner_client, groceries)["turns"]] == ["answer one", "answer two"]


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_that_people_or_models_write_is_markup(
    owner: User, owner_client: Client, groceries: Conversation, attack: str
) -> None:
    groceries.title = attack
    talk.say(groceries, attack, attack, calls=1)
    talk.say(groceries, "again", None, status=Status.FAILED, error=attack)
    talk.say(groceries, "and", None, status=Status.RUNNING, so_far=attack)
    tasks.create_task(user_id=owner.pk, title=attack, description=attack)
    page = owner_client.get(f"/c/{groceries.pk}/").content.decode()
    assert attack not in re.sub(r"{{ 7\|add:7 }}", "", page)
    assert page.count("<script") == 3  # two files, and the data
    assert visible(owner_client, groceries).count(attack) >= 7
    assert state(owner_client, groceries)["turns"][0]["prompt"]["text"] == attack


def test_a_reply_so_far_is_shown_while_it_is_written(owner_client: Client, groceries: Conversation) -> None:
    talk.say(groceries, "tell me", None, status=Status.RUNNING, so_far="The first half")
    assert "The first half" in visible(owner_client, groceries)
    assert state(owner_client, groceries)["turns"][0]["text"] == "The first half"


def test_the_unfinished_text_of_a_failed_turn_is_left_out(owner_client: Client, groceries: Conversation) -> None:
    talk.say(groceries, "tell me", None, status=Status.FAILED, so_far="The first half", error="No answer.")
    assert state(owner_client, groceries)["turns"][0]["text"] == ""
    assert "The first half" not in visible(owner_client, groceries)


def test_a_retry_does_not_say_the_message_again(owner_client: Client, groceries: Conversation) -> None:
    failed = talk.say(groceries, "Add milk", None, status=Status.FAILED, error="No answer.")
    talk.say(groceries, "", "Added.", retry_of=failed)
    (turn,) = state(owner_client, groceries)["turns"]
    assert (turn["prompt"]["text"], turn["reply"]["text"]) == ("Add milk", "Added.")
    assert (turn["replaces"], turn["versions"]) == (str(failed.pk), [str(failed.pk), turn["id"]])
    assert visible(owner_client, groceries).count("Add milk") == 1


def test_the_page_and_its_data_agree(owner_client: Client, groceries: Conversation) -> None:
    talk.say(groceries, "Add milk", calls=2)
    answer = owner_client.get(f"/c/{groceries.pk}/state/")
    assert answer.json() == state(owner_client, groceries)


def test_the_data_has_the_shapes_of_the_frames(owner: User, groceries: Conversation) -> None:
    turn = talk.say(groceries, "Add milk")
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


def test_a_new_chat_is_empty_and_has_an_id_of_its_own(owner_client: Client) -> None:
    ids = {re.search(r'"conversation_id": "([0-9a-f-]{36})"', owner_client.get("/").content.decode()) for _ in range(2)}
    assert len({found[1] for found in ids if found}) == 2
    assert not Conversation.objects.exists()


def test_chats_stand_with_the_last_one_spoken_in_first(owner: User, owner_client: Client) -> None:
    now = datetime.now(UTC)
    for title, days in (("older", 2), ("newest", 0), ("old", 1)):
        talk.conversation(owner, title, at=now - timedelta(days=days))
    titles = [line.title for line in listing.conversations_of(owner).lines]
    assert titles == ["newest", "old", "older"]
    page = owner_client.get("/").content.decode()
    assert re.findall(r'conversation__title" title="(\w+)">\1<', page) == titles


def test_tasks_stand_by_date_then_by_priority(owner: User) -> None:
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
def test_times_and_what_is_overdue_are_the_persons_own(
    owner: User, owner_client: Client, groceries: Conversation
) -> None:
    talk.say(groceries, "Add milk")
    tasks.create_task(user_id=owner.pk, title="Pay bills", due_date=date(2026, 3, 13))
    assert "Overdue" not in visible(owner_client, groceries)
    User.objects.update(time_zone="Europe/Berlin")
    shown = visible(owner_client, groceries)
    assert "14 Mar 2026, 00:30" in shown
    assert "Overdue" in shown


def test_one_persons_time_zone_does_not_leak_into_the_next_page(owner: User, owner_client: Client) -> None:
    from django.utils import timezone

    User.objects.update(time_zone="Asia/Tokyo")
    owner_client.get("/")
    assert timezone.get_current_timezone_name() == "UTC"


@pytest.mark.parametrize("turns", [1, 25])
def test_a_page_asks_the_database_as_often_for_a_long_chat_as_for_a_short_one(
    owner: User,
    owner_client: Client,
    groceries: Conversation,
    django_assert_num_queries: DjangoAssertNumQueries,
    turns: int,
) -> None:
    for n in range(turns):
        talk.say(groceries, f"Add {n}", calls=2)
        tasks.create_task(user_id=owner.pk, title=f"Task {n}")
        talk.conversation(owner, f"Chat {n}")
    # The login and the person; the conversation, its versions, turns, messages, tool calls; tasks; conversations that
    # are pinned, that are not, and that wait.
    with django_assert_num_queries(16):
        owner_client.get(f"/c/{groceries.pk}/")
    # A new chat: what goes to the trash within a week is counted too.
    with django_assert_num_queries(10):
        owner_client.get("/")


def test_a_turn_that_ends_while_it_is_read_is_not_without_its_reply(
    owner_client: Client, groceries: Conversation
) -> None:
    turn = talk.say(groceries, "Add milk", None, status=Status.RUNNING)
    with talk.ending_while_messages_are_read(turn):
        (shown,) = state(owner_client, groceries)["turns"]
    assert (shown["status"], shown["reply"]) == ("running", None)


def test_a_page_is_no_larger_with_a_thousand_messages_and_ten_thousand_chats(
    owner: User, owner_client: Client, groceries: Conversation
) -> None:
    paths = ("/", f"/c/{groceries.pk}/", f"/c/{groceries.pk}/state/")

    def sizes(talks: int, turns: int) -> list[int]:
        for n in range(turns):
            talk.say(groceries, f"Add milk {n:04}", calls=1)
        line = {"user": owner, "title": "Chat", "updated_at": datetime.now(UTC) - timedelta(days=1)}
        Conversation.objects.bulk_create([Conversation(**line) for _ in range(talks)])
        return [len(owner_client.get(path).content) for path in paths]

    small = sizes(20, 10)
    large = sizes(10_000, 500)
    for path, before, after in zip(paths, small, large, strict=True):
        assert after < before * 1.03, path
    ready = server_frames.ready_frame(server_frames.conversation_state(owner.pk, groceries.pk), TurnLogs())
    assert len(json.dumps(ready)) < 600


def test_every_chat_is_reached_by_more_links(owner: User, owner_client: Client) -> None:
    now = datetime.now(UTC)
    for n in range(75):
        row = talk.conversation(owner, f"Chat-{n}", at=now - timedelta(minutes=n % 7))
        if n % 25 == 0:
            row.pinned_at = now
            row.save()
    listed = listing.conversations_of(owner, limit=75).lines
    assert [line.pinned for line in listed].count(True) == 3
    path, seen, sizes = "/", [], []
    while path:
        page = owner_client.get(path).content.decode()
        found = re.findall(r"(?:conversation|shelved)__title\"[^>]*>(Chat-\d+)<", page)
        seen += found
        sizes.append(len(found))
        more = re.search(r'<p class="more"[^>]*?( hidden)?><a href="([^"]*\?after=[^"]+)"', page)
        path = html.unescape(more[2]) if more and not more[1] else ""
        path = f"/chats/{path}" if path.startswith("?") else path
    assert seen == [line.title for line in listed]
    assert sizes == [20, 50, 5]


def test_scripts_go_on_in_the_list_of_chats(owner: User, owner_client: Client) -> None:
    for n in range(30):
        talk.conversation(owner, f"Chat-{n}")
    first = owner_client.get("/state/").json()
    place = first["conversations_after"]["place"]
    rest = owner_client.get("/chats/", {"after": place}, headers={"accept": "application/json"}).json()
    titles = [line["title"] for line in first["conversations"] + rest["conversations"]]
    assert titles == [f"Chat-{n}" for n in reversed(range(30))]
    assert rest["conversations_after"] is None
    assert len(owner_client.get("/state/?chats=25").json()["conversations"]) == 25
    for wrong in ("x", "2026-03-13T10:00:00/x", f"2026-03-13T10:00:00/{owner.pk}"):
        assert owner_client.get("/chats/", {"after": wrong}).status_code == 404


def test_what_was_said_before_is_read_a_part_at_a_time(owner_client: Client, groceries: Conversation) -> None:
    turns = [str(talk.say(groceries, f"said-{n}", f"answered-{n}").pk) for n in range(40)]

    def texts(answer: Any) -> list[str]:
        return [turn["prompt_text"] for turn in answer["turns"]]

    first = state(owner_client, groceries)
    assert (texts(first), first["earlier"]) == ([f"said-{n}" for n in range(30, 40)], turns[30])
    path = f"/c/{groceries.pk}/turns/"
    before = owner_client.get(path, {"before": first["earlier"]}).json()
    assert (texts(before), before["earlier"]) == ([f"said-{n}" for n in range(5, 30)], turns[5])
    last = owner_client.get(path, {"before": before["earlier"]}).json()
    assert (texts(last), last["earlier"]) == ([f"said-{n}" for n in range(5)], None)
    # Who has loaded more is told of all that again.
    again = owner_client.get(f"/c/{groceries.pk}/state/", {"since": turns[12]}).json()
    assert (texts(again), again["earlier"]) == ([f"said-{n}" for n in range(12, 40)], turns[12])
    for wrong in (groceries.pk, "x"):
        assert owner_client.get(path, {"before": str(wrong)}).status_code == 404


def test_long_turns_are_read_fewer_at_a_time(owner_client: Client, groceries: Conversation) -> None:
    turns = [str(talk.say(groceries, f"said-{n}", "x" * 30_000).pk) for n in range(12)]
    path = f"/c/{groceries.pk}/"

    def read(answer: Any) -> tuple[list[str], str | None]:
        return [turn["id"] for turn in answer["turns"]], answer["earlier"]

    assert read(state(owner_client, groceries)) == (turns[9:], turns[9])
    assert read(owner_client.get(f"{path}turns/", {"before": turns[9]}).json()) == (turns[6:9], turns[6])
    assert read(owner_client.get(f"{path}turns/", {"before": turns[1]}).json()) == (turns[:1], None)
    # Who has loaded more is told of all that again, and of no more.
    assert read(owner_client.get(f"{path}state/", {"since": turns[2]}).json()) == (turns[2:], turns[2])
    assert read(owner_client.get(f"{path}state/", {"since": turns[9]}).json()) == (turns[9:], turns[9])
    # Without scripts, links lead on.
    for query, shown in (("before", turns[1:4]), ("after", turns[5:8]), ("turn", turns[4:7])):
        page = owner_client.get(path, {query: turns[4]}).content.decode()
        assert re.findall(r'<li class="turn" id="turn-([0-9a-f-]+)"', page) == shown, query


def test_a_turn_is_shown_however_long_it_is(owner_client: Client, groceries: Conversation) -> None:
    turns = [str(talk.say(groceries, f"said-{n}", "x" * 120_000).pk) for n in range(3)]
    loaded = state(owner_client, groceries)
    assert ([turn["id"] for turn in loaded["turns"]], loaded["earlier"]) == (turns[2:], turns[2])
    before = owner_client.get(f"/c/{groceries.pk}/turns/", {"before": turns[2]}).json()
    assert ([turn["id"] for turn in before["turns"]], before["earlier"]) == (turns[1:2], turns[1])


def test_all_turns_that_have_not_ended_are_on_the_page(owner_client: Client, groceries: Conversation) -> None:
    talk.say(groceries, "before")
    for n in range(15):
        talk.say(groceries, f"{n}", None, status=Status.QUEUED)
    assert len(state(owner_client, groceries)["turns"]) == 15


def test_links_lead_through_a_long_chat_without_scripts(owner_client: Client, groceries: Conversation) -> None:
    turns = [talk.say(groceries, f"said-{n}.", f"answered-{n}.") for n in range(25)]

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


def test_a_message_that_was_replaced_is_shown_in_its_version(owner_client: Client, groceries: Conversation) -> None:
    failed = talk.say(groceries, "Add milk", "Old reply.")
    talk.say(groceries, "", "Added.", retry_of=failed)
    old = failed.messages.get(role=Role.ASSISTANT)
    leads = owner_client.get(f"/c/{groceries.pk}/?message={old.pk}")
    assert leads.headers["location"] == f"/c/{groceries.pk}/versions/{failed.pk}/#message-{old.pk}"
    assert owner_client.get(f"/c/{groceries.pk}/?message={failed.prompt_id}").status_code == 200


def test_a_chat_in_which_a_decision_is_wanted_is_marked_wherever_it_lies(
    owner: User, owner_client: Client, groceries: Conversation
) -> None:
    talk.conversation(owner, "Other")
    turn = talk.say(groceries, "Delete all", None, status=Status.WAITING)
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
