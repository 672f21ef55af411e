"""No message costs the built-in model, or the guardrail's rules, more than a bounded time, and everybody else none."""

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
# It blocked the event loop for ten seconds.
WORST = "remind me " + "on i mean 1 if " * 66
# Processor time. The budget is a tenth of a second; coverage and a busy machine make the last step longer.
FAR_TOO_LONG = 1.0

MODULES = [
    importlib.import_module(f"{offline.__name__}.{module.name}") for module in pkgutil.iter_modules(offline.__path__)
]
PATTERNS = {pattern for module in (*MODULES, relevance) for pattern in patterns_in(module)}
WORDS = sorted(set().union(*(words_in(pattern) for pattern in PATTERNS)))
ODD = (
    "1", "99999999999999999999", "31.2.", "24:00", "9999-12-31", "in 999 weeks", "1-51", "“", "'", "(", "ß", "İ", "🧵",
)  # fmt: skip
JOINTS = (
    " ", ", ", ". ", "; ", " and ", "\n- ", ": ", " not ", " i mean ", "? ", "'s ", '"', "(", "\u2028", "  ", "",
)  # fmt: skip

FUNCTIONS: list[Tool] = [tool.function_tool() for tool in TOOLS]

REST: tuple[Any, ...] = (ModelSettings(), FUNCTIONS, None, [], ModelTracing.DISABLED)
IDS: dict[str, Any] = {"previous_response_id": None, "conversation_id": None, "prompt": None}

Item = dict[str, Any]


@pytest.fixture(autouse=True, scope="module")
def _frozen() -> None:
    """Collect as little garbage as a server, which freezes its objects: a collection counts as time of the rules.

    They stay frozen: what was frozen when the tests began is frozen with them.
    """
    freeze()


def pieces() -> st.SearchStrategy[str]:
    """A word of the rules, or something odd, and what follows it."""
    return st.tuples(st.sampled_from([*WORDS, *ODD]), st.sampled_from(JOINTS)).map("".join)


def texts(length: int) -> st.SearchStrategy[str]:
    """Words of the rules in any order, or a few of them again and again, up to a length."""
    few = st.lists(pieces(), min_size=1, max_size=4).map("".join)
    repeated = st.tuples(few, few, few).map(lambda t: (t[0] + t[1] * length)[: length - len(t[2])] + t[2])
    shuffled = st.tuples(st.integers(), few).map(lambda t: (t[1] + _shuffled(t[0], length))[:length])
    return st.one_of(repeated, shuffled)


