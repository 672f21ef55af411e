"""The offline model and the guardrail's rules take a bounded time for every message, and never block the event loop."""

import asyncio
import importlib
import json
import pkgutil
import random
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from agents import ModelSettings, Tool
from agents.models.interface import ModelTracing
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseOutputMessage, ResponseTextDeltaEvent

from chat.assistant import offline, relevance
from chat.assistant.offline import OfflineModel, budget
from chat.assistant.offline.context import Instructions, read_turns
from chat.assistant.offline.planning import next_step
from chat.assistant.offline.streaming import MOST_PIECES
from chat.assistant.relevance import judge
from chat.assistant.tools import TOOLS
from chat.models.conversation import USER_TEXT_LENGTH
from chat.tests.patterns import Automaton, patterns_in, words_in
from config.runtime.gc_freeze import freeze

INSTRUCTIONS = "Now: 2026-03-11T10:00:00+01:00 (Wednesday)\n"
NOW = datetime(2026, 3, 11, 10, tzinfo=UTC)
NAMES = frozenset(tool.name for tool in TOOLS)
# This once blocked the event loop for ten seconds.
WORST = "remind me " + "on i mean 1 if " * 66
# CPU time. The budget is a quarter of a second; coverage and a busy machine make the last step longer.
MAX_SECONDS = 1.0

MODULES = [
    importlib.import_module(f"{offline.__name__}.{module.name}") for module in pkgutil.iter_modules(offline.__path__)
]
PATTERNS = {pattern for module in (*MODULES, relevance) for pattern in patterns_in(module)}
WORDS = sorted(set().union(*(words_in(pattern) for pattern in PATTERNS)))
ODD_WORDS = (
    "1", "99999999999999999999", "31.2.", "24:00", "9999-12-31", "in 999 weeks", "1-51", "“", "'", "(", "ß", "İ", "🧵",
)  # fmt: skip
SEPARATORS = (
    " ", ", ", ". ", "; ", " and ", "\n- ", ": ", " not ", " i mean ", "? ", "'s ", '"', "(", "\u2028", "  ", "",
)  # fmt: skip

FUNCTIONS: list[Tool] = [tool.function_tool() for tool in TOOLS]

MODEL_ARGUMENTS: tuple[Any, ...] = (ModelSettings(), FUNCTIONS, None, [], ModelTracing.DISABLED)
IDS: dict[str, Any] = {"previous_response_id": None, "conversation_id": None, "prompt": None}

Item = dict[str, Any]


@pytest.fixture(autouse=True, scope="module")
def _frozen_objects() -> None:
    """Freeze the objects as a server does, because a garbage collection counts as time of the rules.

    There is no unfreeze: it would also unfreeze the objects that were frozen before the tests.
    """
    freeze()


def words() -> st.SearchStrategy[str]:
    """A word of the rules, or an odd one, with a separator."""
    return st.tuples(st.sampled_from([*WORDS, *ODD_WORDS]), st.sampled_from(SEPARATORS)).map("".join)


def texts(length: int) -> st.SearchStrategy[str]:
    """Words of the rules in any order, or a few of them repeated, up to a length."""
    few = st.lists(words(), min_size=1, max_size=4).map("".join)
    repeated = st.tuples(few, few, few).map(lambda t: (t[0] + t[1] * length)[: length - len(t[2])] + t[2])
    shuffled = st.tuples(st.integers(), few).map(lambda t: (t[1] + _shuffled(t[0], length))[:length])
    return st.one_of(repeated, shuffled)


