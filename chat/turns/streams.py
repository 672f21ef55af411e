"""The logs of running turns as Redis streams, so that a turn that runs in one server process is followed in another.

The process that runs a turn publishes its log. Another process keeps a copy (a mirror) while a client follows the turn
there. One connection of each process reads for all its mirrors. A stream is short-lived, and may be lost: its publisher
then writes it again, and followers read the database until it has.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from chat.infra import background
from chat.infra.metrics import EVENT_DELAY
from chat.infra.redis import ERRORS, async_client, key
from chat.turns import event_json
from chat.turns.log import KEPT_AFTER_END, TurnLog

logger = logging.getLogger(__name__)

# Seconds. Events that follow one another within the first are published, and read, together.
COLLECT = 0.004
BEAT_EVERY, BEAT_LATE = 2.0, 5.0  # heartbeats: an empty entry shows that the process is alive
FORGET_AFTER = 60.0  # without an entry
RETRY_AFTER = 1.0
FIRST_ENTRIES_WITHIN = 1.0
EXPIRES_AFTER = 3600  # without a beat
# Entries of a stream, each with the events of a moment: followers that join later are sent snapshots.
ENTRIES_KEPT = 20_000
EVENTS_AT_ONCE = 500


class Publisher:
    """Writes the logs of the turns that run in this process."""

    def __init__(self, owner: uuid.UUID) -> None:
        self._owner = str(owner)
        self._sent: dict[TurnLog, tuple[int, float]] = {}  # the last event that is written, and when
        self._changed = asyncio.Event()
        self._is_failing = False

    def add(self, log: TurnLog) -> None:
        """Publish a log that is being written."""
        self._sent[log] = 0, 0.0
        log.on_change = self._changed.set
        self._changed.set()

    async def run(self) -> None:
        """Publish until it is cancelled."""
        async with async_client() as client:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_EVERY):
                        await self._changed.wait()
                self._changed.clear()
                try:
                    await self._publish(client.pipeline(transaction=False))
                    self._is_failing = False
                except ERRORS as error:
                    if not self._is_failing:
                        logger.warning("Other server processes cannot follow the turns of this one: %s", error)
                    self._is_failing = True
                    # Those that have ended are answered from the database.
                    self._sent = {log: sent for log, sent in self._sent.items() if log.running}
                    await asyncio.sleep(RETRY_AFTER)
                    self._changed.set()
                await asyncio.sleep(COLLECT)

    async def publish_last(self) -> None:
        """Publish what is left, once."""
        with suppress(*ERRORS):
            async with async_client() as client, asyncio.timeout(1):
                await self._publish(client.pipeline(transaction=False))

    async def _publish(self, pipeline: Pipeline) -> None:
        now = time.monotonic()
        written: list[tuple[TurnLog, int, bool]] = []
        for log, (sent, at) in self._sent.items():
            events = log.events(sent, EVENTS_AT_ONCE)
            is_last = not log.running and sent + len(events) == log.n
            if not (events or is_last or now - at >= BEAT_EVERY):
                continue
            name = stream_key(log.turn_id)
            fields: dict[Any, Any] = {
                "attempt": log.attempt,
                "owner": self._owner,
                "after": sent,
                "at": time.time(),
                "runs": int(not is_last),
                "events": event_json.dumps(events),
            }
            # A stream that is gone is not begun in its middle.
            pipeline.xadd(name, fields, maxlen=ENTRIES_KEPT, approximate=True, nomkstream=sent > 0)
            pipeline.expire(name, round(KEPT_AFTER_END) if log.ended and is_last else EXPIRES_AFTER)
            written.append((log, sent + len(events), is_last))
        results = await pipeline.execute() if written else []
        for (log, sent, is_last), entry_id in zip(written, results[::2], strict=True):
            if entry_id is None:
                self._sent[log] = 0, 0.0
            elif is_last and not log.running:
                del self._sent[log]
                log.on_change = None
            else:
                self._sent[log] = sent, now
                if sent == log.n:
                    continue
            self._changed.set()


class Mirror:
    """The copy of a log that another process writes; `log` is replaced with each attempt."""

    def __init__(self, turn_id: uuid.UUID) -> None:
        self.turn_id = turn_id
        self.last_id = "0"
        self.log: TurnLog | None = None
        self.heard_at = time.monotonic()
        self._since = time.time()
        self._owner = ""
        self._changed = asyncio.Event()

    @property
    def is_live(self) -> bool:
        """Whether the log is complete, and its process lives."""
        return self.log is not None and self.log.is_live

    async def first_entries(self) -> None:
        """Wait until there is a log, or for a moment."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_ENTRIES_WITHIN):
                while not self.is_live:
                    self._changed.clear()
                    await self._changed.wait()

    def apply(self, entry_id: str, fields: Mapping[bytes, bytes]) -> None:
        """Add the events of an entry of the stream. Raise KeyError or ValueError for those of another version."""
        self.last_id = entry_id
        attempt, after, owner = int(fields[b"attempt"]), int(fields[b"after"]), fields[b"owner"].decode()
        log = self.log
        if log is not None and attempt < log.attempt:
            return  # of a process that was cut off
        if log is None or attempt > log.attempt or owner != self._owner:
            if log is not None:
                log.running = False
                log.mark_outdated()
            log = self.log = TurnLog(self.turn_id, attempt)
            log.source = self
            self._owner = owner
        self.heard_at = time.monotonic()
        if (at := float(fields[b"at"])) > self._since:  # not what was written before the first follower
            EVENT_DELAY.observe(max(0.0, time.time() - at))
        if after > log.n:
            self.lose()  # a part is missing
            return
        for event in event_json.loads(fields[b"events"])[log.n - after :]:
            log.append(event)
        log.running = fields[b"runs"] == b"1" and not log.ended
        log.wake()
        self._changed.set()

    def lose(self) -> None:
        """Mark the copy incomplete: followers read the database until it is complete again."""
        if self.log is not None:
            self.log.running = False
            self.log.wake()