def _shuffled(number: int, length: int) -> str:
    dice = random.Random(number)
    return "".join(dice.choice(WORDS) + dice.choice(JOINTS) for _ in range(length // 4))


def user(text: str) -> Item:
    return {"role": "user", "content": text}


def replied(text: str) -> Item:
    return {"role": "assistant", "content": [{"type": "output_text", "text": text}]}


def listed(count: int, total: int, *, title: str = "Buy milk {}", call_id: str = "c", **given: object) -> list[Item]:
    """A call that listed tasks, and its output."""
    tasks = [{"number": n, "title": title.format(n), "description": "x" * 1000} for n in range(1, count + 1)]
    return [
        {"type": "function_call", "name": "list_tasks", "call_id": call_id, "arguments": json.dumps(given)},
        {
            "type": "function_call_output",
            "call_id": call_id,
            "output": json.dumps({"ok": True, "tasks": tasks, "total": total}),
        },
    ]


async def answer(*items: Item) -> Sequence[Any]:
    """Return the output of the next response."""
    response = await OfflineModel().get_response(INSTRUCTIONS, cast(Any, list(items)), *REST, **IDS)
    return response.output


def said(output: Sequence[Any]) -> str:
    """Return the reply, which must be the whole output."""
    (message,) = output
    assert isinstance(message, ResponseOutputMessage)
    return str(message.content[0].text)  # type: ignore[union-attr]


def seconds_for(items: list[Item]) -> float:
    """Take the next step as the model does; return the processor time that it took."""
    begun = time.thread_time()
    with budget.limited():
        assert next_step(Instructions(now=NOW), read_turns(items), NAMES)
    return time.thread_time() - begun


def test_no_rule_can_explode() -> None:
    """Decided from the patterns themselves: none can read the same text in two ways inside a loop."""
    exploding = {pattern.pattern: found for pattern in PATTERNS if (found := Automaton(pattern).explodes())}
    assert exploding == {}
    assert len(PATTERNS) > 500


@pytest.mark.parametrize("form", [r"(?:a+)+b", r"(?:a|aa)+b", r"(?:\d+,?)+", r"(?=(?:x*)*y)", r"(?:a{1,3})*b"])
def test_a_pattern_that_explodes_is_found(form: str) -> None:
    assert Automaton(re.compile(form)).explodes()


@pytest.mark.parametrize("form", [r"(?:ab|ac)*d", r"(?:a|aa)++b", r"a*b*", r"(?:a{1,3}b)*"])
def test_a_pattern_that_does_not_explode_is_left_alone(form: str) -> None:
    assert not Automaton(re.compile(form)).explodes()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts(1000))
def test_the_rules_stop_in_time_on_any_message_of_their_own_words(text: str) -> None:
    assert seconds_for([user(text)]) < FAR_TOO_LONG


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts(1000), texts(1000))
def test_they_stop_in_time_whatever_was_said_before(earlier: str, text: str) -> None:
    assert seconds_for([user(earlier), replied("Which one?"), user(text)]) < FAR_TOO_LONG


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(texts(190), min_size=10, max_size=50), st.sampled_from(["\n- ", "\n"]))
def test_the_rules_stop_in_time_on_any_long_list(lines: list[str], bullet: str) -> None:
    items = [" ".join(line.split()) for line in lines]
    for heading in (["Add these:"], []):
        assert seconds_for([user(bullet.join([*heading, *items]))]) < FAR_TOO_LONG


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts(USER_TEXT_LENGTH))
def test_the_longest_message_is_judged_at_once(text: str) -> None:
    begun = time.thread_time()
    judge(text, [replied("Which one?")])
    assert time.thread_time() - begun < FAR_TOO_LONG / 10
    assert seconds_for([user(text)]) < FAR_TOO_LONG


@pytest.mark.long
def test_the_rules_stop_in_time_on_ten_thousand_messages(capsys: pytest.CaptureFixture[str]) -> None:
    chosen, slowest = random.randrange(2**32), 0.0

    @seed(chosen)
    @settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(texts(1000))
    def read(text: str) -> None:
        nonlocal slowest
        slowest = max(slowest, seconds_for([user(text)]))
        assert slowest < FAR_TOO_LONG

    read()
    with capsys.disabled():
        print(f"\nseed {chosen}: the slowest took {slowest:.3f} s", end="")  # noqa: T201


async def test_what_takes_too_long_is_answered_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "SECONDS", 0.0)
    assert "less at a time" in said(await answer(user("add milk")))


async def test_what_takes_too_long_after_something_was_done_says_that_it_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(budget, "SECONDS", 0.0)
    assert "stopped part way" in said(await answer(user("finish the milk"), *listed(1, 1)))


async def test_the_event_loop_runs_while_many_send_the_worst_message() -> None:
    answered: list[int] = []
    longest = 0.0

    async def send(number: int) -> None:
        assert "less at a time" in said(await answer(user(f"{number} {WORST}"[:1000])))
        answered.append(number)

    async def watch() -> None:
        nonlocal longest
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0.001)
            longest = max(longest, time.monotonic() - begun)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(send(number) for number in range(24)))
    watching.cancel()

    assert answered == list(range(24))
    assert longest < FAR_TOO_LONG


