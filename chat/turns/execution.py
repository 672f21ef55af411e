"""Execute one turn: run the agent over the session and the journal, and return the outcome."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast

import agents
from agents.tool_context import ToolContext
from django.conf import settings
from django.db import DatabaseError

from chat.assistant import outputs
from chat.assistant.agent import build_agent
from chat.assistant.configured import is_offline
from chat.assistant.context import Call, Effect, TurnContext
from chat.assistant.endpoints.context_window import Window
from chat.assistant.endpoints.providers import primary
from chat.assistant.endpoints.validation.model import NO_ANSWER
from chat.assistant.guardrail import build_guardrail
from chat.assistant.relevance import REFUSAL
from chat.exceptions import MemoryUnavailable, ModelFailed, TurnLost
from chat.infra import notifications
from chat.infra.db_threads import finish_despite_cancel, in_database
from chat.infra.log_context import bind
from chat.memory.items import Item
from chat.memory.session import AgentSessionMemory
from chat.memory.store import SessionStore
from chat.models import Turn
from chat.models.task import LOOKS
from chat.models.turn import Status
from chat.read_models import WARNINGS
from chat.turns import events
from chat.turns import journal as journals
from chat.turns.finish import TurnOutcome
from chat.turns.journal import Journal
from chat.turns.lease import DEADLY, lease_of
from chat.turns.log import TurnLog
from chat.turns.replay import ReplayModel
from chat.turns.spans import traced
from chat.turns.turn_input import TurnInput, read_turn_input

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

# Model responses in one turn: enough for many requests at once, and an end to a model that repeats itself.
MAX_STEPS = 24

BROKEN = ("internal", "Something went wrong while answering.")


class TurnExecution:
    """One attempt at a turn in this process."""

    def __init__(
        self, turn: Turn, *, model: agents.Model, store: SessionStore, log: TurnLog, turn_input: TurnInput | None = None
    ) -> None:
        self.turn = turn
        self.log = log
        self._model = model
        self._store = store
        self._acting: set[asyncio.Future[Any]] = set()
        self._apart: set[asyncio.Future[str]] = set()
        self._input = turn_input
        self._memory: AgentSessionMemory | None = None
        self._result: agents.RunResultStreaming | None = None
        self._invalid: Mapping[str, str] = {}  # outputs of calls that are not run, by the calls' ids
        self._warnings: set[events.WarningCode] = set()
        self._pruned: int | None = None  # older items that the session is without, if the metadata lacks it

    async def run(self) -> TurnOutcome:
        """Run the agent to its end, or until it asks for a decision.

        Raise TurnLost, or CancelledError if the turn was stopped.
        """
        bind(turn_id=self.turn.pk, conversation_id=self.turn.conversation_id)
        turn_input = self._input
        if turn_input is None:
            turn_input = self._input = await in_database(read_turn_input, self.turn)
        if not turn_input.allowed:
            return await self._failed("forbidden", "This account has been closed.")
        if self.turn.cut_off >= DEADLY:
            return await self._failed("cut_off", "This was interrupted three times while it was being answered.")
        self._log_start(turn_input.journal)
        memory = await self._open_memory(turn_input)
        window = Window(turn_input.sent, partial(self._warn, "context_shortened"))
        model = ReplayModel(self._model, turn_input.journal, self.log, window)
        self._invalid = model.refused
        guarded = settings.AGENT_GUARDRAIL and not turn_input.journal.steps
        guardrail = build_guardrail(None if is_offline() else primary(self._model)) if guarded else None
        try:
            self._result = agents.Runner.run_streamed(
                build_agent(model, guardrail),
                turn_input.prompt,
                context=self._context(turn_input, model.refused),
                max_turns=MAX_STEPS,
                hooks=_Journaling(self, model),
                session=memory,
                error_handlers={"model_refusal": _keep_refusal},
                run_config=RUN_CONFIG,
            )
            async for _ in self._result.stream_events():
                pass  # the events of interest are logged where they arise
        except agents.InputGuardrailTripwireTriggered:
            return await self._refused()
        except agents.MaxTurnsExceeded:
            return await self._failed("too_many_steps", "That took too many steps; please ask for less at once.")
        except ModelFailed as failure:
            return await self._failed(failure.code, failure.detail)
        except agents.AgentsException as error:
            _raise_cause(error)  # the SDK wraps what a tool raises
            # Its text may quote what the model returned, which logs must not hold.
            logger.warning("Turn %s failed: %s", self.turn.pk, type(error).__name__)
            await in_database(journals.void_step, turn_input.lease, n=model.step)
            return await self._failed("model_error", "The assistant's answer could not be used.")
        if approval_requests := self._approval_requests():
            return await self._waiting(approval_requests)
        if not self.log.text.strip():
            return await self._failed("model_error", NO_ANSWER)
        return await self._build_outcome(Status.DONE, cast(Sequence[Item], memory.given))

    async def crashed(self) -> TurnOutcome:
        """Return the outcome after an unexpected error."""
        return await self._failed(*BROKEN)

    def unstorable(self) -> TurnOutcome:
        """Return the outcome if the turn's result cannot be stored."""
        code, detail = BROKEN
        return TurnOutcome(status=Status.FAILED, text="", items=[], error_code=code, error_detail=detail)

    async def stopped(self) -> TurnOutcome:
        """Return the outcome of a stopped turn: the text that was shown stays, and the session gets it too.

        One that had not begun is not remembered, like one that is stopped in the queue.
        """
        if self._memory is None and self.turn.attempt == 1 and self.turn.replaces_id is None:
            return TurnOutcome(status=Status.STOPPED, text="", items=[])
        return await self._cut_short(Status.STOPPED, partial=True)

    async def finish_tasks(self) -> None:
        """Cancel what can be cancelled, and wait for the rest of the run."""
        for task in self._apart:
            task.cancel()
        if self._result is not None:
            self._result.cancel()
            if self._result.run_loop_task is not None:
                await asyncio.wait({self._result.run_loop_task})
        while under_way := self._acting | self._apart:
            await asyncio.wait(under_way)

    # -- the run

    async def _open_memory(self, turn_input: TurnInput) -> AgentSessionMemory:
        session = turn_input.session
        memory = self._memory = AgentSessionMemory(
            session.session_id,
            self._store,
            fence=session.fence,
            on_unavailable=partial(self._warn, "context_unavailable"),
        )
        opened = await memory.open(session)
        if opened is not None and opened.pruned is None and len(opened.items) < turn_input.item_count:
            # A process died after it pruned and before it stored that.
            self._pruned = turn_input.pruned + turn_input.item_count - len(opened.items)
        elif opened is not None and opened.pruned is not None:
            self._pruned = opened.pruned
            if opened.was_lost:
                self._warn("context_rebuilt")
        return memory

    def _context(self, turn_input: TurnInput, refused: Mapping[str, str]) -> TurnContext:
        pruned = turn_input.pruned if self._pruned is None else self._pruned
        return TurnContext(
            user_id=self.turn.user_id,
            conversation_id=self.turn.conversation_id,
            seq=self.turn.seq,
            now=turn_input.now,
            week_start=turn_input.week_start,
            output_limit=None if is_offline() else outputs.LIMIT,
            beginning_forgotten=pruned > 0,
            act=traced(self._act, turn_input.journal),
            act_apart=traced(self._act_apart, turn_input.journal),
            settled=turn_input.journal.settled,
            refused=refused,
            kept=turn_input.kept,
            changed_outside=turn_input.changed_outside,
        )

    async def _act(self, call: Call, effect: Callable[[], Effect]) -> str:
        if (refusal := self._invalid.get(call.id)) is not None:
            effect = partial(Effect, json.loads(refusal))
        output = await self._journaled(journals.perform, self._read_input().lease, call, effect)
        await self._log_output(call, output)
        return output

    async def _act_apart(self, call: Call, body: Callable[[], Awaitable[str]]) -> str:
        lease = self._read_input().lease
        output = await self._journaled(journals.begin, lease, call)
        if output is None:
            refusal = self._invalid.get(call.id)
            task = asyncio.ensure_future(body() if refusal is None else _answer(refusal))
            self._apart.add(task)
            task.add_done_callback(partial(self._log_if_cancelled, call))
            output = await self._journaled(journals.complete, lease, call, await task)
        await self._log_output(call, output)
        return output

    def _log_if_cancelled(self, call: Call, task: asyncio.Future[str]) -> None:
        self._apart.discard(task)
        if task.cancelled():
            self.log.append(events.ToolFinished(call.id, error=journals.CUT_OFF))

    async def _journaled(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        acting = asyncio.ensure_future(in_database(write, *args, **kwargs))
        self._acting.add(acting)
        acting.add_done_callback(self._acting.discard)
        return await finish_despite_cancel(acting)

    async def _log_output(self, call: Call, output: str) -> None:
        if not self.was_done(call.id):
            self.log.append(events.ToolFinished(call.id, output))
            if call.name not in LOOKS:
                await notifications.tasks_changed(self.turn.user_id, [self.turn.conversation_id])

    def was_done(self, call_id: str) -> bool:
        """Return whether a call was answered before this attempt."""
        return call_id in self._read_input().journal.done

    def _approval_requests(self) -> list[events.ApprovalRequested]:
        """Return the calls that need the user's decision before the turn continues."""
        return [
            events.ApprovalRequested(
                call.call_id or "", call.name or "", journals.parse_arguments(call.arguments or "")
            )
            for call in (self._result.interruptions if self._result else ())
        ]

    def _log_start(self, journal: Journal) -> None:
        if self.turn.attempt == 1:
            self.log.append(events.TurnStarted())
        if self.turn.attempt > 1 or journal.steps:
            # The text is saved every half second, so that it may be longer or shorter than the journal's.
            text = journal.text + self.turn.text[len(journal.text) :]
            reasoning = journal.reasoning or None
            self.log.append(events.TurnResumed(text, journal.tools, len(journal.text), reasoning))

    def _warn(self, code: events.WarningCode) -> None:
        if code not in self._warnings:
            self._warnings.add(code)
            self.log.append(events.Warned(code))

    def _read_input(self) -> TurnInput:
        assert self._input is not None  # read before anything runs
        return self._input

    # -- the outcome

    async def _refused(self) -> TurnOutcome:
        self.log.append(events.TextDelta(REFUSAL, len(self.log.text)))
        prompt = self._read_input().prompt
        return await self._rewritten(Status.DONE, [journals.user_item(prompt), journals.assistant_item(REFUSAL)])

    async def _waiting(self, approval_requests: Sequence[events.ApprovalRequested]) -> TurnOutcome:
        """Cut the session back to where the turn began: replay begins there, and it holds no call without an output."""
        return replace(await self._rewritten(Status.WAITING, []), approval_requests=approval_requests)

    async def _failed(self, code: str, detail: str) -> TurnOutcome:
        outcome = await self._cut_short(Status.FAILED, partial=False)
        return replace(outcome, error_code=code, error_detail=detail)

    async def _cut_short(self, status: Status, *, partial: bool) -> TurnOutcome:
        """Store what happened in the session: the message, the finished steps and, if it stays, the text shown."""
        await self.finish_tasks()
        journal = await in_database(journals.load, self.turn)
        rest = self.log.text[len(journal.text) :].strip() if partial else ""
        items = journals.as_items(self.turn.prompt.text, journal, partial=rest)
        return await self._rewritten(status, items)

    async def _rewritten(self, status: Status, items: Sequence[Item]) -> TurnOutcome:
        await self.finish_tasks()
        if self._memory is not None:
            await self._memory.rewrite(items)
        return await self._build_outcome(status, items)

    async def _build_outcome(self, status: Status, items: Sequence[Item]) -> TurnOutcome:
        size = None
        if self._memory is not None and not self._memory.unavailable:
            try:
                size = await self._store.size(self._read_input().session.session_id)
            except MemoryUnavailable:
                self._warnings.add("context_unavailable")
        usage = self._result.context_wrapper.usage if self._result else agents.Usage()
        return TurnOutcome(
            status=status,
            text=self.log.text,
            reasoning=self.log.reasoning,
            items=items,
            usage={"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens},
            size=size,
            pruned=self._pruned,
            warning=next((code for code in WARNINGS if code in self._warnings), ""),
        )


class _Journaling(agents.RunHooks[TurnContext]):
    """Writes each response to the journal before its calls run, and each call to the log."""

    def __init__(self, execution: TurnExecution, model: ReplayModel) -> None:
        self._execution = execution
        self._model = model

    async def on_llm_end(
        self,
        context: agents.RunContextWrapper[TurnContext],
        agent: agents.Agent[TurnContext],
        response: agents.ModelResponse,
    ) -> None:
        if self._model.from_journal:
            return
        await in_database(
            journals.record_step,
            lease_of(self._execution.turn),
            n=self._model.step,
            response=response,
            duration_ms=self._model.duration_ms,
            sent=self._model.sent,
            model=self._model.name,
        )
        if self._execution.turn.cut_off:
            await in_database(journals.reset_cut_off, lease_of(self._execution.turn))

    async def on_tool_start(
        self, context: agents.RunContextWrapper[TurnContext], agent: Any, tool: agents.Tool
    ) -> None:
        if isinstance(context, ToolContext) and not self._execution.was_done(context.tool_call_id):
            arguments = journals.parse_arguments(context.tool_arguments)
            self._execution.log.append(events.ToolStarted(context.tool_call_id, context.tool_name, arguments))


async def _answer(output: str) -> str:
    return output


def _not_found(error: agents.ToolErrorFormatterArgs[Any]) -> str | None:
    """Return the output of a call of a tool that there is not."""
    if error.kind != "tool_not_found":
        return None
    context: TurnContext = error.run_context.context
    detail = f"There is no tool “{error.tool_name}”. Call one of your tools by its name."
    not_found = json.dumps({"ok": False, "error": "unknown_tool", "detail": detail}, ensure_ascii=False)
    return context.refused.get(error.call_id, not_found)


# Created once: the SDK inspects the types of all its fields each time.
# Calls run one after another, in the order in which the model lists them.
RUN_CONFIG = agents.RunConfig(
    tracing_disabled=True,
    tool_not_found_behavior="return_error_to_model",
    tool_error_formatter=_not_found,
    tool_execution=agents.ToolExecutionConfig(max_function_tool_concurrency=1),
)


def _keep_refusal(refused: agents.RunErrorHandlerInput[TurnContext]) -> agents.RunErrorHandlerResult:
    """Use a model's refusal as its reply: it was shown, and is in the session already."""
    return agents.RunErrorHandlerResult(str(refused.error), include_in_history=False)


def _raise_cause(error: BaseException | None) -> None:
    """Raise the TurnLost or DatabaseError behind an error of the SDK, if there is one."""
    while error is not None:
        if isinstance(error, TurnLost | DatabaseError):
            raise error
        error = error.__cause__
