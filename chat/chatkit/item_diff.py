"""The difference between the items that a client has and those that exist, as stream events."""

from collections.abc import Iterator, Sequence

from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartDone,
    AssistantMessageContentPartTextDelta,
    AssistantMessageItem,
    ThreadItem,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemRemovedEvent,
    ThreadItemReplacedEvent,
    ThreadItemUpdatedEvent,
    ThreadStreamEvent,
    WidgetItem,
    WidgetRootUpdated,
    WorkflowItem,
    WorkflowTaskAdded,
    WorkflowTaskUpdated,
)


class ItemDiff:
    """The items that a client has received of a turn; `ids` gets the ids of all of them."""

    def __init__(self, sent: Sequence[ThreadItem], ids: set[str]) -> None:
        self._sent = {item.id: item for item in sent}
        self._ids = ids
        self._open: dict[str, None] = {}  # begun and not done, in their order

    def events(self, items: Sequence[ThreadItem]) -> Iterator[ThreadStreamEvent]:
        """Yield the events that turn the items of the client into the current ones."""
        there = {item.id: item for item in items}
        self._ids.update(there)
        for gone in self._sent.keys() - there.keys():
            del self._sent[gone]
            self._open.pop(gone, None)
            yield ThreadItemRemovedEvent(item_id=gone)
        for item in items:
            before = self._sent.get(item.id)
            self._sent[item.id] = item
            if before is None:
                yield from self._added(item)
            elif before != item:
                yield from self._changed(before, item)

    def end(self) -> Iterator[ThreadStreamEvent]:
        """Yield that what was begun is done."""
        for item_id in self._open:
            item = self._sent[item_id]
            if isinstance(item, AssistantMessageItem):
                yield _updated(item, AssistantMessageContentPartDone(content_index=0, content=item.content[0]))
            yield ThreadItemDoneEvent(item=item)
        self._open = {}

    def _added(self, item: ThreadItem) -> Iterator[ThreadStreamEvent]:
        if not isinstance(item, AssistantMessageItem | WorkflowItem):
            yield ThreadItemDoneEvent(item=item)
            return
        self._open[item.id] = None
        if isinstance(item, WorkflowItem):
            yield ThreadItemAddedEvent(item=item)
            return
        yield ThreadItemAddedEvent(item=item.model_copy(update={"content": []}))
        yield _updated(
            item, AssistantMessageContentPartAdded(content_index=0, content=AssistantMessageContent(text=""))
        )
        yield _delta(item, item.content[0].text)

    def _changed(self, before: ThreadItem, item: ThreadItem) -> Iterator[ThreadStreamEvent]:
        match before, item:
            case AssistantMessageItem(), AssistantMessageItem():
                yield from self._text_changed(before, item)
            case WorkflowItem(), WorkflowItem() if item.id in self._open:
                yield from _workflow_changed(before, item)
            case WidgetItem(), WidgetItem():
                yield ThreadItemUpdatedEvent(item_id=item.id, update=WidgetRootUpdated(widget=item.widget))
            case _:
                yield ThreadItemReplacedEvent(item=item)

    def _text_changed(self, before: AssistantMessageItem, item: AssistantMessageItem) -> Iterator[ThreadStreamEvent]:
        sent, text = before.content[0].text, item.content[0].text
        if text == sent:
            return
        if item.id in self._open and text.startswith(sent):
            yield _delta(item, text[len(sent) :])
            return
        # Sent in an earlier stream, or retracted by text that replaced it.
        self._open[item.id] = None
        yield ThreadItemReplacedEvent(item=item)


def _workflow_changed(before: WorkflowItem, item: WorkflowItem) -> Iterator[ThreadStreamEvent]:
    sent = before.workflow.tasks
    for n, task in enumerate(item.workflow.tasks):
        if n >= len(sent):
            yield _updated(item, WorkflowTaskAdded(task_index=n, task=task))
        elif task != sent[n]:
            yield _updated(item, WorkflowTaskUpdated(task_index=n, task=task))


def _delta(item: AssistantMessageItem, text: str) -> ThreadItemUpdatedEvent:
    return _updated(item, AssistantMessageContentPartTextDelta(content_index=0, delta=text))


def _updated(
    item: ThreadItem,
    update: AssistantMessageContentPartAdded
    | AssistantMessageContentPartDone
    | AssistantMessageContentPartTextDelta
    | WorkflowTaskAdded
    | WorkflowTaskUpdated,
) -> ThreadItemUpdatedEvent:
    return ThreadItemUpdatedEvent(item_id=item.id, update=update)
