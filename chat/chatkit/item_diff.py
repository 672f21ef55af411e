"""The difference between the items that a client has and those that exist, as stream events."""

from collections.abc import Iterator, Sequence

from chatkit import types

Events = Iterator[types.ThreadStreamEvent]


class ItemDiff:
    """The items that a client has received of a turn; `ids` gets the ids of all of them."""

    def __init__(self, sent: Sequence[types.ThreadItem], ids: set[str]) -> None:
        self._sent = {item.id: item for item in sent}
        self._ids = ids
        self._open: dict[str, None] = {}  # begun and not done, in their order

    def events(self, items: Sequence[types.ThreadItem]) -> Events:
        """Yield the events that turn the items of the client into the current ones."""
        there = {item.id: item for item in items}
        self._ids.update(there)
        for gone in self._sent.keys() - there.keys():
            del self._sent[gone]
            self._open.pop(gone, None)
            yield types.ThreadItemRemovedEvent(item_id=gone)
        for item in items:
            before = self._sent.get(item.id)
            self._sent[item.id] = item
            if before is None:
                yield from self._added(item)
            elif before != item:
                yield from self._changed(before, item)

    def end(self) -> Events:
        """Yield that what was begun is done."""
        for item_id in self._open:
            item = self._sent[item_id]
            if isinstance(item, types.AssistantMessageItem):
                yield _updated(item, types.AssistantMessageContentPartDone(content_index=0, content=item.content[0]))
            yield types.ThreadItemDoneEvent(item=item)
        self._open = {}

    def _added(self, item: types.ThreadItem) -> Events:
        if not isinstance(item, types.AssistantMessageItem | types.WorkflowItem):
            yield types.ThreadItemDoneEvent(item=item)
            return
        self._open[item.id] = None
        if isinstance(item, types.WorkflowItem):
            yield types.ThreadItemAddedEvent(item=item)
            return
        yield types.ThreadItemAddedEvent(item=item.model_copy(update={"content": []}))
        empty = types.AssistantMessageContent(text="")
        yield _updated(item, types.AssistantMessageContentPartAdded(content_index=0, content=empty))
        yield _delta(item, item.content[0].text)

    def _changed(self, before: types.ThreadItem, item: types.ThreadItem) -> Events:
        match before, item:
            case types.AssistantMessageItem(), types.AssistantMessageItem():
                yield from self._text_changed(before, item)
            case types.WorkflowItem(), types.WorkflowItem() if item.id in self._open:
                yield from _workflow_changed(before, item)
            case types.WidgetItem(), types.WidgetItem():
                yield types.ThreadItemUpdatedEvent(item_id=item.id, update=types.WidgetRootUpdated(widget=item.widget))
            case _:
                yield types.ThreadItemReplacedEvent(item=item)

    def _text_changed(self, before: types.AssistantMessageItem, item: types.AssistantMessageItem) -> Events:
        sent, text = before.content[0].text, item.content[0].text
        if text == sent:
            return
        if item.id in self._open and text.startswith(sent):
            yield _delta(item, text[len(sent) :])
            return
        # Sent in an earlier stream, or retracted by text that replaced it.
        self._open[item.id] = None
        yield types.ThreadItemReplacedEvent(item=item)


def _workflow_changed(before: types.WorkflowItem, item: types.WorkflowItem) -> Events:
    sent = before.workflow.tasks
    for n, task in enumerate(item.workflow.tasks):
        if n >= len(sent):
            yield _updated(item, types.WorkflowTaskAdded(task_index=n, task=task))
        elif task != sent[n]:
            yield _updated(item, types.WorkflowTaskUpdated(task_index=n, task=task))


def _delta(item: types.AssistantMessageItem, text: str) -> types.ThreadItemUpdatedEvent:
    return _updated(item, types.AssistantMessageContentPartTextDelta(content_index=0, delta=text))


def _updated(item: types.ThreadItem, update: types.ThreadItemUpdate) -> types.ThreadItemUpdatedEvent:
    return types.ThreadItemUpdatedEvent(item_id=item.id, update=update)
