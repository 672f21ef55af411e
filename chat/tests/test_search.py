"""Search in messages and titles: query syntax, writing systems, isolation of users, cost, index and snippets."""

import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chat.conversations import services as conversations
from chat.exceptions import BadInput, RateLimited, ThreadkeeperError, TimedOut
from chat.models import Conversation, Message, MessageVector, TitleVector, Turn, User
from chat.models.conversation import Role
from chat.search import index, services
from chat.search.index import index_missing
from chat.search.lexemes import MAX_POSITIONS, MAX_TOKENS, vector
from chat.search.query import MAX_TERMS, parse
from chat.search.snippets import LENGTH, marks, pieces
from chat.tests.stored_turns import add_turn, conversation
from chat.turns.accept import accept, accept_edit
from chat.turns.stop import request_stop

pytestmark = pytest.mark.django_db

# This query of 200 characters once took minutes and a gigabyte.
LONGEST = " or ".join(["xa", "xb"] * 34)[:200]
EMPTY = ["", "- - - - -", '""', '"', "-", '-""', "()&|!:*<->'\\", "\x00", "\ud800\udfff", "   ", "…", "​"]
METACHARACTERS = [
    "a & b", "a | b", "!a", "a <-> b", "a:*", "a:A", "(a", "a)", "'a", "a''b", "a\\", "\\'a", "[a-z]+(", "%a_",
]  # fmt: skip


def found(user: User, words: str, limit: int = 50) -> list[str]:
    """Return the titles of the hits."""
    return [hit.title for hit in services.search(user_id=user.pk, words=words, limit=limit)]


def written(user: User, *texts: str) -> Conversation:
    """Write each text in a conversation of its own, with the text as its title; return the last one."""
    for text in texts:
        talk = conversation(user, "")
        add_turn(talk, text, None)
        Conversation.objects.filter(pk=talk.pk).update(title=text[:100])  # without an update of the index
    return talk


# Matches.


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("Pay the bills by Friday", ["bill", "BILLS", "billing", "pay friday", '"the bills"', "fri", "pay bil"]),
        ("Herr Müller heißt naïve Straße", ["Muller", "müller", "heisst", "naive", "STRASSE", "nai\u0308ve", "mull"]),
        ("Łódź, Ærø, İstanbul, Đà Nẵng, ﬁne", ["lodz", "aero", "istanbul", "da nang", "fine", "Ærø"]),
        ("Ёлка и Σίσυφος", ["елка", "ЁЛКА", "σισυφοσ", "Σίσυφος", "сел or ёлк"]),
        ("昨天我去看牙医了，很痛", ["牙医", "我去", "牙", "痛", "了", "看牙医", "医了", '"去看" 很痛']),
        ("明日は歯医者に行きます。ﾊﾟｽﾎﾟｰﾄ", ["歯医", "医者に", "歯", "行き", "パスポート", "は"]),
        ("내일 치과에 갑니다", ["치과", "치과에", "갑니", "내일 치과", unicodedata.normalize("NFD", "치과")]),
        ("พรุ่งนี้ไปหาหมอฟันและซื้อน้ำ", ["หมอ", "ฟัน", "น้ำ", "หาหมอ", "นี้"]),
        ("हिन्दी में लिखो", ["हिन्दी", "में", "लि"]),
        ("اِجتماع غداً في المكتب", ["اجتماع", "غدا", "المك"]),
        ("私はPythonが好き", ["python", "Python", "はPython", "pythonが", "Ｐｙｔｈｏｎ"]),
        ("a well-known snake_case, version 3.5, x@example.com", ["well-known", "snake_case", "3.5", "example.com"]),
        ("Don’t run git --force", ["don't", "--force", "git --force"]),
    ],
)  # fmt: skip
def test_query_finds_the_text(owner: User, text: str, queries: list[str]) -> None:
    written(owner, text, "Something else")
    for query in queries:
        assert found(owner, query) == [text], query


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Pay the bills", '"bills pay"'),
        ("Pay the bills", "pay rent"),
        ("Pay the bills", "bil pay"),  # only the last word may be a prefix
        ("Pay the bills", '"pay the bil"'),  # a quoted phrase has no prefix
        ("Pay the bills", "-bills pay"),
        ("我去看牙医", "去牙"),
        ("我去看牙，医生", "牙医"),
        ("สวัสดี", "สวสด"),
    ],
)
def test_query_does_not_find_the_text(owner: User, text: str, query: str) -> None:
    written(owner, text)
    assert found(owner, query) == []


