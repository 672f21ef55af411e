"""The regular expressions of a module: find them, list their words, and detect exponential backtracking.

A backtracking matcher takes exponential time where a pattern can read the same text in several ways inside a loop
("exponential ambiguity"): then two different paths through its automaton lead from one state back to it over the same
text. This depends on the pattern alone, so it is computed here instead of measured.
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

# Characters that represent all others; a set of them is an integer with one bit per character.
ALPHABET = string.ascii_lowercase + string.digits + " \n,.;:!?-'\"/()[]{}#%&+*=<>_@$|~^\\" + "\ue100é🎉"
ALL = (1 << len(ALPHABET)) - 1
UNBOUNDED = 100  # a repeat with at least this maximum counts as a loop


def patterns_in(module: ModuleType) -> list[re.Pattern[str]]:
    """Return the compiled patterns of a module, and those that its functions pass to `re` uncompiled."""
    found: dict[tuple[str, int], re.Pattern[str]] = {}
    for pattern in (*_compiled(vars(module)), *_uncompiled(module)):
        found.setdefault((pattern.pattern, pattern.flags), pattern)
    return list(found.values())


def _compiled(value: object) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _compiled(one)
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _compiled(one)
    elif is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from _compiled(getattr(value, each.name))


def _uncompiled(module: ModuleType) -> Iterator[re.Pattern[str]]:
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "re"):
            continue
        flags = [keyword.value for keyword in node.keywords if keyword.arg == "flags"]
        try:
            text, given = (_value(part, module) for part in (node.args[0], flags[0] if flags else node.args[-1]))
        except NameError:
            continue  # built from values that exist only at the call
        if isinstance(text, str):
            yield re.compile(text, given if isinstance(given, re.RegexFlag) else 0)


def _value(expression: ast.expr, module: ModuleType) -> object:
    return eval(compile(ast.Expression(expression), "<pattern>", "eval"), dict(vars(module)))  # noqa: S307


def words_in(pattern: re.Pattern[str]) -> set[str]:
    """Return the literal words and phrases of a pattern."""
    found: set[str] = set()

    def collect(nodes: Any) -> None:
        word = ""
        for kind, value in [*nodes, (op.FAILURE, None)]:
            if kind is op.LITERAL:
                word += chr(value)
                continue
            found.add(word.strip())
            word = ""
            for inner in _child_sequences(kind, value):
                collect(inner)

    collect(parser.parse(pattern.pattern, pattern.flags))
    return found - {""}


def _child_sequences(kind: Any, value: Any) -> list[Any]:
    """Return the children of a node that are sequences of nodes."""
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
    """A part of a pattern: whether it can be empty, and its first and last positions, with the ways to each."""

    empty: bool = True
    first: dict[int, int] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)


class Automaton:
    """Glushkov's automaton of a pattern, with the number of ways between positions. Assertions count as true."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.sets: list[int] = []
        self.follow: list[dict[int, int]] = []
        self._sequence(parser.parse(pattern.pattern, pattern.flags))

    def explodes(self) -> str:
        """Return a text whose repetition makes the pattern backtrack exponentially, or ""."""
        for loop in _components(range(len(self.sets)), lambda position: self.follow[position]):
            found = self._ambiguous(set(loop))
            if found:
                return found
        return ""

    def _ambiguous(self, loop: set[int]) -> str:
        for one in loop:
            for other, ways in self.follow[one].items():
                if ways > 1 and other in loop:
                    return self._example_letter(other)
        successors = {one: [other for other in self.follow[one] if other in loop] for one in loop}

        def pair_successors(pair: tuple[int, int]) -> list[tuple[int, int]]:
            return [(a, b) for a in successors[pair[0]] for b in successors[pair[1]] if self.sets[a] & self.sets[b]]

        for component in _components([(one, one) for one in loop], pair_successors):
            distinct = [pair for pair in component if pair[0] != pair[1]]
            if distinct and len(distinct) < len(component):
                return "".join(self._example_letter(one) for one, _ in component)
        return ""

    def _example_letter(self, position: int) -> str:
        charset = self.sets[position]
        return ALPHABET[(charset & -charset).bit_length() - 1] if charset else ""

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
            return self._add_position(_charset_of(kind, value))
        if kind is op.BRANCH:
            return _alternatives([self._sequence(branch) for branch in value[1]])
        if kind is op.SUBPATTERN:
            return self._sequence(value[3])
        if kind is op.ATOMIC_GROUP:
            return self._sequence(value)
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            return self._repeat(kind, *value)
        for inner in _child_sequences(kind, value):  # an assertion, whose content can backtrack by itself
            self._sequence(inner)
        return Part()

    def _add_position(self, charset: int) -> Part:
        self.sets.append(charset)
        self.follow.append({})
        return Part(False, {len(self.sets) - 1: 1}, {len(self.sets) - 1: 1})

    def _repeat(self, kind: Any, least: int, most: Any, nodes: Any) -> Part:
        if int(most) >= UNBOUNDED:
            part = self._sequence(nodes)
            if kind is not op.POSSESSIVE_REPEAT:  # a possessive repeat never backtracks
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
    for position, ways in more.items():
        to[position] = to.get(position, 0) + ways