class Reader:
    """Keeps mirrors as long as they have readers."""

    def __init__(self, owner: uuid.UUID) -> None:
        self._owner = owner
        self._mirrors: WeakValueDictionary[uuid.UUID, Mirror] = WeakValueDictionary()
        self._client = async_client()
        self._added = asyncio.Event()
        self._added_id = "0"
        self._is_reading = True

    async def follow(self, turn_id: uuid.UUID) -> TurnLog | None:
        """Return the log of a turn that runs in another process, or None if it cannot be had now."""
        mirror = self._mirrors.get(turn_id)
        if mirror is None:
            mirror = self._mirrors[turn_id] = Mirror(turn_id)
            self._added.set()
            if self._is_reading:
                await self._wake()
        if self._is_reading:
            await mirror.first_entries()
        return mirror.log if mirror.is_live else None

    async def run(self) -> None:
        """Read until it is cancelled."""
        async with self._client, async_client() as client:
            while True:
                if not self._mirrors:
                    self._added.clear()
                    await self._added.wait()
                try:
                    await self._read(client)
                    self._is_reading = True
                except ERRORS:
                    self._is_reading = False
                    self._lose_all()
                    await asyncio.sleep(RETRY_AFTER)
                await asyncio.sleep(COLLECT)

    async def _wake(self) -> None:
        """End a wait of the reader."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.xadd(self._wake_key, {"wake": 1}, maxlen=1)
        pipeline.expire(self._wake_key, EXPIRES_AFTER)
        with suppress(*ERRORS):
            await pipeline.execute()

    async def _read(self, client: Redis) -> None:
        # No mirror is referenced while Redis waits for entries, so that each is gone after its last follower.
        asked = {stream_key(turn_id): (turn_id, mirror.last_id) for turn_id, mirror in list(self._mirrors.items())}
        last_ids: dict[Any, Any] = {name: last_id for name, (_, last_id) in asked.items()}
        answer: Any = await client.xread(last_ids | {self._wake_key: self._added_id}, block=round(BEAT_EVERY * 1000))
        for name, entries in answer:
            if (known := asked.get(name.decode())) is None:
                self._added_id = entries[-1][0].decode()
                continue
            turn_id, last_id = known
            mirror = self._mirrors.get(turn_id)
            if mirror is not None and mirror.last_id == last_id:  # not a new one, which needs the beginning
                _apply(mirror, entries)
        self._forget_old()

    def _lose_all(self) -> None:
        for mirror in list(self._mirrors.values()):
            mirror.lose()

    def _forget_old(self) -> None:
        """Stop reading turns that have ended or are silent; a later follower reads the stream from its start."""
        for mirror in list(self._mirrors.values()):
            silent_for = time.monotonic() - mirror.heard_at
            if silent_for > BEAT_LATE:
                mirror.lose()
            if silent_for > FORGET_AFTER or (mirror.log is not None and mirror.log.ended):
                del self._mirrors[mirror.turn_id]
                if mirror.log is not None:
                    mirror.log.source = None

    @property
    def _wake_key(self) -> str:
        return key("reader", self._owner)


class SharedLogs:
    """Publishes the logs of one process, and reads those of others."""

    def __init__(self, owner: uuid.UUID) -> None:
        self._publisher, reader = Publisher(owner), Reader(owner)
        self.publish, self.follow = self._publisher.add, reader.follow
        self._tasks = background.start(self._publisher.run, reader.run)

    async def stop(self) -> None:
        """Publish what is left, and disconnect."""
        await background.stop(self._tasks)
        await self._publisher.publish_last()


def _apply(mirror: Mirror, entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]]) -> None:
    for entry_id, fields in entries:
        try:
            mirror.apply(entry_id.decode(), fields)
        except (KeyError, ValueError):
            mirror.lose()


def stream_key(turn_id: uuid.UUID) -> str:
    """Return the key of a turn's stream."""
    return key("turn", turn_id)