def test_query_with_words_phrases_alternatives_and_exclusions(owner: User) -> None:
    written(owner, "milk and bread", "milk and eggs", "bread and butter", "tea")
    assert found(owner, "milk -eggs") == ["milk and bread"]
    assert found(owner, '"bread and butter" or tea') == ["tea", "bread and butter"]
    assert found(owner, "milk bread or butter") == ["bread and butter", "milk and bread"]
    assert found(owner, '-"and eggs" milk') == ["milk and bread"]
    assert found(owner, "-milk") == ["tea", "bread and butter"]
    assert found(owner, "“and eggs”") == ["milk and eggs"]
    assert found(owner, "or") == [] and found(owner, "tea or") == ["tea"]


def test_stop_words_are_required_only_alone_or_in_phrases(owner: User) -> None:
    written(owner, "call the dentist", "dentist at nine")
    assert found(owner, "what about the dentist") == ["dentist at nine", "call the dentist"]
    assert found(owner, "the") == ["call the dentist"]
    assert found(owner, '"the dentist"') == ["call the dentist"]


def test_match_in_the_title_has_no_message(owner: User) -> None:
    talk = conversation(owner, "Zahnärzte")
    add_turn(talk, "Hello")
    (hit,) = services.search(user_id=owner.pk, words="zahnarzt", limit=5)
    assert (hit.id, hit.message_id, hit.role, hit.snippet) == (talk.pk, None, None, None)
    conversations.rename(user_id=owner.pk, conversation_id=talk.pk, title="Dentists")
    assert found(owner, "zahnarzt") == []
    assert found(owner, "dentist") == ["Dentists"]
    new = conversations.begin(user_id=owner.pk, title="Plumbers")
    assert [hit.id for hit in services.search(user_id=owner.pk, words="plumber", limit=5)] == [new.id]


REPLY = """## Plan

- [ ] buy **oat milk** at `shop.sh`, see [the *list*](https://x.example/list)

| a | b |
|---|---|
| 1 | 2 |"""


def test_snippet_of_a_reply_has_no_markdown(owner: User) -> None:
    talk = conversation(owner, "Groceries")
    add_turn(talk, "what to buy, **please**", REPLY)
    (hit,) = services.search(user_id=owner.pk, words='"oat milk at shop"', limit=1)
    assert hit.snippet == "Plan buy oat milk at shop.sh, see the list a b 1 2"
    assert [text for text, marked in hit.snippet_pieces if marked] == ["oat milk at shop"]
    # A user's message is shown unchanged, here as in the chat.
    (hit,) = services.search(user_id=owner.pk, words="please", limit=1)
    assert hit.snippet == "what to buy, **please**"


def test_match_in_a_link_url_is_marked_there(owner: User) -> None:
    add_turn(conversation(owner, "Groceries"), "what to buy", REPLY)
    (hit,) = services.search(user_id=owner.pk, words="x.example", limit=1)
    assert [text for text, marked in hit.snippet_pieces if marked] == ["x.example"]


@pytest.mark.parametrize(
    "text", ["> " * 100 + "milk", "milk <b>bold</b> & 1 < 2", "milk \\* `a <i> b`", "[milk](x) ![oat](y)"]
)
def test_snippet_of_a_reply_with_markup_is_shown(owner: User, text: str) -> None:
    add_turn(conversation(owner, "Groceries"), "what to buy", text)
    (hit,) = services.search(user_id=owner.pk, words="milk", limit=1)
    assert "milk" in (hit.snippet or "")
    assert "&lt;" not in (hit.snippet or "") and "</" not in (hit.snippet or "").replace("</b>", "")


def test_hits_show_the_newest_message_and_are_sorted_by_newest_conversation(owner: User) -> None:
    old, new = conversation(owner, "old"), conversation(owner, "new", at=timezone.now() + timedelta(hours=1))
    add_turn(old, "balloons", "balloons again")
    add_turn(new, "balloons")
    hits = services.search(user_id=owner.pk, words="balloons", limit=5)
    assert [(hit.title, hit.role, hit.snippet) for hit in hits] == [
        ("new", "user", "balloons"),
        ("old", "assistant", "balloons again"),
    ]


def test_trashed_conversations_and_replaced_versions_are_not_found(owner: User) -> None:
    talk = conversation(owner, "talk")
    turn = add_turn(talk, "Buy balloons", "Added balloons.")
    accept_edit(
        user_id=owner.pk, conversation_id=talk.pk, message_id=turn.prompt_id, client_id=uuid.uuid4(), text="Buy kites"
    )  # fmt: skip
    assert found(owner, "balloons") == []
    assert found(owner, "kites") == ["talk"]
    conversations.trash(user_id=owner.pk, conversation_id=talk.pk)
    assert found(owner, "kites") == []
    conversations.restore(user_id=owner.pk, conversation_id=talk.pk)
    assert found(owner, "kites") == ["talk"]