def _shuffled(number: int, length: int) -> str:
    dice = random.Random(number)
    return "".join(dice.choice(WORDS) + dice.choice(SEPARATORS) for _ in range(length // 4))


def user(text: str) -> Item:
    return {"role": "user", "content": text}


def assistant(text: str) -> Item:
    return {"role": "assistant", "content": [{"type": "output_text", "text": text}]}


def listed(count: int, total: int, *, title: str = "Buy milk {}", call_id: str = "c", **given: object) -> list[Item]:
    """A call of `list_tasks`, and its output."""
    tasks = [{"number": n, "title": title.format(n), "description": "x" * 1000} for n in range(1, count + 1)]
    return [
        {"type": "function_call", "name": "list_tasks", "call_id": call_id, "arguments": json.dumps(given)},
        {
            "type": "function_call_output",
            "call_id": call_id,
            "output": json.dumps({"ok": True, "tasks": tasks, "total": total}),
        },
    ]


async def respond(*items: Item) -> Sequence[Any]:
    """Return the output of the next response."""
    response = await OfflineModel().get_response(INSTRUCTIONS, cast(Any, list(items)), *MODEL_ARGUMENTS, **IDS)
    return response.output


def text_of(output: Sequence[Any]) -> str:
    """Return the text of a reply that is the whole output."""
    (message,) = output
    assert isinstance(message, ResponseOutputMessage)
    return str(message.content[0].text)  # type: ignore[union-attr]


def seconds_for(items: list[Item]) -> float:
    """Take the next step as the model does; return the CPU time that it took."""
    started = time.thread_time()
    with budget.limited():
        assert next_step(Instructions(now=NOW), read_turns(items), NAMES)
    return time.thread_time() - started


@pytest.mark.long
def test_no_pattern_backtracks_exponentially() -> None:
    """Check the patterns themselves: none can match the same text in two ways inside a loop."""
    exploding = {pattern.pattern: found for pattern in PATTERNS if (found := Automaton(pattern).explodes())}
    assert exploding == {}
    assert len(PATTERNS) > 500


@pytest.mark.parametrize("form", [r"(?:a+)+b", r"(?:a|aa)+b", r"(?:\d+,?)+", r"(?=(?:x*)*y)", r"(?:a{1,3})*b"])
def test_exponential_pattern_is_detected(form: str) -> None:
    assert Automaton(re.compile(form)).explodes()


@pytest.mark.parametrize("form", [r"(?:ab|ac)*d", r"(?:a|aa)++b", r"a*b*", r"(?:a{1,3}b)*"])
def test_safe_pattern_is_not_reported(form: str) -> None:
    assert not Automaton(re.compile(form)).explodes()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts(1000))
def test_rules_stop_in_time_on_any_message(text: str) -> None:
    assert seconds_for([user(text)]) < MAX_SECONDS


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts(1000), texts(1000))
def test_rules_stop_in_time_after_any_earlier_message(earlier: str, text: str) -> None:
    assert seconds_for([user(earlier), assistant("Which one?"), user(text)]) < MAX_SECONDS


@pytest.mark.long
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(texts(190), min_size=10, max_size=50), st.sampled_from(["\n- ", "\n"]))
def test_rules_stop_in_time_on_any_long_list(lines: list[str], bullet: str) -> None:
    items = [" ".join(line.split()) for line in lines]
    for heading in (["Add these:"], []):
        assert seconds_for([user(bullet.join([*heading, *items]))]) < MAX_SECONDS


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts(USER_TEXT_LENGTH))
def test_longest_message_is_judged_in_time(text: str) -> None:
    started = time.thread_time()
    judge(text, [assistant("Which one?")])
    assert time.thread_time() - started < MAX_SECONDS / 10
    assert seconds_for([user(text)]) < MAX_SECONDS


@pytest.mark.long
def test_rules_stop_in_time_on_ten_thousand_messages(capsys: pytest.CaptureFixture[str]) -> None:
    chosen, slowest = random.randrange(2**32), 0.0

    @seed(chosen)
    @settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(texts(1000))
    def read(text: str) -> None:
        nonlocal slowest
        slowest = max(slowest, seconds_for([user(text)]))
        assert slowest < MAX_SECONDS

    read()
    with capsys.disabled():
        print(f"\nseed {chosen}: the slowest took {slowest:.3f} s", end="")  # noqa: T201


async def test_message_over_budget_gets_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "SECONDS", 0.0)
    assert "less at a time" in text_of(await respond(user("add milk")))


async def test_message_over_budget_after_a_call_reports_the_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(budget, "SECONDS", 0.0)
    assert "stopped part way" in text_of(await respond(user("finish the milk"), *listed(1, 1)))


async def test_event_loop_is_not_blocked_by_concurrent_worst_messages() -> None:
    answered: list[int] = []
    longest = 0.0

    async def send(number: int) -> None:
        assert "less at a time" in text_of(await respond(user(f"{number} {WORST}"[:1000])))
        answered.append(number)

    async def watch() -> None:
        nonlocal longest
        while True:
            started = time.monotonic()
            await asyncio.sleep(0.001)
            longest = max(longest, time.monotonic() - started)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(send(number) for number in range(24)))
    watching.cancel()

    assert answered == list(range(24))
    assert longest < MAX_SECONDS


