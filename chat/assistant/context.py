"""The context of a run of the agent."""

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of a tool: its output for the model, the earlier state of what it changed, and the stored change."""

    output: dict[str, Any]
    before: dict[str, Any] | None = None
    change_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call as the model made it; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class KeptCall:
    """A call of an earlier version of the turn; `arguments` and `output` are JSON texts."""

    name: str
    arguments: str
    output: str


# Runs a call's effect exactly once and returns its output as JSON text.
Act = Callable[[Call, Callable[[], Effect]], Awaitable[str]]
# Runs a tool that acts outside a transaction, at most once, and returns its output.
ActApart = Callable[[Call, Callable[[], Awaitable[str]]], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnContext:
    """The user the agent acts for, and how its tools act. The model neither sees nor changes it."""

    user_id: uuid.UUID
    conversation_id: uuid.UUID
    seq: int  # the turn's place in the conversation
    now: datetime  # when the turn was accepted, in the user's time zone
    week_start: int  # the user's first weekday, as an ISO number
    beginning_forgotten: bool  # the start of the conversation was pruned from memory
    act: Act
    act_apart: ActApart
    # Maximum length of an output as JSON, in characters; None for no limit.
    output_limit: int | None = None
    # Calls that the user was already asked about.
    settled: frozenset[str] = frozenset()
    # Outputs of invalid calls, which are not run, by call id.
    refused: Mapping[str, str] = field(default_factory=dict)
    # Effects of earlier versions of the turn, which stay.
    kept: Sequence[KeptCall] = ()
    # Changes of tasks outside the conversation since its last turn, one line each.
    changed_outside: Sequence[str] = ()

    def needs_no_approval(self, call_id: str) -> bool:
        """Return whether a call needs no decision: it has one, or is not run."""
        return call_id in self.settled or call_id in self.refused