def _sum(one: dict[int, int], other: dict[int, int]) -> dict[int, int]:
    total = {**one}
    _add(total, other)
    return total


def _alternatives(parts: list[Part]) -> Part:
    whole = Part(empty=any(part.empty for part in parts))
    for part in parts:
        _add(whole.first, part.first)
        _add(whole.last, part.last)
    return whole


def _charset_of(kind: Any, value: Any) -> int:
    if kind is op.ANY:
        return ALL
    if kind is op.NOT_LITERAL:
        return ALL & ~_letters_where(lambda letter: letter == chr(value).lower())
    if kind is op.LITERAL:
        return _letters_where(lambda letter: letter == chr(value).lower())
    charset, negated = 0, False
    for inner, given in value:
        if inner is op.NEGATE:
            negated = True
        elif inner is op.CATEGORY:
            charset |= _category(str(given))
        elif inner is op.RANGE:
            charset |= _letters_where(
                lambda letter, ends=given: any(ends[0] <= ord(c[0]) <= ends[1] for c in (letter, letter.upper()))
            )
        else:
            charset |= _charset_of(inner, given)
    return ALL & ~charset if negated else charset


def _category(name: str) -> int:
    kinds: dict[str, Callable[[str], bool]] = {
        "SPACE": str.isspace,
        "WORD": lambda letter: letter.isalnum() or letter == "_",
        "DIGIT": str.isdigit,
    }
    charset = _letters_where(kinds[name.rpartition("_")[2]])
    return ALL & ~charset if "_NOT_" in name else charset


def _letters_where(test: Callable[..., bool]) -> int:
    return sum(1 << position for position, letter in enumerate(ALPHABET) if test(letter))


def _components(roots: Iterable[T], successors: Callable[[T], Iterable[T]]) -> Iterator[list[T]]:
    """Yield the strongly connected components (Tarjan's algorithm, without recursion)."""
    position: dict[T, int] = {}
    low: dict[T, int] = {}
    stack: list[T] = []
    closed: set[T] = set()
    for root in roots:
        path = [(root, iter(successors(root)))] if root not in position else []
        while path:
            current, rest = path[-1]
            if current not in position:
                position[current] = low[current] = len(position)
                stack.append(current)
            successor = next(rest, None)
            if successor is None:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[current])
                if low[current] == position[current]:
                    at = stack.index(current)
                    yield stack[at:]
                    closed.update(stack[at:])
                    del stack[at:]
            elif successor not in position:
                path.append((successor, iter(successors(successor))))
            elif successor not in closed:
                low[current] = min(low[current], position[successor])
