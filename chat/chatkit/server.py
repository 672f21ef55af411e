"""The ChatKit protocol over turns: a message is accepted as everywhere else, and its turn's log becomes stream events.

A closed stream and a lost connection look alike, so that neither stops a turn; the action `turn.stop` does.
"""

import binascii
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Any

from chatkit import types
from chatkit.actions import Action
from chatkit.errors import CustomStreamError
from chatkit.server import ChatKitServer, NonStreamingResult, StreamingResult
from chatkit.store import AttachmentStore
from django.utils import timezone
from pydantic import BaseModel, StrictBool, TypeAdapter, ValidationError

from chat.chatkit import reading
from chat.chatkit.item_diff import ItemDiff
from chat.chatkit.items import DECIDE, STOP, items_of
from chat.chatkit.store import Client, ConversationStore, NoAttachments
from chat.exceptions import BadInput, Conflict, RateLimited, ThreadkeeperError
from chat.infra.db_threads import in_database
from chat.infra.invalid_values import invalid_values
from chat.models.turn import Status
from chat.read_models import WARNINGS, TurnOut
from chat.turns import process
from chat.turns.events import LastEvent, Snapshot, TurnQueued, Warned, is_retryable
from chat.turns.follow import follow
from chat.turns.log import TurnState

Events = AsyncGenerator[types.ThreadStreamEvent, None]
_request: TypeAdapter[types.ChatKitReq] = TypeAdapter(types.ChatKitReq)


class NotOfProtocol(BadInput):
    """A request that is not part of the protocol; `fields` has the invalid ones."""

    code = "invalid"

    def __init__(self, error: ValidationError) -> None:
        super().__init__("This is no request of the ChatKit protocol.")
        fields = invalid_values(error, skip=1)
        self.fields = {name or "body": message for name, message in fields.items()}


class Decision(BaseModel):
    """What a question's buttons send."""

    turn_id: str
    call_id: str
    approve: StrictBool


class Server(ChatKitServer[Client]):
    """Answers ChatKit's requests."""

    def __init__(
        self, store: ConversationStore | None = None, attachment_store: AttachmentStore[Client] | None = None
    ) -> None:
        super().__init__(store or ConversationStore(), attachment_store)

    async def process(self, request: str | bytes | bytearray, context: Client) -> StreamingResult | NonStreamingResult:
        """Read a request and answer it. Raise NotOfProtocol, and what `answer` raises."""
        # The package's own makes a parser for each request, which takes longer than all the rest.
        try:
            parsed = _request.validate_json(request)
        except ValidationError as error:
            raise NotOfProtocol(error) from None
        if types.is_streaming_req(parsed):
            return StreamingResult(self._process_streaming(parsed, context))
        return NonStreamingResult(await self._process_non_streaming(parsed, context))

    # -- streams

    async def _process_streaming(self, request: types.StreamingReq, context: Client) -> AsyncGenerator[bytes, None]:
        # The package's own logs what is refused as if it were broken.
        async with aclosing(self._process_streaming_impl(request, context)) as events:
            async for event in events:
                yield self.encoded(event)

    def encoded(self, event: types.ThreadStreamEvent) -> bytes:
        """Give an event as it stands in a stream."""
        return b"data: " + self._serialize(event) + b"\n\n"

    async def _process_streaming_impl(self, request: types.StreamingReq, context: Client) -> Events:
        match request:
            case types.ThreadsCreateReq():
                events = self._created(request.params, context)
            case types.ThreadsRetryAfterItemReq():
                events = self._retried(request.params, context)
            case types.ThreadsAddClientToolOutputReq() | types.ThreadsAddStructuredInputReq():
                raise BadInput("The assistant here asks pages for nothing, so that there is nothing to answer.")
            case _:
                events = super()._process_streaming_impl(request, context)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _created(self, asked: types.ThreadCreateParams, context: Client) -> Events:
        """Begin a conversation by its first message: of one that is refused nothing stays."""
        thread_id = self.store.generate_thread_id(context)
        new = types.ThreadMetadata(id=thread_id, created_at=timezone.now())
        item = await self._build_user_message_item(asked.input, new, context)
        await self.store.add_thread_item(thread_id, item, context)
        thread = await self.store.load_thread(thread_id, context)
        yield types.ThreadCreatedEvent(thread=self._to_thread_response(thread))
        yield types.ThreadItemDoneEvent(item=item)
        async for event in self._process_events(thread, context, lambda: self.respond(thread, item, context)):
            yield event

    async def _retried(self, asked: types.ThreadRetryAfterItemParams, context: Client) -> Events:
        """Answer a message again: what came after it becomes an earlier version."""
        thread = await self.store.load_thread(asked.thread_id, context)
        item = await self.store.load_item(thread.id, asked.item_id, context)
        if not isinstance(item, types.UserMessageItem):
            raise BadInput(f"Item {item.id} is not a user message.")
        turn, _ = await in_database(reading.turn_with, context.user_id, thread.id, item.id)
        await process.current().retry(
            user_id=context.user_id,
            conversation_id=turn.conversation_id,
            turn_id=turn.id,
            client_id=context.new_id(f"retry {item.id}"),
        )
        async for event in self._process_events(thread, context, lambda: self.respond(thread, item, context)):
            yield event

    async def respond(
        self, thread: types.ThreadMetadata, input_user_message: types.UserMessageItem | None, context: Client
    ) -> Events:
        """Yield the events of the turn that answers a message, until it ends or waits for a decision."""
        if input_user_message is None:
            return
        with _errors_for_people():
            turn, titles = await in_database(reading.turn_with, context.user_id, thread.id, input_user_message.id)
            diff = ItemDiff(items_of(turn, titles)[:1], context.sent)
            async for event in _events_of(turn, titles, diff, context):
                yield event

    async def action(
        self, thread: types.ThreadMetadata, action: Action[str, Any], sender: types.WidgetItem | None, context: Client
    ) -> Events:
        """Decide about a call, and yield how the turn continues; or stop an active turn."""
        with _errors_for_people():
            if action.type == STOP:
                for turn_id in await in_database(reading.active_turns, context.user_id, thread.id):
                    await process.current().stop(
                        user_id=context.user_id, conversation_id=reading.thread_key(thread.id), turn_id=turn_id
                    )
            elif action.type == DECIDE:
                async for event in self._decided(thread, _decision(action.payload), context):
                    yield event
            else:
                raise BadInput(f"There is no action “{action.type}” here.")

    async def _decided(self, thread: types.ThreadMetadata, decision: Decision, context: Client) -> Events:
        turn, titles = await in_database(reading.turn_with, context.user_id, thread.id, decision.turn_id)
        await process.current().decide(
            user_id=context.user_id,
            conversation_id=turn.conversation_id,
            turn_id=turn.id,
            call_id=decision.call_id,
            approve=decision.approve,
        )
        diff = ItemDiff(items_of(turn, titles), context.sent)
        async for event in _events_of(turn, titles, diff, context):
            yield event

    def get_stream_options(self, thread: types.ThreadMetadata, context: Client) -> types.StreamOptions:
        """Show no button that would close the stream only, and not stop the turn."""
        return types.StreamOptions(allow_cancel=False)

    async def handle_stream_cancelled(
        self, thread: types.ThreadMetadata, pending_items: list[types.ThreadItem], context: Client
    ) -> None:
        """Do nothing: the turn continues, and is there when the thread is loaded again."""

    # -- not supported

    async def add_feedback(
        self, thread_id: str, item_ids: list[str], feedback: types.FeedbackKind, context: Client
    ) -> None:
        """Raise BadInput."""
        raise BadInput("Feedback is not kept here.")

    async def transcribe(self, audio_input: types.AudioInput, context: Client) -> types.TranscriptionResult:
        """Raise BadInput."""
        raise BadInput("Speech is not understood here.")

    async def _process_sync_custom_action(self, request: types.ThreadsSyncCustomActionReq, context: Client) -> bytes:
        raise BadInput("Actions are answered by a stream here: send “threads.custom_action”.")

    async def _process_non_streaming(self, request: types.NonStreamingReq, context: Client) -> bytes:
        try:
            return await super()._process_non_streaming(request, context)
        except binascii.Error:
            raise BadInput("The audio is not base64.") from None

    def _get_attachment_store(self) -> AttachmentStore[Client]:
        if self.attachment_store is None:
            raise NoAttachments
        return self.attachment_store


