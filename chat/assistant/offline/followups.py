"""Join a short answer with the question that it answers."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import time

from chat.assistant.offline.adding import add, clean_title
from chat.assistant.offline.budget import TooMuch
from chat.assistant.offline.changing import change
from chat.assistant.offline.clauses import unwrap
from chat.assistant.offline.context import Turn
from chat.assistant.offline.dates import find_due, settle
from chat.assistant.offline.dialog_state import DialogState
from chat.assistant.offline.intents import (
    Add,
    Answer,
    Change,
    Complete,
    Delete,
    Draft,
    Foreign,
    Fragment,
    Inspect,
    OffTopic,
    Pick,
    Recall,
    Ref,
    Reopen,
    Show,
    Span,
    Talk,
    Undo,
    Vague,
    Wish,
)
from chat.assistant.offline.matching import match
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.references import read_ref
from chat.assistant.offline.slots import take_priority
from chat.assistant.offline.understanding import understand

Pending = Add | Complete | Delete | Reopen | Change | Inspect
_MOST_QUESTIONS = 4
_ASKED_CONSENT = "Shall I"
_SAME = pattern(
    r"^(?:and |also |do )*(?:the )?same (?:thing )?(?:for|with|to|goes for) (?P<ref>.+)$|^(?:and "
    r"|also )*(?P<ref2>(?:task |#|number )?\d+|the \S+(?: one| task)?|[^,]+) (?:too|as well|also)(?:,? (?:(?:also|please|by|to|for|again|the same|as well|too)\b.*|(?:a|one|two|\d) \w+ later))?$"
    r"|^and (?P<ref3>(?:task |#|number )?\d+|(?:the )?(?:first|second|third|fourth|fifth|sixth|last|top|bottom|next|latter"
    r"|other)(?: one| task)?)$"
)
_NOT_THAT = pattern(
    r"\W*(?:(?:oh|oops|no|nope|sorry|wait|ugh|hey)\W+)*not (?:that|this)(?: one| task)?(?:,? sorry| please)?\W*"
)
_ITS_DUE = pattern(r"\s*(?:(?:and|also|but|oh|actually|it'?s|it is)\s+)+due\b[^?]*$")
_AMOUNT = pattern(
    r"(?:by |another |for |back |forward |out )*(?:\d+|an?|one|two|three|four|five|six|seven|a couple of|a few|another)"
    r"(?: more)? (?:day|week|hour|minute|month)s?(?: (?:earlier|later|back|forward|sooner|more|please))*"
)
_SAME_DAY = pattern(r",?\s+(?:(?:on|for|by|also|too) )*(?:the |that )?same (?:day|date|deadline)\b")
_CORRECTION = pattern(
    r"^(?:(?:oh|oops|sorry|wait)[\s,.!-]+)*(?:no|nope|not that one|wrong one|the wrong one)[\s,.!-]+(?:not that one[\s,.!-]+)?"
    r"(?P<instead>(?:task |number |#)?\d+|(?:the|my) [^,?]+)$"
    r"|^(?:(?:no|nope|oops|whoops|sorry|wait|not that(?: one)?|wrong (?:one|task)|that was the wrong one"
    r"|i)[\s,.!-]+)*(?:i meant|i mean|meant|should have been|it was)\s+(?P<ref>.+)$"
)
_LEADING = pattern(
    r"^(?:(?:no|yes|yeah|wait|only|just|oh|actually|sorry|oops|(?:i (?:only |just |actually )|(?:i )?(?:really )?)mean(?:t)?|maybe|probably"
    r"|i think|i'?d say|let's say|definitely|it was|it's|that would be|that's)[\s,]+)+(?=\S)"
)
_MEANT = pattern(
    r"(?:\W*(?:no|oh|oops|sorry|wait|nope|ah|ok|okay))*\W*(?:i )?(?:only |just |actually |really )?mean(?:t)?\b"
)
_OPTION = pattern(r"(?P<word>option |choice )?(?P<place>\d{1,2})")
_ONE_MORE = pattern(r"\s*(?:oh,? )?(?:and|also|plus|as well as|another)\b")


def follow_up(desk: DialogState) -> list[Wish]:
    """Return the wishes of the newest message, completed by the question it answers or the task it is about."""
    if desk.before and desk.before[-1].changed and not desk.before[-1].asked and _NOT_THAT.fullmatch(desk.said):
        return [Undo()]
    again = _again(desk)
    if again:
        return again
    wishes = understand(_dated(desk), desk.now)
    if len(wishes) == 1 and wishes[0] in (Undo(), Answer(yes=True)) and _asked_to_undo(desk):
        return [Undo(sure=True)]
    pending = _pending(desk)
    if pending is None:
        return [_placed(wish, desk) for wish in wishes] if len(wishes) == 1 else wishes
    if len(wishes) == 2 and isinstance(wishes[0], Answer):
        wishes = wishes[:1] if wishes[0].yes and _insists(wishes[1], pending, desk) else wishes[1:]
    if len(wishes) != 1:
        return wishes
    answered = _answered(wishes[0], pending, desk)
    return [answered if answered is not None else _placed(wishes[0], desk)]


def _dated(desk: DialogState) -> str:
    """Return what was said with "the same day" as the day of the task that was spoken of last."""
    found = _SAME_DAY.search(desk.said)
    if found is None:
        return desk.said
    seen = desk.seen()
    days = [day for number in desk.spoken_of() if number in seen and (day := seen[number].due_date)]
    if not days:
        return desk.said
    return f"{desk.said[: found.start()]} on {days[-1].isoformat()}{desk.said[found.end() :]}"


def _again(desk: DialogState) -> list[Wish]:
    """Read "the second one too" as the last wish for another task, and "no, I meant task 6" as that in its place."""
    last = desk.before[-1] if desk.before else None
    if last is None or not last.changed:
        return []
    said = desk.said.strip(" .!?")
    found = _SAME.match(unwrap(said)) or _SAME.match(said) or _CORRECTION.match(desk.said.strip(" .!"))
    if found is None:
        return []
    ref = read_ref(next((group for group in found.groups() if group), ""), desk.now)
    wishes = [wish for wish in _understood(last, desk) if isinstance(wish, Complete | Delete | Reopen | Change)]
    if not wishes or ref.every or ref.pronoun not in ("", "other") or (ref.phrase and not _known(ref.phrase, desk)):
        return []
    repeated = replace(wishes[-1], ref=ref)
    return [repeated] if found.re is _SAME else [Undo(), repeated]


def _understood(turn: Turn, desk: DialogState) -> list[Wish]:
    """Return what an earlier message wished; nothing if that was more than can be read at once."""
    try:
        return understand(turn.said, desk.now)
    except TooMuch:
        return []


def _known(phrase: str, desk: DialogState) -> bool:
    return bool(match(phrase, desk.seen().values()).sure)


def waiting_for(desk: DialogState) -> Sequence[int]:
    """Return the numbers of the tasks among which the person was asked to choose."""
    return desk.before[-1].shown if desk.before and desk.before[-1].asked else ()


def _pending(desk: DialogState) -> Pending | None:
    """Return the wish about which the assistant asked back, read again from what the person said then."""
    for turn in list(reversed(desk.before))[:_MOST_QUESTIONS]:
        if not turn.asked or turn.changed:
            return None
        found = _unfinished(turn, desk)
        if found is not None:
            return found
    return None


def _unfinished(turn: Turn, desk: DialogState) -> Pending | None:
    wishes = [wish for wish in _understood(turn, desk) if isinstance(wish, Pending)]
    open_ones = [wish for wish in wishes if not (isinstance(wish, Add) and wish.drafts)]
    return open_ones[-1] if open_ones else None


def _answered(wish: Wish, pending: Pending, desk: DialogState) -> Wish | None:
    """Return the pending wish with the answer filled in; None if this is something else."""
    if isinstance(wish, Undo | Recall | Foreign | OffTopic) or (isinstance(wish, Talk) and wish.kind != "fine"):
        return None
    if isinstance(wish, Answer):
        return _yes(pending, desk) if wish.yes else Talk("keep")
    if _insists(wish, pending, desk):
        return _yes(pending, desk)
    if isinstance(wish, Pick | Show | Vague) and read_ref(_bare(desk), desk.now) == Ref(every=True):
        return _yes(pending, desk)
    if isinstance(pending, Add):
        given = wish if isinstance(wish, Add) and wish.drafts else add(unwrap(desk.said), desk.now, free=True)
        return _with_usual(given, pending.usual) if isinstance(given, Add) else None
    if isinstance(pending, Change) and pending.lacks:
        return _filled(wish, pending, desk)
    return _pointed(wish, pending, desk)


def _with_usual(wish: Add, usual: Draft) -> Add:
    """Return the tasks with the day and the priority that were given before it was said what they are."""
    drafts = [
        replace(
            draft,
            day=draft.day or usual.day,
            at=draft.at or (usual.at if draft.day is None else None),
            priority=usual.priority if draft.priority == "normal" else draft.priority,
        )
        for draft in wish.drafts
    ]
    return Add(tuple(drafts))


def _bare(desk: DialogState) -> str:
    """Return an answer without what leads to it: "no wait, only the bread" is about the bread."""
    return unwrap(_LEADING.sub("", unwrap(desk.said))).strip(" .!?")


def _chosen(desk: DialogState) -> Ref | None:
    """Return the tasks that an answer points at; a bare number that none of the tasks offered has is a place."""
    ref, offered = read_ref(_bare(desk), desk.now), waiting_for(desk)
    if option := _OPTION.fullmatch(_bare(desk)):
        number = int(option["place"])
        return (
            Ref(places=(number,)) if option["word"] or (offered and number not in offered) else Ref(numbers=(number,))
        )
    return None if ref.phrase or ref.every or ref.empty else ref


def _yes(pending: Pending, desk: DialogState) -> Wish | None:
    shown = desk.before[-1].shown
    if isinstance(pending, Delete) and not shown and pending.otherwise:
        return Add((pending.otherwise,))
    if isinstance(pending, Add):
        return None
    several = isinstance(pending, Complete | Delete) and (pending.ref.every or pending.ref.pronoun == "them")
    if several and not _just_asked(pending, desk):
        return Vague("task")
    if len(shown) == 1 or (several and shown):
        found = replace(pending, ref=Ref(numbers=tuple(shown)))
        return _sure(found)
    return Vague("task")


def _just_asked(pending: Pending, desk: DialogState) -> bool:
    """Return whether the last reply asked for consent to just this: a yes to another question is none."""
    last = desk.before[-1]
    return (bool(last.undecided) or _ASKED_CONSENT in last.replied) and _unfinished(last, desk) == pending


def _asked_to_undo(desk: DialogState) -> bool:
    """Return whether the last reply asked for consent to undo something."""
    last = desk.before[-1] if desk.before else None
    return (
        last is not None and not last.changed and _ASKED_CONSENT in last.replied and Undo() in _understood(last, desk)
    )


def _insists(wish: Wish, pending: Pending, desk: DialogState) -> bool:
    """Return whether "delete them all" answers the question whether all should be deleted."""
    if not isinstance(wish, Complete | Delete) or type(wish) is not type(pending):
        return False
    return (wish.ref == Ref(every=True) or wish.ref.pronoun == "them") and _just_asked(pending, desk)


def _filled(wish: Wish, pending: Change, desk: DialogState) -> Wish | None:
    """Return the change with the value that it lacked."""
    said = unwrap(desk.said).strip(" .!")
    if isinstance(wish, Delete | Complete) and wish.ref.numbers:
        return None
    if pending.lacks == "title":
        return replace(pending, title=clean_title(said.strip("\"'“”")), lacks="")
    if pending.lacks == "description":
        return replace(pending, description=said.strip("\"'“”"), lacks="")
    if pending.lacks == "priority" and (found := take_priority(said, bare=True)[0]):
        return replace(pending, priority=found, lacks="")
    if pending.lacks == "due" and (shifted := _shifted(said, desk)):
        return replace(pending, shift=shifted.shift, lacks="")
    if pending.lacks == "due" and (due := find_due(said, desk.now)):
        day, at = settle(due, desk.now)
        return replace(pending, day=day, at=at or pending.at, lacks="")
    if isinstance(wish, Fragment):
        return replace(pending, day=wish.day, at=wish.at or pending.at, priority=wish.priority, lacks="")
    if isinstance(wish, Change) and (wish.ref.pronoun == "it" or wish.ref.empty):
        return replace(wish, ref=pending.ref)
    return None


def _pointed(wish: Wish, pending: Pending, desk: DialogState) -> Wish | None:
    """Return the pending wish for the task that the person now points at."""
    if isinstance(pending, Add):
        return None
    chosen = _chosen(desk)
    if chosen is not None and (
        isinstance(wish, Pick | Inspect | Show | Vague | Fragment | Add) or _MEANT.match(desk.said)
    ):
        return _sure(replace(pending, ref=chosen))
    if isinstance(wish, Show):
        return None
    seen, offered = desk.seen(), waiting_for(desk)
    candidates = [seen[number] for number in offered if number in seen]
    if isinstance(wish, Pick):
        return _sure(replace(pending, ref=wish.ref))
    if isinstance(wish, Fragment) and wish.day and not isinstance(pending, Change):
        return _sure(replace(pending, ref=Ref(span=Span(wish.day, wish.day))))
    if isinstance(wish, Fragment) and wish.priority and not isinstance(pending, Change):
        return _sure(replace(pending, ref=Ref(priority=wish.priority)))
    if isinstance(wish, Inspect) and wish.aspect == "all":
        return _sure(replace(pending, ref=wish.ref))
    meant = isinstance(wish, Change) and wish.loose and _MEANT.match(desk.said) is not None
    bare = meant or isinstance(wish, Vague) or (isinstance(wish, Add) and bool(match(desk.said, candidates).sure))
    if bare:
        ref = read_ref(_bare(desk), desk.now)
        if not ref.phrase or match(ref.phrase, candidates).sure:
            return _sure(replace(pending, ref=ref))
    return None


def _sure(wish: Pending) -> Pending:
    return replace(wish, unsure=False) if isinstance(wish, Delete | Complete) else wish


def _shifted(said: str, desk: DialogState) -> Change | None:
    """Read a bare "an hour earlier" or "by two days"."""
    words = unwrap(said).strip(" .!?")
    if not _AMOUNT.fullmatch(words):
        return None
    wish = change(f"move it {words}", desk.now)
    return wish if wish is not None and wish.shift else None


def _placed(wish: Wish, desk: DialogState) -> Wish:
    """Read a bare day or priority as said of the task, or of the list, that was spoken of last."""
    last = desk.before[-1] if desk.before else None
    if isinstance(wish, Vague) and desk.spoken_of() and (shifted := _shifted(desk.said, desk)):
        return shifted
    if (
        isinstance(wish, Vague)
        and last is not None
        and _ONE_MORE.match(desk.said)
        and not wish.text.rstrip().endswith("?")
    ):
        added = [call for call in last.calls if call.name == "create_task" and call.changed]
        return add(unwrap(desk.said), desk.now, free=True) or wish if added else wish
    if isinstance(wish, Show | Fragment) and wish.span and _ITS_DUE.match(desk.said) and len(desk.spoken_of()) == 1:
        return Change(Ref(pronoun="it"), day=wish.span.first, at=wish.at if isinstance(wish, Fragment) else None)
    if not isinstance(wish, Fragment):
        return wish
    if wish.span is not None and wish.asking:
        return Show(status="pending", span=wish.span)
    if wish.span is not None and not wish.at and not desk.spoken_of():
        return Show(status="pending", span=wish.span)
    if last is None or not desk.spoken_of():
        return wish
    listing = last.shown and not last.changed
    if listing and len(last.shown) > 1 and wish.day and not wish.at:
        return Show(status="pending", span=wish.span or Span(wish.day, wish.day))
    at = wish.at or (_hour_kept(last, desk) if wish.day else None)
    return Change(Ref(pronoun="it"), day=wish.day, at=at, priority=wish.priority)


def _hour_kept(last: Turn, desk: DialogState) -> time | None:
    """Return the hour that was given with a day that does not exist: it is of the day given instead."""
    drafts = [draft for wish in _understood(last, desk) if isinstance(wish, Add) for draft in wish.drafts]
    return drafts[0].at if len(drafts) == 1 and drafts[0].doubt and drafts[0].day is None else None
