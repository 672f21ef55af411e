"""Threads over the API: every field of each operation, and access control."""

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
from chat.tests.api import bearer, error_code
from chat.tests.stored_turns import add_turn, conversation, turn_ends_during_read

pytestmark = pytest.mark.django_db
THREADS = "/api/chatkit/threads"
THREAD_FIELDS = {
    "thread_id", "title", "created_at", "updated_at", "pinned", "archived", "trashed", "trash_on", "purge_on",
    "model",
}  # fmt: skip
MESSAGE_FIELDS = {"message_id", "role", "content", "created_at", "position", "turn_id"}


class ApiClient:
    """A client of the API, with a token."""

    def __init__(self, user: User, *scopes: str) -> None:
        self._headers = bearer(user, *scopes)
        self._client = Client()

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> HttpResponse:
        given = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        response: HttpResponse = self._client.generic(method, path, headers=self._headers | headers, **given)  # type: ignore[arg-type,assignment]
        return response

    def request_json(self, method: str, path: str, body: object = None, *, status: int = 200) -> Any:
        """Return the decoded body of a response."""
        response = self(method, path, body)
        assert response.status_code == status, response.content
        return json.loads(response.content) if response.content else None


@pytest.fixture
def api(owner: User) -> ApiClient:
    return ApiClient(owner, "chat")


def thread_ids(page: dict[str, Any]) -> list[str]:
    return [item["thread_id"] for item in page["items"]]


def test_thread_is_created(api: ApiClient, owner: User) -> None:
    created = api.request_json("POST", THREADS, {"title": "  Groceries\nand more "}, status=201)
    row = Conversation.objects.get()
    assert created == {
        "thread_id": str(row.pk),
        "title": "Groceries and more",
        "created_at": row.created_at.isoformat(),
    }
    assert row.user == owner and row.last_seq == 0
    for body in ({}, {"title": None}, {"title": ""}, None):
        assert api.request_json("POST", THREADS, body, status=201)["title"] == ""


@pytest.mark.parametrize("title", ["x" * 101, "\x00", 5])
def test_invalid_title_is_rejected(api: ApiClient, title: object) -> None:
    thread_id = api.request_json("POST", THREADS, {"title": "Groceries"}, status=201)["thread_id"]
    for method, path in (("POST", THREADS), ("PATCH", f"{THREADS}/{thread_id}")):
        response = api(method, path, {"title": title})
        assert error_code(response, 422) == "invalid"
    assert error_code(api("PATCH", f"{THREADS}/{thread_id}", {"title": ""}), 422) == "invalid"
    assert error_code(api("PATCH", f"{THREADS}/{thread_id}", {"title": " \n "}), 400) == "bad_input"
    assert list(Conversation.objects.values_list("title", flat=True)) == ["Groceries"]