async def test_long_outputs_of_earlier_turns_are_not_read_for_nothing() -> None:
    before = [item for n in range(60) for item in (user("show"), *listed(100, 100, call_id=f"c{n}"), replied("Here."))]
    begun = time.process_time()
    assert "to-do list" in said(await answer(*before, user("what can you do?")))
    assert time.process_time() - begun < FAR_TOO_LONG


def test_titles_that_nearly_match_cost_no_more_than_the_budget() -> None:
    near = [f"{'a' * 48}{n % 10} {'b' * 48}" for n in range(1000)]
    tasks = [{"number": n, "title": title} for n, title in enumerate(near, 1)]
    page = {"ok": True, "tasks": tasks, "total": len(tasks)}
    looked = listed(0, 0)[0] | {"arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": json.dumps(page)}
    assert seconds_for([user(f"finish {'a' * 47} {'b' * 47}"), looked, output]) < FAR_TOO_LONG


@pytest.mark.parametrize(
    "message",
    [
        "I bought the milk",
        "rename buy milk to buy oat milk",
        "I bought milk, bread, a cake and tickets, called mother and wrote the letter",
    ],
)
def test_an_ordinary_message_is_understood_among_a_thousand_tasks(
    message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "SECONDS", 60.0)
    dice = random.Random(1)
    verbs, nouns = ("buy", "call", "pay", "write", "fix"), ("milk", "bread", "cake", "mother", "letter", "rent", "car")
    titles = [f"{dice.choice(verbs)} {dice.choice(nouns)} {dice.choice(nouns)} for Tom" for _ in range(1000)]
    tasks = [{"number": number, "title": title} for number, title in enumerate(titles, 1)]
    looked = listed(0, 0)[0] | {"arguments": "{}"}
    output = {
        "type": "function_call_output",
        "call_id": "c",
        "output": json.dumps({"ok": True, "tasks": tasks, "total": 1000}),
    }
    # About 0.03 s without coverage, of the 0.1 s that a message may take.
    assert seconds_for([user(message), looked, output]) < 0.2


async def test_of_a_long_list_only_the_open_tasks_are_looked_through() -> None:
    asked = user("I finished task milk 3")
    (again,) = await answer(asked, *listed(100, 5000))
    assert json.loads(again.arguments)["status"] == "pending"
    open_ones = listed(5, 5, call_id="d")
    (newest,) = await answer(asked, *listed(100, 5000), *open_ones)
    assert (json.loads(newest.arguments)["status"], json.loads(newest.arguments)["offset"]) == ("completed", 4895)


async def test_too_many_open_tasks_are_asked_for_by_number() -> None:
    many = [*listed(100, 10_000), *listed(100, 9_000, call_id="d")]
    assert "9,000 open tasks" in said(await answer(user("I bought the bread"), *many))
    (call,) = await answer(user("complete task 12"))
    assert json.loads(call.arguments) == {"number": 12}
    (adding,) = await answer(user("buy bread tomorrow"), *many)
    assert adding.name == "create_task"


async def test_a_long_reply_is_streamed_in_a_bounded_number_of_pieces() -> None:
    items = cast(Any, [user("hello"), replied("word " * 5_000), user("what did you say?")])
    events = [event async for event in OfflineModel().stream_response(INSTRUCTIONS, items, *REST, **IDS)]
    deltas = [event.delta for event in events if isinstance(event, ResponseTextDeltaEvent)]
    assert len(deltas) <= MOST_PIECES
    assert "".join(deltas).startswith("I said:\n\n> word word")


async def test_what_is_recalled_of_long_messages_stays_short() -> None:
    before = [item for n in range(50) for item in (user(f"{n} " + "x" * 9_000), replied("Hm."))]
    reply = said(await answer(*before, user("what have I asked so far?")))
    assert "50. “49 xxx" in reply
    assert len(reply) < 50_000


async def test_a_day_that_no_calendar_has_is_asked_for_again() -> None:
    assert "out of reach" in said(await answer(user("postpone task 1 by 99999999999 days"), *listed(1, 1)))