def test_messages_of_another_user_are_not_found(owner: User, outsider: User) -> None:
    written(owner, "groceries")
    for query in ("groceries", "-nothing", "g", "groceries or nothing"):
        assert found(outsider, query) == []


def test_users_with_the_same_key_find_only_their_own_messages(owner: User) -> None:
    # The key consists of the first bytes of a user id; two users that share one are unlikely, and harmless.
    twin = User.objects.create_user("twin@example.com", id=uuid.UUID(int=owner.pk.int ^ 1))
    written(owner, *(f"groceries {number}" for number in range(60)))
    written(twin, "groceries of the twin")
    assert found(twin, "groceries") == ["groceries of the twin"]
    assert len(found(owner, "groceries", limit=100)) == 60


@pytest.mark.parametrize("common", [1, 40])
def test_pages_have_each_hit_once_with_equal_times(owner: User, common: int) -> None:
    """Every nth conversation matches, with n = `common`, so that the scan or the index finds them."""
    at = timezone.now()
    wanted = []
    for number in range(240):
        talk = conversation(owner, f"Chat {number}", at=at - timedelta(minutes=number // 90))
        add_turn(talk, "needle" if number % common == 0 else "straw", *["straw"] * (number % 3 == 0))
        wanted += [talk.pk] * (number % common == 0)
    paged, after = [], None
    while True:
        hits = services.search(user_id=owner.pk, words="needle", limit=7, after=after)
        paged += [hit.id for hit in hits[:7]]
        if len(hits) <= 7:
            break
        after = hits[6].updated_at, hits[6].id
    assert len(paged) == len(set(paged)) and set(paged) == set(wanted)
    ordered = Conversation.objects.filter(pk__in=wanted).order_by("-updated_at", "-pk").values_list("pk", flat=True)
    assert paged == list(ordered)


def test_match_beyond_the_scanned_messages_is_found(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "SCANNED_MESSAGES", 10)
    older, talk = conversation(owner, "older", at=timezone.now() - timedelta(days=1)), conversation(owner, "long")
    add_turn(older, "needle")
    add_turn(talk, "needle", None)
    for number in range(30):
        add_turn(talk, f"straw {number}", None)
    for query in ("needle", "needle -hay", "-straw"):
        assert found(owner, query) == ["long", "older"], query


# Odd queries.


@pytest.mark.parametrize("query", EMPTY)
def test_query_without_terms_finds_nothing(owner: User, query: str) -> None:
    written(owner, "something")
    assert found(owner, query) == []


@pytest.mark.parametrize("query", METACHARACTERS)
def test_metacharacters_have_no_special_meaning(owner: User, query: str) -> None:
    written(owner, "a word, b too")
    assert found(owner, query) in ([], ["a word, b too"])


def test_number_of_terms_in_a_query_is_limited(owner: User) -> None:
    written(owner, "xa xb")
    assert found(owner, LONGEST) == ["xa xb"], "repeated words count once"
    words = [f"word{number}" for number in range(MAX_TERMS + 1)]
    assert found(owner, " ".join(words[:-1])) == []
    for query in (" ".join(words), " or ".join(words), " ".join(f"-{word}" for word in words)):
        with pytest.raises(BadInput, match="at most 8 different words or phrases at once; these are 9"):
            found(owner, query)
    for text in ("x " * 1_000, "x" * 10_000, "牙医" * 5_000):
        with pytest.raises(BadInput, match="at most 200 characters"):
            found(owner, text)


def test_search_takes_few_short_statements_without_headlines(owner: User) -> None:
    text = "xa xb " * 1_666
    written(owner, text)
    with CaptureQueriesContext(connection) as queries:
        (hit,) = services.search(user_id=owner.pk, words=LONGEST, limit=50)
    assert hit.snippet and len(hit.snippet) <= LENGTH + 2
    assert len(queries) <= 8
    assert not [query["sql"] for query in queries if "headline" in query["sql"] or "to_tsquery" in query["sql"]]
    assert max(len(query["sql"]) for query in queries) < 4_000


any_text = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=200)
any_query = st.text(st.characters(), max_size=220) | st.text("ab \"-or()|&!:*<>'\\\x00\ud800", max_size=220)
WITHOUT_RESET = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)


@WITHOUT_RESET
@given(any_text, any_query)
def test_any_query_raises_no_other_than_domain_errors(owner: User, text: str, query: str) -> None:
    with rolled_back():
        written(owner, text)
        try:
            services.search(user_id=owner.pk, words=query, limit=5)
        except ThreadkeeperError as error:
            assert error.detail.endswith(".")