def test_threads_are_listed_newest_first_without_losing_ties(api: ApiClient, owner: User, outsider: User) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [conversation(owner, f"{n}", at=moment + timedelta(days=n // 4)) for n in range(10)]
    conversation(outsider)
    expected = [str(row.pk) for row in sorted(rows, key=lambda row: (row.updated_at, row.pk), reverse=True)]
    page, found = api.request_json("GET", f"{THREADS}?limit=3"), []
    assert set(page) == {"items", "has_more", "after"} and set(page["items"][0]) == THREAD_FIELDS
    while page["has_more"]:
        assert len(page["items"]) == 3
        found += thread_ids(page)
        page = api.request_json("GET", f"{THREADS}?limit=3&after={page['after']}")
    assert found + thread_ids(page) == expected
    assert page["after"] is None
    assert thread_ids(api.request_json("GET", THREADS)) == expected
    assert error_code(api("GET", f"{THREADS}?after=x"), 400) == "bad_cursor"
    assert error_code(api("GET", f"{THREADS}?limit=0"), 422) == "invalid"


def test_threads_are_listed_by_status(api: ApiClient, owner: User) -> None:
    rows = {name: conversation(owner, name) for name in ("plain", "pinned", "archived", "trashed")}
    for verb, name in (("pin", "pinned"), ("archive", "archived")):
        entry = api.request_json("POST", f"{THREADS}/{rows[name].pk}/{verb}")
        assert set(entry) == THREAD_FIELDS and entry[name] is True
    assert api.request_json("DELETE", f"{THREADS}/{rows['trashed'].pk}", status=204) is None

    def titles(status: str) -> set[str]:
        return {item["title"] for item in api.request_json("GET", f"{THREADS}?status={status}")["items"]}

    assert titles("active") == {"plain", "pinned"}
    assert titles("pinned") == {"pinned"}
    assert titles("archived") == {"archived"}
    assert titles("trashed") == {"trashed"}
    assert titles("all") == set(rows)
    assert api("GET", f"{THREADS}?status=lost").status_code == 422


def test_thread_is_pinned_archived_renamed_trashed_and_restored(api: ApiClient, owner: User) -> None:
    path = f"{THREADS}/{conversation(owner).pk}"
    assert api.request_json("POST", f"{path}/pin")["pinned"] is True
    assert api.request_json("POST", f"{path}/unpin")["pinned"] is False
    assert api.request_json("POST", f"{path}/archive")["archived"] is True
    assert api.request_json("POST", f"{path}/unarchive")["archived"] is False
    assert api.request_json("PATCH", path, {"title": "Party"})["title"] == "Party"
    for _ in range(2):
        api.request_json("DELETE", path, status=204)
    for method, verb_path, body in (("POST", "/pin", None), ("POST", "/archive", None), ("PATCH", "", {"title": "x"})):
        assert error_code(api(method, path + verb_path, body), 409) == "conflict"
    assert api.request_json("GET", path)["trashed"] is True
    restored = api.request_json("POST", f"{path}/restore")
    assert restored["trashed"] is False and restored["title"] == "Party"


def test_thread_shows_its_newest_messages_in_order(api: ApiClient, owner: User) -> None:
    thread = conversation(owner)
    turns = [add_turn(thread, f"question {n}", f"answer {n}") for n in range(30)]
    path = f"{THREADS}/{thread.pk}"
    thread_json = api.request_json("GET", path)
    assert set(thread_json) == THREAD_FIELDS | {"messages", "has_more", "turns"}
    assert [message["position"] for message in thread_json["messages"]] == list(range(11, 61))
    assert thread_json["has_more"] is True and thread_json["turns"] == []
    last = Message.objects.get(turn=turns[-1], role="assistant")
    assert thread_json["messages"][-1] == {
        "message_id": str(last.pk),
        "role": "assistant",
        "content": "answer 29",
        "created_at": last.created_at.isoformat(),
        "position": 60,
        "turn_id": str(turns[-1].pk),
    }
    older = api.request_json("GET", f"{path}?limit=100&before={thread_json['messages'][0]['message_id']}")
    assert [message["position"] for message in older["messages"]] == list(range(1, 11))
    assert older["has_more"] is False
    assert error_code(api("GET", f"{path}?before={uuid.uuid4()}"), 404) == "not_found"
    assert api("GET", f"{path}?limit=101").status_code == 422


def test_thread_lists_unfinished_turns(api: ApiClient, owner: User) -> None:
    thread = conversation(owner)
    add_turn(thread, "first")
    turn = add_turn(thread, "second", None, status=Status.QUEUED)
    thread_json = api.request_json("GET", f"{THREADS}/{thread.pk}")
    assert thread_json["turns"] == [{"turn_id": str(turn.pk), "status": "queued", "message_id": str(turn.prompt_id)}]


def test_message_of_an_earlier_version_is_shown(api: ApiClient, owner: User) -> None:
    thread = conversation(owner)
    turn = add_turn(thread, "first")
    path = f"{THREADS}/{thread.pk}/messages/{turn.prompt_id}"
    message_json = api.request_json("GET", path)
    assert set(message_json) == MESSAGE_FIELDS
    assert (message_json["role"], message_json["content"], message_json["position"]) == ("user", "first", 1)
    Message.objects.update(position=None)
    assert api.request_json("GET", path)["position"] is None
    other_thread = conversation(owner)
    assert api("GET", f"{THREADS}/{other_thread.pk}/messages/{turn.prompt_id}").status_code == 404


def test_thread_is_exported_as_json_and_markdown(api: ApiClient, owner: User) -> None:
    owner.time_zone = "Asia/Tokyo"
    owner.save()
    thread = conversation(owner, "Party: “food”")
    at = add_turn(thread, "Buy **milk**", "Bought.").prompt.created_at
    path = f"{THREADS}/{thread.pk}/export"
    response = api("GET", path)
    assert response["Content-Type"] == "application/json"
    encoded_name = "Party%20%E2%80%9Cfood%E2%80%9D.json"
    assert (
        response["Content-Disposition"] == f"attachment; filename=\"party-food.json\"; filename*=UTF-8''{encoded_name}"
    )
    document = json.loads(response.content)
    assert set(document) == {"thread_id", "title", "created_at", "updated_at", "messages"}
    assert [set(message) for message in document["messages"]] == [MESSAGE_FIELDS, MESSAGE_FIELDS]
    assert [message["content"] for message in document["messages"]] == ["Buy **milk**", "Bought."]

    response = api("GET", f"{path}?format=markdown")
    assert response["Content-Type"] == "text/markdown; charset=utf-8"
    encoded_name = "Party%20%E2%80%9Cfood%E2%80%9D.md"
    assert response["Content-Disposition"] == f"attachment; filename=\"party-food.md\"; filename*=UTF-8''{encoded_name}"
    local_time = at.astimezone(owner.zone).strftime("%Y-%m-%d %H:%M")
    assert response.content.decode() == (
        f"# Party: “food”\n\n## You, {local_time}\n\nBuy **milk**\n\n## Assistant, {local_time}\n\nBought.\n"
    )
    assert api("GET", f"{path}?format=pdf").status_code == 422

    thread.title = r"*C* #1 in C#, <b> [x](y) & &lt; a\b"
    thread.save()
    heading = api("GET", f"{path}?format=markdown").content.decode().splitlines()[0]
    assert heading == r"# \*C\* #1 in C#, \<b> \[x\](y) & \&lt; a\\b"


def test_search_finds_words_and_phrases(api: ApiClient, owner: User, outsider: User) -> None:
    party, bills = conversation(owner, "Party"), conversation(owner, "Money")
    add_turn(party, "Buy groceries for the party", "I added “Buy groceries”.")
    last = add_turn(party, "And balloons, a grocery bag too", "Done.")
    add_turn(bills, "Pay the rent", "Noted.")
    add_turn(conversation(outsider), "groceries of somebody else")
    trashed = conversation(owner)
    add_turn(trashed, "groceries thrown away")
    api.request_json("DELETE", f"{THREADS}/{trashed.pk}", status=204)

    found = api.request_json("GET", "/api/search?q=groceries")
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
    (by_title,) = api.request_json("GET", "/api/search?q=money")["items"]
    assert (by_title["title"], by_title["message_id"], by_title["snippet"]) == ("Money", None, None)
    assert api.request_json("GET", "/api/search?q=- - -")["items"] == []
    assert thread_ids(api.request_json("GET", '/api/search?q="pay the rent" or balloons')) == [
        str(bills.pk),
        str(party.pk),
    ]
    page = api.request_json("GET", "/api/search?q=rent or groceries&limit=1")
    assert thread_ids(page) == [str(bills.pk)] and page["has_more"]
    assert thread_ids(api.request_json("GET", f"/api/search?q=rent or groceries&limit=1&after={page['after']}")) == [
        str(party.pk)
    ]
    for bad in ("", "?q=", f"?q={'x' * 201}"):
        assert error_code(api("GET", f"/api/search{bad}"), 422) == "invalid"
    too_many = api("GET", "/api/search?q=b c d e f g h j k")
    assert error_code(too_many, 400) == "bad_input"
    assert "at most 8 different words or phrases" in too_many.content.decode()


def test_very_long_reply_is_stored_and_found_by_its_first_words(api: ApiClient, owner: User) -> None:
    # More distinct words than PostgreSQL can index in one text.
    reply = " ".join(f"a{number:07}" for number in range(120_000))
    add_turn(conversation(owner, "Long"), "Count", reply)
    (found,) = api.request_json("GET", "/api/search?q=a0000999")["items"]
    assert "a0000999" in found["snippet"] and found["role"] == "assistant"
    assert api.request_json("GET", "/api/search?q=a0119999")["items"] == []


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
def test_thread_of_another_user_returns_the_same_404_as_no_thread(
    owner: User, outsider: User, staff: User, method: str, path: str, body: object
) -> None:
    thread = conversation(owner)
    turn = add_turn(thread, "mine", calls=1)
    existing = THREADS + f"/{thread.pk}" + path.format(message=turn.prompt_id, turn=turn.pk)
    for user in (outsider, staff):
        other = ApiClient(user)
        response = other(method, existing, body)
        assert error_code(response, 404) == "not_found"
        missing = THREADS + f"/{uuid.uuid4()}" + path.format(message=uuid.uuid4(), turn=uuid.uuid4())
        assert response.content == other(method, missing, body).content
    assert error_code(ApiClient(owner, "tasks")(method, existing, body), 403) == "forbidden"
    assert error_code(Client().generic(method, existing), 401) == "not_signed_in"
    after = Conversation.objects.get(pk=thread.pk)
    assert (after.title, after.trashed_at, after.pinned_at, after.archived_at) == ("Groceries", None, None, None)


def test_query_count_of_each_operation(api: ApiClient, owner: User) -> None:
    threads = [conversation(owner, f"{n}") for n in range(60)]
    for _ in range(60):
        add_turn(threads[0], "Buy milk", calls=1)
    first = Message.objects.order_by("-position")[5]

    def count_queries(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            api.request_json("GET", path)
        return len([query for query in queries if "apitoken" not in query["sql"]])

    api.request_json("GET", THREADS)  # saves the token's last use
    page = api.request_json("GET", THREADS)
    assert count_queries(THREADS) == 1
    assert count_queries(f"{THREADS}?after={page['after']}") == 1
    assert count_queries(f"{THREADS}/{threads[0].pk}") == 3
    assert count_queries(f"{THREADS}/{threads[0].pk}?before={first.pk}") == 4
    assert count_queries(f"{THREADS}/{threads[0].pk}/export") == 2
    assert count_queries(f"{THREADS}/{threads[0].pk}/messages/{first.pk}") == 1
    assert count_queries("/api/search?q=milk") <= 7, "a transaction with a time limit, the candidates and the matches"


def test_turn_ending_during_the_read_is_shown_as_turn_or_reply(api: ApiClient, owner: User) -> None:
    thread = conversation(owner)
    turn = add_turn(thread, "Add milk", None, status=Status.RUNNING)
    with turn_ends_during_read(turn):
        thread_json = api.request_json("GET", f"{THREADS}/{thread.pk}")
    assert [each["turn_id"] for each in thread_json["turns"]] == [str(turn.pk)]


@pytest.mark.parametrize(
    ("title", "ascii_title", "encoded_title"),
    [
        ("Größe: Café", "groe-cafe", "Gr%C3%B6%C3%9Fe%20Caf%C3%A9"),
        ("買い物", "chat", "%E8%B2%B7%E3%81%84%E7%89%A9"),
        ('..\\..\\a/b "c" %20\'*', "a-b-c-20", "a%20b%20c%20%2520%27"),
        ("🧵" * 100, "chat", "%F0%9F%A7%B5" * 100),
        ("", "chat", "chat"),
    ],
    ids=["accents", "no ASCII letters", "path", "longest", "empty"],
)
def test_export_file_name_keeps_the_whole_title(owner: User, title: str, ascii_title: str, encoded_title: str) -> None:
    row = begin(user_id=owner.pk, title=title)
    response = Client().get(f"/api/chatkit/threads/{row.id}/export", headers=bearer(owner))
    assert (
        response["Content-Disposition"]
        == f"attachment; filename=\"{ascii_title}.json\"; filename*=UTF-8''{encoded_title}.json"
    )
