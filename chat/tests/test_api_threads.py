"""Threads over the API: each operation, field by field, and to whom it answers."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from chat.conversations.services import begin
from chat.models import Conversation, Message, User
from chat.models.turn import Status
from chat.tests.api import bearer, error_of
from chat.tests.talk import conversation, ending_while_messages_are_read, say

pytestmark = pytest.mark.django_db
THREADS = "/api/chatkit/threads"
LINE = {
    "thread_id", "title", "created_at", "updated_at", "pinned", "archived", "trashed", "trash_on", "purge_on",
    "model",
}  # fmt: skip
MESSAGE = {"message_id", "role", "content", "created_at", "position", "turn_id"}


class Program:
    """Calls the API with a token."""

    def __init__(self, user: User, *scopes: str) -> None:
        self._headers = bearer(user, *scopes)
        self._client = Client()

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> HttpResponse:
        given = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        answer: HttpResponse = self._client.generic(method, path, headers=self._headers | headers, **given)  # type: ignore[arg-type,assignment]
        return answer

    def got(self, method: str, path: str, body: object = None, *, status: int = 200) -> Any:
        """Return what the body of an answer holds."""
        answer = self(method, path, body)
        assert answer.status_code == status, answer.content
        return json.loads(answer.content) if answer.content else None


@pytest.fixture
def program(owner: User) -> Program:
    return Program(owner, "chat")


def ids(page: dict[str, Any]) -> list[str]:
    return [item["thread_id"] for item in page["items"]]


def test_a_thread_is_made(program: Program, owner: User) -> None:
    made = program.got("POST", THREADS, {"title": "  Groceries\nand more "}, status=201)
    row = Conversation.objects.get()
    assert made == {
        "thread_id": str(row.pk),
        "title": "Groceries and more",
        "created_at": row.created_at.isoformat(),
    }
    assert row.user == owner and row.last_seq == 0
    for body in ({}, {"title": None}, {"title": ""}, None):
        assert program.got("POST", THREADS, body, status=201)["title"] == ""


@pytest.mark.parametrize("title", ["x" * 101, "\x00", 5])
def test_a_title_that_cannot_be_is_refused(program: Program, title: object) -> None:
    thread_id = program.got("POST", THREADS, {"title": "Groceries"}, status=201)["thread_id"]
    for method, path in (("POST", THREADS), ("PATCH", f"{THREADS}/{thread_id}")):
        answer = program(method, path, {"title": title})
        assert error_of(answer, 422) == "invalid"
    assert error_of(program("PATCH", f"{THREADS}/{thread_id}", {"title": ""}), 422) == "invalid"
    assert error_of(program("PATCH", f"{THREADS}/{thread_id}", {"title": " \n "}), 400) == "bad_input"
    assert list(Conversation.objects.values_list("title", flat=True)) == ["Groceries"]


def test_threads_are_listed_the_newest_first_with_no_tie_lost(program: Program, owner: User, outsider: User) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [conversation(owner, f"{n}", at=moment + timedelta(days=n // 4)) for n in range(10)]
    conversation(outsider)
    expected = [str(row.pk) for row in sorted(rows, key=lambda row: (row.updated_at, row.pk), reverse=True)]
    page, found = program.got("GET", f"{THREADS}?limit=3"), []
    assert set(page) == {"items", "has_more", "after"} and set(page["items"][0]) == LINE
    while page["has_more"]:
        assert len(page["items"]) == 3
        found += ids(page)
        page = program.got("GET", f"{THREADS}?limit=3&after={page['after']}")
    assert found + ids(page) == expected
    assert page["after"] is None
    assert ids(program.got("GET", THREADS)) == expected
    assert error_of(program("GET", f"{THREADS}?after=x"), 400) == "bad_cursor"
    assert error_of(program("GET", f"{THREADS}?limit=0"), 422) == "invalid"


def test_threads_are_listed_by_where_they_lie(program: Program, owner: User) -> None:
    rows = {name: conversation(owner, name) for name in ("plain", "pinned", "archived", "trashed")}
    for verb, name in (("pin", "pinned"), ("archive", "archived")):
        line = program.got("POST", f"{THREADS}/{rows[name].pk}/{verb}")
        assert set(line) == LINE and line[name] is True
    assert program.got("DELETE", f"{THREADS}/{rows['trashed'].pk}", status=204) is None

    def titles(status: str) -> set[str]:
        return {item["title"] for item in program.got("GET", f"{THREADS}?status={status}")["items"]}

    assert titles("active") == {"plain", "pinned"}
    assert titles("pinned") == {"pinned"}
    assert titles("archived") == {"archived"}
    assert titles("trashed") == {"trashed"}
    assert titles("all") == set(rows)
    assert program("GET", f"{THREADS}?status=lost").status_code == 422


def test_a_thread_is_put_here_and_there(program: Program, owner: User) -> None:
    path = f"{THREADS}/{conversation(owner).pk}"
    assert program.got("POST", f"{path}/pin")["pinned"] is True
    assert program.got("POST", f"{path}/unpin")["pinned"] is False
    assert program.got("POST", f"{path}/archive")["archived"] is True
    assert program.got("POST", f"{path}/unarchive")["archived"] is False
    assert program.got("PATCH", path, {"title": "Party"})["title"] == "Party"
    for _ in range(2):
        program.got("DELETE", path, status=204)
    for method, put, body in (("POST", "/pin", None), ("POST", "/archive", None), ("PATCH", "", {"title": "x"})):
        assert error_of(program(method, path + put, body), 409) == "conflict"
    assert program.got("GET", path)["trashed"] is True
    restored = program.got("POST", f"{path}/restore")
    assert restored["trashed"] is False and restored["title"] == "Party"


def test_a_thread_shows_its_newest_messages_the_oldest_of_them_first(program: Program, owner: User) -> None:
    talk = conversation(owner)
    turns = [say(talk, f"question {n}", f"answer {n}") for n in range(30)]
    path = f"{THREADS}/{talk.pk}"
    shown = program.got("GET", path)
    assert set(shown) == LINE | {"messages", "has_more", "turns"}
    assert [message["position"] for message in shown["messages"]] == list(range(11, 61))
    assert shown["has_more"] is True and shown["turns"] == []
    last = Message.objects.get(turn=turns[-1], role="assistant")
    assert shown["messages"][-1] == {
        "message_id": str(last.pk),
        "role": "assistant",
        "content": "answer 29",
        "created_at": last.created_at.isoformat(),
        "position": 60,
        "turn_id": str(turns[-1].pk),
    }
    older = program.got("GET", f"{path}?limit=100&before={shown['messages'][0]['message_id']}")
    assert [message["position"] for message in older["messages"]] == list(range(1, 11))
    assert older["has_more"] is False
    assert error_of(program("GET", f"{path}?before={uuid.uuid4()}"), 404) == "not_found"
    assert program("GET", f"{path}?limit=101").status_code == 422


def test_a_thread_names_the_turns_that_have_not_ended(program: Program, owner: User) -> None:
    talk = conversation(owner)
    say(talk, "first")
    turn = say(talk, "second", None, status=Status.QUEUED)
    shown = program.got("GET", f"{THREADS}/{talk.pk}")
    assert shown["turns"] == [{"turn_id": str(turn.pk), "status": "queued", "message_id": str(turn.prompt_id)}]


def test_a_message_is_shown_also_of_an_earlier_version(program: Program, owner: User) -> None:
    talk = conversation(owner)
    turn = say(talk, "first")
    path = f"{THREADS}/{talk.pk}/messages/{turn.prompt_id}"
    shown = program.got("GET", path)
    assert set(shown) == MESSAGE
    assert (shown["role"], shown["content"], shown["position"]) == ("user", "first", 1)
    Message.objects.update(position=None)
    assert program.got("GET", path)["position"] is None
    elsewhere = conversation(owner)
    assert program("GET", f"{THREADS}/{elsewhere.pk}/messages/{turn.prompt_id}").status_code == 404


def test_a_thread_is_exported(program: Program, owner: User) -> None:
    owner.time_zone = "Asia/Tokyo"
    owner.save()
    talk = conversation(owner, "Party: “food”")
    at = say(talk, "Buy **milk**", "Bought.").prompt.created_at
    path = f"{THREADS}/{talk.pk}/export"
    answer = program("GET", path)
    assert answer["Content-Type"] == "application/json"
    whole_name = "Party%20%E2%80%9Cfood%E2%80%9D.json"
    assert answer["Content-Disposition"] == f"attachment; filename=\"party-food.json\"; filename*=UTF-8''{whole_name}"
    whole = json.loads(answer.content)
    assert set(whole) == {"thread_id", "title", "created_at", "updated_at", "messages"}
    assert [set(message) for message in whole["messages"]] == [MESSAGE, MESSAGE]
    assert [message["content"] for message in whole["messages"]] == ["Buy **milk**", "Bought."]

    answer = program("GET", f"{path}?format=markdown")
    assert answer["Content-Type"] == "text/markdown; charset=utf-8"
    whole_name = "Party%20%E2%80%9Cfood%E2%80%9D.md"
    assert answer["Content-Disposition"] == f"attachment; filename=\"party-food.md\"; filename*=UTF-8''{whole_name}"
    when = at.astimezone(owner.zone).strftime("%Y-%m-%d %H:%M")
    assert answer.content.decode() == (
        f"# Party: “food”\n\n## You, {when}\n\nBuy **milk**\n\n## Assistant, {when}\n\nBought.\n"
    )
    assert program("GET", f"{path}?format=pdf").status_code == 422

    talk.title = r"*C* #1 in C#, <b> [x](y) & &lt; a\b"
    talk.save()
    heading = program("GET", f"{path}?format=markdown").content.decode().splitlines()[0]
    assert heading == r"# \*C\* #1 in C#, \<b> \[x\](y) & \&lt; a\\b"


def test_words_are_found(program: Program, owner: User, outsider: User) -> None:
    party, bills = conversation(owner, "Party"), conversation(owner, "Money")
    say(party, "Buy groceries for the party", "I added “Buy groceries”.")
    last = say(party, "And balloons, a grocery bag too", "Done.")
    say(bills, "Pay the rent", "Noted.")
    say(conversation(outsider), "groceries of somebody else")
    gone = conversation(owner)
    say(gone, "groceries thrown away")
    program.got("DELETE", f"{THREADS}/{gone.pk}", status=204)

    found = program.got("GET", "/api/search?q=groceries")
    assert found == {
        "items": [
            {
                "thread_id": str(party.pk),
                "title": "Party",
                "updated_at": Conversation.objects.get(pk=party.pk).updated_at.isoformat(),
                "archived": False,
                "message_id": str(last.prompt_id),
                "role": "user",
                "created_at": last.prompt.created_at.isoformat(),
                "snippet": "And balloons, a grocery bag too",
                "title_marks": [],
                "snippet_marks": [[16, 23]],
            }
        ],
        "has_more": False,
        "after": None,
    }
    (by_title,) = program.got("GET", "/api/search?q=money")["items"]
    assert (by_title["title"], by_title["message_id"], by_title["snippet"]) == ("Money", None, None)
    assert program.got("GET", "/api/search?q=- - -")["items"] == []
    assert ids(program.got("GET", '/api/search?q="pay the rent" or balloons')) == [str(bills.pk), str(party.pk)]
    page = program.got("GET", "/api/search?q=rent or groceries&limit=1")
    assert ids(page) == [str(bills.pk)] and page["has_more"]
    assert ids(program.got("GET", f"/api/search?q=rent or groceries&limit=1&after={page['after']}")) == [str(party.pk)]
    for bad in ("", "?q=", f"?q={'x' * 201}"):
        assert error_of(program("GET", f"/api/search{bad}"), 422) == "invalid"
    too_many = program("GET", "/api/search?q=b c d e f g h j k")
    assert error_of(too_many, 400) == "bad_input"
    assert "at most 8 different words or phrases" in too_many.content.decode()


def test_a_reply_of_any_length_is_kept_and_found_by_the_words_it_begins_with(program: Program, owner: User) -> None:
    # Each word another, more than the database takes as the words of one text.
    told = " ".join(f"a{number:07}" for number in range(120_000))
    say(conversation(owner, "Long"), "Count", told)
    (found,) = program.got("GET", "/api/search?q=a0000999")["items"]
    assert "a0000999" in found["snippet"] and found["role"] == "assistant"
    assert program.got("GET", "/api/search?q=a0119999")["items"] == []


CALLS = [
    ("GET", "", None),
    ("PATCH", "", {"title": "Mine"}),
    ("DELETE", "", None),
    *[("POST", f"/{verb}", None) for verb in ("pin", "unpin", "archive", "unarchive", "restore")],
    ("GET", "/export", None),
    ("GET", "/export?format=markdown", None),
    ("GET", "/messages/{message}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS, ids=lambda value: value if isinstance(value, str) else "")
def test_nobody_else_learns_that_a_thread_exists(
    owner: User, outsider: User, staff: User, method: str, path: str, body: object
) -> None:
    talk = conversation(owner)
    turn = say(talk, "mine", calls=1)
    there = THREADS + f"/{talk.pk}" + path.format(message=turn.prompt_id, turn=turn.pk)
    for user in (outsider, staff):
        other = Program(user)
        answer = other(method, there, body)
        assert error_of(answer, 404) == "not_found"
        nowhere = THREADS + f"/{uuid.uuid4()}" + path.format(message=uuid.uuid4(), turn=uuid.uuid4())
        assert answer.content == other(method, nowhere, body).content
    assert error_of(Program(owner, "tasks")(method, there, body), 403) == "forbidden"
    assert error_of(Client().generic(method, there), 401) == "not_signed_in"
    after = Conversation.objects.get(pk=talk.pk)
    assert (after.title, after.trashed_at, after.pinned_at, after.archived_at) == ("Groceries", None, None, None)


def test_how_many_questions_each_list_asks_the_database(program: Program, owner: User) -> None:
    talks = [conversation(owner, f"{n}") for n in range(60)]
    for _ in range(60):
        say(talks[0], "Buy milk", calls=1)
    first = Message.objects.order_by("-position")[5]

    def asked(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            program.got("GET", path)
        return len([query for query in queries if "apitoken" not in query["sql"]])

    program.got("GET", THREADS)  # notes that the token is used
    page = program.got("GET", THREADS)
    assert asked(THREADS) == 1
    assert asked(f"{THREADS}?after={page['after']}") == 1
    assert asked(f"{THREADS}/{talks[0].pk}") == 3
    assert asked(f"{THREADS}/{talks[0].pk}?before={first.pk}") == 4
    assert asked(f"{THREADS}/{talks[0].pk}/export") == 2
    assert asked(f"{THREADS}/{talks[0].pk}/messages/{first.pk}") == 1
    assert asked("/api/search?q=milk") <= 7, "a transaction with a time limit, what there is, and what matches"


def test_of_a_turn_that_ends_while_it_is_read_either_it_or_its_reply_is_shown(program: Program, owner: User) -> None:
    talked = conversation(owner)
    turn = say(talked, "Add milk", None, status=Status.RUNNING)
    with ending_while_messages_are_read(turn):
        shown = program.got("GET", f"{THREADS}/{talked.pk}")
    assert [each["turn_id"] for each in shown["turns"]] == [str(turn.pk)]


@pytest.mark.parametrize(
    ("title", "plain", "whole"),
    [
        ("Größe: Café", "groe-cafe", "Gr%C3%B6%C3%9Fe%20Caf%C3%A9"),
        ("買い物", "chat", "%E8%B2%B7%E3%81%84%E7%89%A9"),
        ('..\\..\\a/b "c" %20\'*', "a-b-c-20", "a%20b%20c%20%2520%27"),
        ("🧵" * 100, "chat", "%F0%9F%A7%B5" * 100),
        ("", "chat", "chat"),
    ],
    ids=["accents", "no letters of ASCII", "paths", "the longest", "none"],
)
def test_a_file_has_the_whole_title_as_its_name(owner: User, title: str, plain: str, whole: str) -> None:
    row = begin(user_id=owner.pk, title=title)
    answer = Client().get(f"/api/chatkit/threads/{row.id}/export", headers=bearer(owner))
    assert answer["Content-Disposition"] == f"attachment; filename=\"{plain}.json\"; filename*=UTF-8''{whole}.json"