async def answer(request: bytes, client: Client) -> bytes | AsyncGenerator[bytes, None]:
    """Answer a request: with JSON, or with a stream that has begun.

    An error that the user can correct is sent in the stream, because ChatKit shows it there. Raise
    NotFound, NotOfProtocol, and for other requests whatever of ours goes wrong.
    """
    server = Server()
    result = await server.process(request, client)
    if isinstance(result, NonStreamingResult):
        return result.json
    stream = result.json_events
    try:
        first = await anext(stream, b"")
    except (BadInput, RateLimited, Conflict) as error:
        first, stream = server.encoded(types.ErrorEvent(code="custom", message=error.detail)), _no_events()
    return _stream(first, stream)


async def _stream(first: bytes, stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(stream):
        yield first
        async for event in stream:
            yield event


async def _no_events() -> AsyncGenerator[bytes, None]:
    return
    yield b""


async def _events_of(turn: TurnOut, titles: Mapping[int, str], diff: ItemDiff, client: Client) -> Events:
    """Follow a turn's log and yield the events of its items, until it ends or waits for a decision."""
    state = TurnState()
    state.apply(Snapshot(turn.status, turn.text, turn.tools))
    warned = ""
    async with aclosing(follow(process.current().logs, turn.id)) as log:
        async for batch in log:
            events = [entry.event for entry in batch.entries]
            for event in events:
                state.apply(event)
                if isinstance(event, Warned):
                    warned = event.code
                    yield _warning(event.code)
                elif isinstance(event, TurnQueued):
                    yield types.ProgressUpdateEvent(text="Waiting for the reply before this one")
            if isinstance(events[-1], LastEvent):
                break
            shown = replace(turn, status=Status.RUNNING, text=state.text, tools=tuple(state.tools.values()))
            # A question may be decided by now: the record has the decision.
            if shown.is_awaiting and (await in_database(reading.turn, client.user_id, turn.id))[0].is_awaiting:
                break
            for changed in diff.events(items_of(shown, titles)):
                yield changed
    turn, titles = await in_database(reading.turn, client.user_id, turn.id)
    for changed in [*diff.events(items_of(turn, titles)), *diff.end()]:
        yield changed
    if turn.warning not in ("", warned):
        yield _warning(turn.warning)
    if turn.failed:
        yield types.ErrorEvent(code="custom", message=turn.error_detail, allow_retry=is_retryable(turn.error_code))


@contextmanager
def _errors_for_people() -> Iterator[None]:
    """Convert errors to those that ChatKit shows to people."""
    try:
        yield
    except ThreadkeeperError as error:
        raise CustomStreamError(error.detail) from error


def _warning(code: str) -> types.NoticeEvent:
    return types.NoticeEvent(level="warning", message=WARNINGS.get(code, code))


def _decision(payload: Any) -> Decision:
    try:
        return Decision.model_validate(payload)
    except ValidationError:
        raise BadInput("A decision needs “turn_id”, “call_id” and “approve”.") from None