async def test_long_outputs_of_earlier_turns_are_not_parsed_needlessly() -> None:
    history = [
        item for n in range(60) for item in (user("show"), *listed(100, 100, call_id=f"c{n}"), assistant("Here."))
    ]
    started = time.process_time()
    assert "to-do list" in text_of(await respond(*history, user("what can you do?")))
    assert time.process_time() - started < MAX_SECONDS


def test_nearly_matching_titles_stay_within_the_budget() -> None:
    near = [f"{'a' * 48}{n % 10} {'b' * 48}" for n in range(1000)]
    tasks = [{"number": n, "title": title} for n, title in enumerate(near, 1)]
    page = {"ok": True, "tasks": tasks, "total": len(tasks)}
    lookup = listed(0, 0)[0] | {"arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": json.dumps(page)}
    assert seconds_for([user(f"finish {'a' * 47} {'b' * 47}"), lookup, output]) < MAX_SECONDS


@pytest.mark.parametrize(
    "message",
    [
        "I bought the milk",
        "rename buy milk to buy oat milk",
        "I bought milk, bread, a cake and tickets, called mother and wrote the letter",
    ],
)
def test_ordinary_message_is_planned_in_time_among_a_thousand_tasks(
    message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "SECONDS", 60.0)
    dice = random.Random(1)
    verbs, nouns = ("buy", "call", "pay", "write", "fix"), ("milk", "bread", "cake", "mother", "letter", "rent", "car")
    titles = [f"{dice.choice(verbs)} {dice.choice(nouns)} {dice.choice(nouns)} for Tom" for _ in range(1000)]
    tasks = [{"number": number, "title": title} for number, title in enumerate(titles, 1)]
    lookup = listed(0, 0)[0] | {"arguments": "{}"}
    output = {
        "type": "function_call_output",
        "call_id": "c",
        "output": json.dumps({"ok": True, "tasks": tasks, "total": 1000}),
    }
    # About 0.03 s without coverage, of the 0.25 s that a message may take.
    assert seconds_for([user(message), lookup, output]) < 0.2


async def test_only_open_tasks_of_a_long_list_are_searched() -> None:
    request = user("I finished task milk 3")
    (second_call,) = await respond(request, *listed(100, 5000))
    assert json.loads(second_call.arguments)["status"] == "pending"
    open_tasks = listed(5, 5, call_id="d")
    (newest,) = await respond(request, *listed(100, 5000), *open_tasks)
    assert (json.loads(newest.arguments)["status"], json.loads(newest.arguments)["offset"]) == ("completed", 4895)


async def test_number_is_requested_with_too_many_open_tasks() -> None:
    many = [*listed(100, 10_000), *listed(100, 9_000, call_id="d")]
    assert "9,000 open tasks" in text_of(await respond(user("I bought the bread"), *many))
    (call,) = await respond(user("complete task 12"))
    assert json.loads(call.arguments) == {"number": 12}
    (adding,) = await respond(user("buy bread tomorrow"), *many)
    assert adding.name == "create_task"


async def test_long_reply_is_streamed_in_a_bounded_number_of_deltas() -> None:
    items = cast(Any, [user("hello"), assistant("word " * 5_000), user("what did you say?")])
    events = [event async for event in OfflineModel().stream_response(INSTRUCTIONS, items, *MODEL_ARGUMENTS, **IDS)]
    deltas = [event.delta for event in events if isinstance(event, ResponseTextDeltaEvent)]
    assert len(deltas) <= MOST_PIECES
    assert "".join(deltas).startswith("I said:\n\n> word word")


async def test_recall_of_long_messages_is_shortened() -> None:
    history = [item for n in range(50) for item in (user(f"{n} " + "x" * 9_000), assistant("Hm."))]
    reply = text_of(await respond(*history, user("what have I asked so far?")))
    assert "50. “49 xxx" in reply
    assert len(reply) < 50_000


async def test_date_out_of_range_is_refused() -> None:
    assert "out of reach" in text_of(await respond(user("postpone task 1 by 99999999999 days"), *listed(1, 1)))
