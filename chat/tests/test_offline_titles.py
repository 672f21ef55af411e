"""No word of a task is lost: what is not read as a date, a priority or courtesy is in its title or its note."""

import re
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.assistant.offline.intents import Add, Draft
from chat.assistant.offline.understanding import understand

NOW = datetime(2026, 3, 11, 10, tzinfo=ZoneInfo("Europe/Berlin"))

LEADS = ("add ", "please add ", "remind me to ", "I need to ", "add a task to ", "don't forget to ", "todo: ")
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
READ = ("", " tomorrow", " on Friday", " by 5pm", " next week", " in 3 days", " on Friday at 5", ", high priority")
CHOICES = (" at 5pm or 6pm", " on Friday or Saturday", " from 3pm to 5pm", " today or tomorrow")


def drafts_of(said: str) -> list[Draft]:
    """Return what a message adds; it must wish for nothing else."""
    wishes = understand(said, NOW)
    assert all(isinstance(wish, Add) for wish in wishes), wishes
    return [draft for wish in wishes if isinstance(wish, Add) for draft in wish.drafts]


def words_of(text: str) -> set[str]:
    """Return the words of a text."""
    return set(re.findall(r"[\w']+", text.lower()))


@given(*(st.sampled_from(each) for each in (LEADS, VERBS, THINGS, ENDS, READ + CHOICES)))
def test_every_word_that_is_no_date_and_no_priority_is_kept(
    lead: str, verb: str, thing: str, end: str, when: str
) -> None:
    task = f"{verb} {thing} {end}"
    drafts = drafts_of(f"{lead}{task}{when}")
    kept = words_of(" ".join(f"{draft.title} {draft.description or ''}" for draft in drafts))
    assert words_of(task + (when if when in CHOICES else "")) <= kept


@pytest.mark.parametrize(
    ("said", "title", "day", "at"),
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
def test_a_title_is_all_that_was_said_of_the_task(said: str, title: str, day: date | None, at: time | None) -> None:
    (draft,) = drafts_of(said)
    assert (draft.title, draft.day, draft.at) == (title, day, at)


@pytest.mark.parametrize(
    ("said", "note"),
    [
        ("add buy milk, Ann wants to bake", "Ann wants to bake"),
        ("buy milk. The carton with the blue cap.", "The carton with the blue cap"),
    ],
)
def test_what_is_told_beside_a_task_is_its_note(said: str, note: str) -> None:
    (draft,) = drafts_of(said)
    assert (draft.title, draft.description) == ("buy milk", note)


def test_a_line_of_a_list_that_names_nothing_is_left_out() -> None:
    titles = [draft.title for draft in drafts_of("- [ ] buy milk by 31 Feb\n- [ ] ...\n- [ ] pay the rent")]
    assert titles == ["buy milk", "pay the rent"]
