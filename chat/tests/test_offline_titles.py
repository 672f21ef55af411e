"""No word of a task is lost: words other than dates, priorities and courtesies are in its title or its note."""

import re
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.assistant.offline.intents import Add, Draft
from chat.assistant.offline.understanding import understand

NOW = datetime(2026, 3, 11, 10, tzinfo=ZoneInfo("Europe/Berlin"))

PREFIXES = ("add ", "please add ", "remind me to ", "I need to ", "add a task to ", "don't forget to ", "todo: ")
VERBS = (
    "buy", "call", "turn", "write", "read", "cut", "ask", "record", "listen to", "put", "stop", "pay", "find", "log",
)  # fmt: skip
THINGS = (
    "the radio", "my mate", "Ann and Bob", "the man", "3 books", "a chair", "the letter", "it", "old Sam's bike",
    "5 euros",
)  # fmt: skip
ENDS = (
    "", "on", "off", "down", "by the door", "or the other", "for two", "with care", "at the station", "about the party",
    "in blue or green", "right", "for the kids to wear", ", Ann wants it", "at 5 Main Street", "on the guest list",
    "there", "again and again", "as a present", "now and then", "(the big one)", "to the man", "out", "over", "dear",
    "by bus", "too late", "once more",
)  # fmt: skip
PARSED = ("", " tomorrow", " on Friday", " by 5pm", " next week", " in 3 days", " on Friday at 5", ", high priority")
CHOICES = (" at 5pm or 6pm", " on Friday or Saturday", " from 3pm to 5pm", " today or tomorrow")


def drafts_of(message: str) -> list[Draft]:
    """Return the drafts of a message that has no other intents than to add."""
    intents = understand(message, NOW)
    assert all(isinstance(intent, Add) for intent in intents), intents
    return [draft for intent in intents if isinstance(intent, Add) for draft in intent.drafts]


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[\w']+", text.lower()))


@given(*(st.sampled_from(each) for each in (PREFIXES, VERBS, THINGS, ENDS, PARSED + CHOICES)))
def test_words_other_than_dates_and_priorities_are_kept(
    prefix: str, verb: str, thing: str, end: str, when: str
) -> None:
    task = f"{verb} {thing} {end}"
    drafts = drafts_of(f"{prefix}{task}{when}")
    kept = words_of(" ".join(f"{draft.title} {draft.description or ''}" for draft in drafts))
    assert words_of(task + (when if when in CHOICES else "")) <= kept


@pytest.mark.parametrize(
    ("message", "title", "day", "at"),
    [
        ("call mom at 5pm or 6pm", "call mom at 5pm or 6pm", date(2026, 3, 11), time(17)),
        ("meet Ann from 3pm to 5pm tomorrow", "meet Ann from 3pm to 5pm", date(2026, 3, 12), time(15)),
        ("add turn the radio on tomorrow", "turn the radio on", date(2026, 3, 12), None),
        ("add stop by on Friday", "stop by", date(2026, 3, 13), None),
        ("add gym on Monday, Wednesday and Friday", "gym on Monday, Wednesday and Friday", date(2026, 3, 16), None),
        ("fix the bike by eod Friday", "fix the bike", date(2026, 3, 13), None),
        ("add fix the bike due fri eod", "fix the bike", date(2026, 3, 13), None),
        ("add buy 2 tomorrow papers tomorrow", "buy 2 tomorrow papers", date(2026, 3, 12), None),
        ("Add a task due yesterday: send invoice", "send invoice", date(2026, 3, 10), None),
        ("import wine from Italy", "import wine from Italy", None, None),
        ("combine trips", "combine trips", None, None),
        ("open a bank account", "open a bank account", None, None),
        ("copy the list of names", "copy the list of names", None, None),
        ("I need to plan my week", "plan my week", None, None),
        ("cut the tree down", "cut the tree down", None, None),
        ("call the man", "call the man", None, None),
        ("listen to the podcast", "listen to the podcast", None, None),
        ("record the podcast", "record the podcast", None, None),
        ("add put milk down on my list", "put milk down", None, None),
        ("add pick up the parcel at 5 Main Street", "pick up the parcel at 5 Main Street", None, None),
        ("add a task to read the note", "read the note", None, None),
        ("add Ann to the guest list", "Ann to the guest list", None, None),
    ],
)
def test_title_has_all_words_of_the_task(message: str, title: str, day: date | None, at: time | None) -> None:
    (draft,) = drafts_of(message)
    assert (draft.title, draft.day, draft.at) == (title, day, at)


@pytest.mark.parametrize(
    ("message", "note"),
    [
        ("add buy milk, Ann wants to bake", "Ann wants to bake"),
        ("buy milk. The carton with the blue cap.", "The carton with the blue cap"),
    ],
)
def test_additional_text_becomes_the_note(message: str, note: str) -> None:
    (draft,) = drafts_of(message)
    assert (draft.title, draft.description) == ("buy milk", note)


def test_empty_list_item_is_skipped() -> None:
    titles = [draft.title for draft in drafts_of("- [ ] buy milk by 31 Feb\n- [ ] ...\n- [ ] pay the rent")]
    assert titles == ["buy milk", "pay the rent"]
