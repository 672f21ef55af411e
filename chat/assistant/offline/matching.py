"""Match a phrase with task titles by the stems of the words."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from chat.assistant.offline.budget import cached, checkpoint
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.tasks import Task
from chat.assistant.offline.vocabulary import SHORTHAND, pairs, words
from chat.assistant.offline.words import edit_distance

_STOP_WORDS = words(
    """
    a an the my our your to of for on in at with and from up off some that this it its is was are be task tasks item
    reminder todo one ones about called named titled regarding please entry thing stuff i me them those
    """
)
PAST_TENSE = pairs(
    """
    bought=buy paid=pay sent=send wrote=write written=write made=make got=get gotten=get took=take taken=take did=do
    done=do went=go gone=go read=read fed=feed met=meet found=find built=build swept=sweep spoke=speak saw=see
    seen=see sold=sell told=tell brought=bring put=put cut=cut set=set ran=run rang=ring gave=give given=give
    left=leave lent=lend drew=draw drove=drive ate=eat chose=choose hung=hang kept=keep led=lead held=hold
    spent=spend taught=teach threw=throw thrown=throw woke=wake won=win shot=shoot sewed=sew learnt=learn dug=dig
    caught=catch rode=ride signed=sign planned=plan submitted=submit booked=book
    """
) | {"made up": "make"}
_NORMAL_FORMS = pairs(
    """
    phone=call speak=call talk=call ring=call grab=get purchase=buy hoover=vacuum trash=rubbish garbage=rubbish
    mend=fix repair=fix reserve=book fridge=refrigerator kids=child children=child mobile=cell xmas=christmas
    application=app fotos=photo pics=photo pictures=photo mum=mom mail=email e-mail=email groceries=grocery
    mother=mom father=dad appt=appointment doc=doctor docs=document bday=birthday tv=television photos=photo
    pickup=pick dr=doctor
    """
)
# Pairs of synonyms, which are not transitive: "got" may mean bought or picked up, but "bought" does not mean picked up.
_SYNONYMS = frozenset(
    frozenset(pair.split("="))
    for pair in words(
        """
        bike=bicycl get=buy get=pick get=collect get=fetch get=order pick=collect pick=fetch send=email send=post
        send=mail post=email clean=tidi clean=wash clean=scrub clean=vacuum draft=writ text=messag finish=complet
        finish=end do=mak wash=do throw=tak visit=see contact=call contact=email hand=submit return=bring plan=organis
        plan=organiz plan=arrang
        """
    )
)
_HAS_SYNONYM = frozenset(word for pair in _SYNONYMS for word in pair)
# "Bought the bread" completes the task "Bread".
_FETCH_VERBS = frozenset(
    {"buy", "get", "do", "mak", "make", "pay", "pai", "finish", "sort", "handl", "pick", "fetch", "order", "attend"}
)
_LIGHT_VERBS = frozenset({"go", "do", "attend", "have", "hav", "had", "be", "been", "through"})
# "I called the plumber about the sink" is the task "Call the plumber"; "I bought milk chocolate" is not "Buy milk".
_ASIDE = pattern(
    r"\s+(?:about|at|from|in|with|by|after|before|during|on|for|to|via|this|last|yesterday|today|online|myself"
    r"|again|early|finally|together|already|now|too|earlier|quickly)\b"
)
_JOINED = pattern(r"\s*,\s*|\s+(?:and|&|plus)\s+")


@dataclass(frozen=True)
class Match:
    """The tasks that a phrase clearly means, or else the similar ones."""

    sure: tuple[Task, ...] = ()
    near: tuple[Task, ...] = ()


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """Reduce a word to its stem: "buying", "bought" and "buys" are all "buy"."""
    word = word.lower().removesuffix("'s").strip("'")
    word = PAST_TENSE.get(word, word)
    word = _NORMAL_FORMS.get(word, word)
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if len(word) > len(ending) + 2 and word.endswith(ending):
            word = word.removesuffix(ending)
            if len(word) > 2 and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    if len(word) > 3 and word.endswith("y"):
        word = word[:-1] + "i"
    return _NORMAL_FORMS.get(word, _NORMAL_FORMS.get(f"{word}e", word))


@cached
def key_words(text: str) -> tuple[str, ...]:
    """Return the stems of the words that carry meaning."""
    found = [SHORTHAND.get(word, word) for word in re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower())]
    kept = [word for word in found if word not in _STOP_WORDS] or found
    return tuple(stem(word) for word in kept)


def same_words(one: str, other: str) -> bool:
    """Return whether two texts have the same key words."""
    return set(key_words(one)) == set(key_words(other))


def names_only_part(phrase: str, title: str) -> bool:
    """Return whether a phrase names only one of the things in a title: the eggs of "Buy milk and eggs"."""
    wanted = key_words(phrase)
    verb, *_ = key_words(title) or [""]
    parts = [[word for word in key_words(part) if word != verb] for part in _JOINED.split(title)]
    named = [any(similar(word, other) for word in part for other in wanted) for part in parts if part]
    return len(named) > 1 and any(named) and not all(named)


def match_tasks(phrase: str, tasks: Iterable[Task], *, literal: bool = False) -> Match:
    """Find the tasks that a phrase means: by exact title, else by all words of the phrase, else by all words of the
    title.

    With `literal`, the last of these is not enough.
    """
    wanted = key_words(phrase)
    if not wanted:
        return Match()
    levels: dict[int, list[Task]] = {}
    whole = phrase.strip().lower()
    found = _SimilarWords(wanted)
    for task in tasks:
        level = 0 if task.title.strip().lower() == whole else _match_level(found, key_words(task.title), phrase)
        if level == 3 and literal:
            level = 9
        if level is not None:
            levels.setdefault(level, []).append(task)
    possible = tuple(levels.pop(9, ()))
    if not levels:
        return Match(near=possible)
    best = min(levels)
    # "I bought milk" may mean "Buy oat milk" as well as "Buy milk"; only an exact title is certain.
    return Match(sure=tuple(levels[1] + levels.get(2, []) if best == 1 else levels[best]))


def find_mentioned(text: str, tasks: Sequence[Task]) -> tuple[Task, ...]:
    """Return the tasks that match a text, or else those whose titles have only words of the text."""
    text = pattern(r"^(?:(?:and|so|but|ok)\s+)*(?:what|how) about\s+").sub("", text.strip(" ?!."))
    key = key_words(text)

    def whole(task: Task) -> bool:
        checkpoint()
        words = [word for word in key_words(task.title) if word not in _LIGHT_VERBS]
        return bool(words) and all(any(similar(word, other) for other in key) for word in words)

    return match_tasks(text, tasks).sure or tuple(task for task in tasks if whole(task))


class _SimilarWords(dict[str, frozenset[str]]):
    """For each word of a title, the similar words of a phrase. Many titles share words."""

    def __init__(self, wanted: Sequence[str]) -> None:
        super().__init__()
        self.wanted = wanted

    def __missing__(self, word: str) -> frozenset[str]:
        checkpoint()
        self[word] = frozenset(other for other in self.wanted if similar(other, word))
        return self[word]


def _match_level(found: _SimilarWords, title: Sequence[str], phrase: str) -> int | None:
    """Return how well a title matches: 0 is exact, 9 is only similar, None is no match."""
    if not any(found[word] for word in title):
        return None
    wanted = [word for word in found.wanted if word not in _LIGHT_VERBS or word in title] or found.wanted
    matches = [found[word].intersection(wanted) for word in title]
    matched = frozenset[str]().union(*matches)
    wanted_found = sum(word in matched for word in wanted)
    title_found = sum(map(bool, matches))
    if not wanted_found or not title_found:
        return None
    if wanted_found == len(wanted):
        return 1 if title_found == len(title) else 2
    if title_found == len(title):
        core = key_words(_ASIDE.split(phrase, maxsplit=1)[0]) if _ASIDE.search(phrase) else ()
        if core and _has_all(title, core):
            return 3
        if wanted[0] in _FETCH_VERBS and _has_all(title, wanted[1:]) and title[0] not in _FETCH_VERBS:
            return 3
    return 9 if 2 * wanted_found >= len(wanted) or 2 * title_found >= len(title) else None


def _has_all(title: Sequence[str], words: Sequence[str]) -> bool:
    return bool(words) and all(any(similar(word, other) for other in title) for word in words)


def similar(one: str, other: str) -> bool:
    """Return whether two stems are the same word, apart from a typo."""
    if one == other or (one in _HAS_SYNONYM and frozenset((one, other)) in _SYNONYMS):
        return True
    shorter = min(len(one), len(other))
    if shorter < 4 or one[0] != other[0] or abs(len(one) - len(other)) > 2:
        return False
    return _is_typo(one, other, shorter)


@cached
def _is_typo(one: str, other: str, shorter: int) -> bool:
    slips = edit_distance(one, other)
    if slips == 1:
        return shorter >= 5 or sorted(one) == sorted(other)
    return slips == 2 and (shorter >= 7 or (shorter >= 6 and sorted(one) == sorted(other)))