@WITHOUT_RESET
@given(any_text)
@example('a-b or -c "d')
def test_text_is_found_by_each_of_its_words(owner: User, text: str) -> None:
    with rolled_back():
        talk = conversation(owner)
        add_turn(talk, text, None)
        for word in text.split():
            if any(map(str.isalnum, word)):
                quoted = '"' + word.replace('"', " ").translate(str.maketrans("“”„‟", "    "))[:190] + '"'
                hits = services.search(user_id=owner.pk, words=quoted, limit=5)
                assert [hit.id for hit in hits] == [talk.pk], (word, vector(owner.pk, text))


@contextmanager
def rolled_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


# Limits.


def test_each_user_has_two_concurrent_searches(owner: User, outsider: User) -> None:
    hold = services._searches.hold
    with hold(str(owner.pk)), hold(str(owner.pk)):
        with pytest.raises(RateLimited) as refused:
            found(owner, "anything")
        assert refused.value.retry_after == 1
        assert found(outsider, "anything") == []
    assert found(owner, "anything") == []


def test_slow_search_is_cancelled_and_reported(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    written(owner, "anything")
    monkeypatch.setattr(services, "_SCAN", services._SCAN.replace("found.id IS NOT NULL", "pg_sleep(30) IS NULL"))
    monkeypatch.setattr(services, "SECONDS", 0.05)
    with pytest.raises(TimedOut, match=r"takes too long; please"):
        found(owner, "anything")
    assert not services._searches._held
    monkeypatch.undo()
    assert found(owner, "anything") == ["anything"], "the connection is usable"


def test_index_scan_visits_rows_of_one_user_only(owner: User, outsider: User) -> None:
    # Another user writes the same words; a search visits none of these rows.
    for person in (owner, outsider):
        for number in range(30):
            add_turn(
                conversation(person, f"Chat {number}"), "groceries and bread" if number else "groceries and needle"
            )
    visited = {}
    for words in ("groceries", "needle", "groceries needle", "grocer", "bread or needle", "nothing"):
        query = parse(words).as_tsquery(owner.pk)
        values: dict[str, Any] = {
            "user": owner.pk,
            "query": query,
            "title": query,
            "limit": 51,
            "time": None,
            "key": None,
        }
        with connection.cursor() as cursor:
            cursor.execute(services._PLAN)
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {services._FIND}", values)
            ((((explained,),),)) = cursor.fetchall()
        scans = list(bitmap_scans(explained["Plan"]))
        assert {scan["Index Name"] for scan in scans} >= {"message_vector"}
        visited[words] = next(scan["Actual Rows"] for scan in scans if scan["Index Name"] == "message_vector")
    assert visited == {
        "groceries": 30, "needle": 1, "groceries needle": 1, "grocer": 30, "bread or needle": 30, "nothing": 0,
    }  # fmt: skip


def bitmap_scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (node for node in nodes(plan) if node["Node Type"] == "Bitmap Index Scan")


# Maintenance of the index.


def test_every_stored_message_is_indexed(owner: User) -> None:
    key = uuid.uuid4()
    first = accept(user_id=owner.pk, conversation_id=key, client_id=uuid.uuid4(), text="Waiting for balloons")
    turn = Turn.objects.get(pk=first.turn.pk)
    turn.text = "Half a reply about kites"
    turn.save()
    request_stop(user_id=owner.pk, conversation_id=key, turn_id=turn.pk)
    for word in ("balloons", "kites"):
        assert [hit.id for hit in services.search(user_id=owner.pk, words=word, limit=5)] == [key], word
    assert MessageVector.objects.count() == Message.objects.count() == 2
    assert TitleVector.objects.count() == 1


def test_rows_of_an_earlier_version_are_indexed_afterwards(owner: User, outsider: User) -> None:
    add_turn(conversation(owner, "Party"), "Buy balloons", "Added.")
    add_turn(conversation(outsider, "Money"), "Pay the rent", "Noted.")
    before = snapshot()
    MessageVector.objects.all().delete()
    TitleVector.objects.all().delete()
    assert found(owner, "balloons") == []
    assert index_missing() == 6
    assert snapshot() == before
    assert index_missing() == 0
    assert found(owner, "balloons") == found(owner, "party") == ["Party"]


def test_index_batch_does_not_read_vectors_of_earlier_batches(owner: User) -> None:
    # Each batch once took longer than the one before, and a million messages took hours.
    written(owner, *(f"message {number}" for number in range(20)))
    keys = list(MessageVector.objects.order_by("pk").values_list("pk", flat=True))
    MessageVector.objects.filter(pk=keys[-1]).delete()
    with connection.cursor() as cursor:
        # PostgreSQL chooses a merge join once there are many rows.
        cursor.execute("SET LOCAL enable_nestloop = off; SET LOCAL enable_hashjoin = off")
        statement = f"EXPLAIN (ANALYZE, FORMAT JSON) {index._MISSING_MESSAGES}"
        cursor.execute(statement, {"after": keys[-3], "batch": 500, "characters": 100})
        ((((explained,),),)) = cursor.fetchall()
    read = [node["Actual Rows"] for node in nodes(explained["Plan"]) if node.get("Alias") == "v"]
    assert read == [1]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def snapshot() -> list[tuple[object, ...]]:
    return [*MessageVector.objects.order_by("pk").values_list(), *TitleVector.objects.order_by("pk").values_list()]


def test_vectors_are_deleted_with_their_messages_and_conversations(owner: User, outsider: User) -> None:
    for person in (owner, outsider):
        add_turn(conversation(person), "groceries", None)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM chat_turn WHERE user_id = %s", [outsider.pk])
        cursor.execute("DELETE FROM chat_message m USING chat_conversation c WHERE c.id = m.conversation_id AND"
                       " c.user_id = %s", [outsider.pk])  # fmt: skip
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert MessageVector.objects.count() == 1
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    Conversation.objects.all().delete()
    assert not MessageVector.objects.exists() and not TitleVector.objects.exists()


@pytest.mark.parametrize(
    "text",
    [
        " ".join(f"a{number:07}" for number in range(120_000)),
        "the " * 20_000,
        "".join(map(chr, range(0x4E00, 0x9F00))) * 3,
        "e\u0301\u0323" * 30_000 + "\u0301" * 30_000,
        "\ufdfa" * 20_000,
    ],
    ids=["words", "one word", "pairs", "marks", "expanding"],
)
def test_text_of_any_length_is_stored_and_its_start_is_found(owner: User, text: str) -> None:
    talk = conversation(owner)
    turn = add_turn(talk, "Count", None)
    Message.objects.create(
        conversation=talk, turn=turn, role=Role.ASSISTANT, text=text, position=9, created_at=timezone.now()
    )
    assert [hit.role for hit in services.search(user_id=owner.pk, words=text[:8], limit=5)] == ["assistant"]
    positions = [part.rpartition(":")[2].split(",") for part in vector(owner.pk, text).split()]
    assert max(map(len, positions)) <= MAX_POSITIONS
    assert max(int(position) for found in positions for position in found) <= MAX_TOKENS


# Snippets.


@pytest.mark.parametrize(
    ("text", "query", "shown"),
    [
        ("Buy   milk\nand bread", "bread", "Buy milk and bread"),
        ("before " * 60 + "the Müller case " + "after " * 60, "muller", "Müller"),
        ("before " * 60 + "bills " + "after " * 60, "billing", "bills"),
        ("先" * 300 + "牙医" + "后" * 300, "牙医", "牙医"),
        ("before " * 60 + "pay the rent " + "pay " * 60, '"the rent"', "pay the rent"),
        ("word " * 4_000 + "needle " + "word " * 400, "needle", "needle"),
        ("word " * 400, "-needle", "word word"),
    ],
)
def test_snippet_has_the_match_and_its_context(owner: User, text: str, query: str, shown: str) -> None:
    add_turn(conversation(owner), "Hello", text)
    (hit,) = services.search(user_id=owner.pk, words=query, limit=5)
    assert hit.snippet and shown in hit.snippet
    assert len(hit.snippet) <= LENGTH + 2
    assert hit.snippet.startswith("…") == (not text.startswith(hit.snippet[:3]) and len(text) > LENGTH)


@pytest.mark.parametrize(
    ("text", "query", "shown"),
    [
        ("Pay the bills by Friday", "billing fri", "Pay the [bills] by [Friday]"),
        ("Pay the bills. The bills!", '"the bills"', "Pay [the bills]. [The bills]!"),
        ("Pay the bills", "bills -milk", "Pay the [bills]"),
        ("昨天我去看牙医了", "看牙医", "昨天我去[看牙医]了"),
        ("🧵 Herr Müller", "muller or milk", "🧵 Herr [Müller]"),
        ("Pay the bills", "milk", "Pay the bills"),
    ],
)
def test_matches_are_marked_in_the_text(text: str, query: str, shown: str) -> None:
    parts = pieces(text, marks(text, parse(query).wanted))
    assert "".join(f"[{part}]" if marked else part for part, marked in parts) == shown
