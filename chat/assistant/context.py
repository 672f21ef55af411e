"""What a run of the agent is given besides the conversation."""

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Effect:
    """What a tool did: its output for the model, what it changed as it was before, and the change as it is stored."""

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


# Carries out a call's effect exactly once and returns its output as JSON text.
Act = Callable[[Call, Callable[[], Effect]], Awaitable[str]]
# Carries out what takes its time, at most once, and returns its output.
ActApart = Callable[[Call, Callable[[], Awaitable[str]]], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnContext:
    """The user the agent acts for, and how its tools act. The model neither sees nor changes it."""

    user_id: uuid.UUID
    conversation_id: uuid.UUID
    seq: int  # the turn's place in the conversation
    now: datetime  # when the turn was accepted, in the person's zone
    week_start: int  # the person's, as ISO numbers weekdays
    beginning_forgotten: bool  # the start of the conversation was pruned from memory
    act: Act
    act_apart: ActApart
    # Characters of JSON that an output for the model may have; None: as many as there are.
    output_limit: int | None = None
    # Calls about which the person was asked before: they wait no more.
    settled: frozenset[str] = frozenset()
    # Outputs of the calls that are not run as they are, by the calls' ids.
    refused: Mapping[str, str] = field(default_factory=dict)
    # What earlier versions of the turn did and stays done.
    kept: Sequence[KeptCall] = ()
    # How tasks were changed outside of the conversation since its last turn, a line a task.
    changed_outside: Sequence[str] = ()

    def needs_no_approval(self, call_id: str) -> bool:
        """Return whether a call needs no decision: there is one, or the call is not run."""
        return call_id in self.settled or call_id in self.refused
