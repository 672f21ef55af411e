"""The regular expressions of a module: which they are, what words they know, and whether one can explode.

A backtracking matcher takes exponential time where a pattern can read the same text in several ways inside a loop
("exponential ambiguity"): then two different paths through its automaton lead from one state back to it over the same
text. That is a property of the pattern alone, so it is decided here and not measured.
"""

import ast
import inspect
import re
import string
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from re import _constants as op
from re import _parser as parser
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")

# Characters that stand for all: a set of them is a number with a bit for each.
ALPHABET = string.ascii_lowercase + string.digits + " \n,.;:!?-'\"/()[]{}#%&+*=<>_@$|~^\\" + "\ue100é🎉"
ALL = (1 << len(ALPHABET)) - 1
UNBOUNDED = 100  # a repeat of so many or more is a loop


def patterns_in(module: ModuleType) -> list[re.Pattern[str]]:
    """Return the patterns that a module compiles, and those that its functions match without compiling them first."""
    found: dict[tuple[str, int], re.Pattern[str]] = {}
    for pattern in (*_held(vars(module)), *_inline(module)):
        found.setdefault((pattern.pattern, pattern.flags), pattern)
    return list(found.values())


def _held(value: object) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _held(one)
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _held(one)
    elif is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from _held(getattr(value, each.name))


def _inline(module: ModuleType) -> Iterator[re.Pattern[str]]:
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "re"):
            continue
        flags = [word.value for word in node.keywords if word.arg == "flags"]
        try:
            text, given = (_value(part, module) for part in (node.args[0], flags[0] if flags else node.args[-1]))
        except NameError:
            continue  # made of what is known only at the call
        if isinstance(text, str):
            yield re.compile(text, given if isinstance(given, re.RegexFlag) else 0)


def _value(expression: ast.expr, module: ModuleType) -> object:
    return eval(compile(ast.Expression(expression), "<pattern>", "eval"), dict(vars(module)))  # noqa: S307


def words_in(pattern: re.Pattern[str]) -> set[str]:
    """Return the words and phrases that stand in a pattern."""
    found: set[str] = set()

    def collect(nodes: Any) -> None:
        word = ""
        for kind, value in [*nodes, (op.FAILURE, None)]:
            if kind is op.LITERAL:
                word += chr(value)
                continue
            found.add(word.strip())
            word = ""
            for inner in _inside(kind, value):
                collect(inner)

    collect(parser.parse(pattern.pattern, pattern.flags))
    return found - {""}


def _inside(kind: Any, value: Any) -> list[Any]:
    """Return the parts of a node that are sequences of nodes."""
    if kind is op.BRANCH:
        return list(value[1])
    if kind is op.SUBPATTERN:
        return [value[3]]
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        return [value[2]]
    if kind is op.ATOMIC_GROUP:
        return [value]
    if kind in (op.ASSERT, op.ASSERT_NOT):
        return [value[1]]
    return []


@dataclass
class Part:
    """A part of a pattern: whether it may be empty, and where it begins and ends, in how many ways each."""

    empty: bool = True
    first: dict[int, int] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)


class Automaton:
    """What may follow what in a pattern (Glushkov's automaton), counting the ways. Assertions are taken to hold."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.sets: list[int] = []
        self.follow: list[dict[int, int]] = []
        self._sequence(parser.parse(pattern.pattern, pattern.flags))

    def explodes(self) -> str:
        """Return the text on which the pattern can explode; "" if there is none."""
        for loop in _components(range(len(self.sets)), lambda place: self.follow[place]):
            found = self._ambiguous(set(loop))
            if found:
                return found
        return ""

    def _ambiguous(self, loop: set[int]) -> str:
        for one in loop:
            for other, ways in self.follow[one].items():
                if ways > 1 and other in loop:
                    return self._letter(other)
        following = {one: [other for other in self.follow[one] if other in loop] for one in loop}

        def both(pair: tuple[int, int]) -> list[tuple[int, int]]:
            return [(a, b) for a in following[pair[0]] for b in following[pair[1]] if self.sets[a] & self.sets[b]]

        for component in _components([(one, one) for one in loop], both):
            apart = [pair for pair in component if pair[0] != pair[1]]
            if apart and len(apart) < len(component):
                return "".join(self._letter(one) for one, _ in component)
        return ""

    def _letter(self, place: int) -> str:
        held = self.sets[place]
        return ALPHABET[(held & -held).bit_length() - 1] if held else ""

    def _sequence(self, nodes: Any) -> Part:
        whole = Part()
        for kind, value in nodes:
            part = self._node(kind, value)
            self._link(whole.last, part.first)
            if whole.empty:
                _add(whole.first, part.first)
            whole.last = {**part.last} if not part.empty else _sum(whole.last, part.last)
            whole.empty = whole.empty and part.empty
        return whole

    def _node(self, kind: Any, value: Any) -> Part:
        if kind in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN):
            return self._place(_set(kind, value))
        if kind is op.BRANCH:
            return _either([self._sequence(branch) for branch in value[1]])
        if kind is op.SUBPATTERN:
            return self._sequence(value[3])
        if kind is op.ATOMIC_GROUP:
            return self._sequence(value)
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            return self._repeat(kind, *value)
        for inner in _inside(kind, value):  # an assertion, which can explode by itself
            self._sequence(inner)
        return Part()

    def _place(self, held: int) -> Part:
        self.sets.append(held)
        self.follow.append({})
        return Part(False, {len(self.sets) - 1: 1}, {len(self.sets) - 1: 1})

    def _repeat(self, kind: Any, least: int, most: Any, nodes: Any) -> Part:
        if int(most) >= UNBOUNDED:
            part = self._sequence(nodes)
            if kind is not op.POSSESSIVE_REPEAT:  # that one is never gone through another way
                self._link(part.last, part.first)
            return Part(part.empty or least == 0, part.first, part.last)
        whole, before = Part(), dict[int, int]()
        for count in range(1, int(most) + 1):  # x{1,3} is x (x (x)?)?
            part = self._sequence(nodes)
            self._link(before, part.first)
            if whole.empty:
                _add(whole.first, part.first)
            before = _sum(before, part.last) if part.empty else part.last
            if count >= least:
                _add(whole.last, part.last)
            whole.empty = whole.empty and part.empty
        return Part(whole.empty or least == 0, whole.first, whole.last)

    def _link(self, ends: dict[int, int], begins: dict[int, int]) -> None:
        for one, ways in ends.items():
            for other, more in begins.items():
                self.follow[one][other] = self.follow[one].get(other, 0) + ways * more


def _add(to: dict[int, int], more: dict[int, int]) -> None:
    for place, ways in more.items():
        to[place] = to.get(place, 0) + ways


def _sum(one: dict[int, int], other: dict[int, int]) -> dict[int, int]:
    both = {**one}
    _add(both, other)
    return both


def _either(parts: list[Part]) -> Part:
    whole = Part(empty=any(part.empty for part in parts))
    for part in parts:
        _add(whole.first, part.first)
        _add(whole.last, part.last)
    return whole


def _set(kind: Any, value: Any) -> int:
    if kind is op.ANY:
        return ALL
    if kind is op.NOT_LITERAL:
        return ALL & ~_of(lambda letter: letter == chr(value).lower())
    if kind is op.LITERAL:
        return _of(lambda letter: letter == chr(value).lower())
    held, negated = 0, False
    for inner, given in value:
        if inner is op.NEGATE:
            negated = True
        elif inner is op.CATEGORY:
            held |= _category(str(given))
        elif inner is op.RANGE:
            held |= _of(
                lambda letter, ends=given: any(ends[0] <= ord(c[0]) <= ends[1] for c in (letter, letter.upper()))
            )
        else:
            held |= _set(inner, given)
    return ALL & ~held if negated else held


def _category(name: str) -> int:
    kinds: dict[str, Callable[[str], bool]] = {
        "SPACE": str.isspace,
        "WORD": lambda letter: letter.isalnum() or letter == "_",
        "DIGIT": str.isdigit,
    }
    held = _of(kinds[name.rpartition("_")[2]])
    return ALL & ~held if "_NOT_" in name else held


def _of(test: Callable[..., bool]) -> int:
    return sum(1 << place for place, letter in enumerate(ALPHABET) if test(letter))


def _components(roots: Iterable[T], following: Callable[[T], Iterable[T]]) -> Iterator[list[T]]:
    """Yield the parts in which each leads to each (Tarjan's algorithm, without recursion)."""
    place: dict[T, int] = {}
    low: dict[T, int] = {}
    open_ones: list[T] = []
    closed: set[T] = set()
    for root in roots:
        way = [(root, iter(following(root)))] if root not in place else []
        while way:
            here, rest = way[-1]
            if here not in place:
                place[here] = low[here] = len(place)
                open_ones.append(here)
            onward = next(rest, None)
            if onward is None:
                way.pop()
                if way:
                    low[way[-1][0]] = min(low[way[-1][0]], low[here])
                if low[here] == place[here]:
                    at = open_ones.index(here)
                    yield open_ones[at:]
                    closed.update(open_ones[at:])
                    del open_ones[at:]
            elif onward not in place:
                way.append((onward, iter(following(onward))))
            elif onward not in closed:
                low[here] = min(low[here], place[onward])
