"""Wake-ups between the processes that share a PostgreSQL database.

    commit ──► announce ──► a set of channels ──► at most one NOTIFY for each every 7 ms
                                                                │
    ring ◄── the notifier of every other process ◄── LISTEN ◄───┘

Both run beside the writes, on two connections of their own: no commit waits for them, and none
fails with them. What gets lost is made up for by the polls of whoever follows.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, TypeAlias

import psycopg
from psycopg import AsyncConnection, sql

from services.chassis.clock import Clock
from services.chassis.failpoints import FailpointError, failpoint
from services.chassis.notifier import Notifier
from services.chassis.store.postgres_session import parameters

# Every NOTIFY takes a lock of the whole server at its commit.
COALESCE_S = 0.007
# More channels than these become one wake-up for everybody.
MOST_CHANNELS = 4_096
# PostgreSQL refuses payloads of 8,000 bytes and more.
MOST_PAYLOAD_BYTES = 7_999

_STATEMENT_LIMIT_S = 5.0
# A connection that died in silence is found out by asking; a ring can wait that long at worst.
_PROBE_S = 30.0
_LAST_WORDS_S = 0.5
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0

_SENDING = failpoint("notify.sending")
_RECEIVED = failpoint("notify.received")

_EVERYBODY = "*"
_NOTIFY = "SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) AS s (payload)"

_LOG = logging.getLogger(__name__)

_Connection: TypeAlias = AsyncConnection[tuple[Any, ...]]


class NotifyBridge:
    """Rings the notifiers of other processes, and ours for them; made by ``notify_bridge``.

    Attributes:
        listening: Set while notifications of others arrive.
    """

    def __init__(self, url: str, notifier: Notifier, clock: Clock) -> None:
        self.listening = asyncio.Event()
        self._parameters = {**parameters(url), "client_encoding": "UTF8"}
        self._notifier = notifier
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._pending: set[str] = set()
        self._announced = asyncio.Event()
        self._closing = False
        self._own_backend = 0

    def announce(self, channels: Iterable[str]) -> None:
        """Ring ``channels`` in the other processes, soon; from any thread, never waits."""
        if self._add(payload_of(channel) for channel in channels):
            with suppress(RuntimeError):  # the loop is closed: others poll
                self._loop.call_soon_threadsafe(self._announced.set)

    async def send(self) -> None:
        """Announce until closed or cancelled."""
        await self._kept_up("notify", self._send_on)

    async def listen(self) -> None:
        """Ring until cancelled."""
        await self._kept_up("listen", self._listen_on)

    def close(self) -> None:
        """Let ``send`` end after what was announced so far."""
        self._closing = True
        self._announced.set()

    async def _kept_up(
        self, task: str, serve: Callable[[_Connection, _Pauses], Awaitable[None]]
    ) -> None:
        """Serve on one connection after another until ``serve`` returns."""
        pauses = _Pauses()
        while True:
            try:
                connection = await AsyncConnection.connect(**self._parameters, autocommit=True)
                async with connection:
                    await serve(connection, pauses)
                    return
            except Exception as error:  # not even a defect here may end what others rely on
                if pauses.failures == 0:
                    outage = isinstance(error, psycopg.Error | OSError | FailpointError)
                    _LOG.warning(
                        "wake-ups are interrupted",
                        extra={"task": task, "cause": type(error).__qualname__},
                        exc_info=not outage,
                    )
            await self._clock.sleep(pauses.next_s())

    async def _send_on(self, connection: _Connection, pauses: _Pauses) -> None:
        self._own_backend = connection.info.backend_pid
        channel = await _channel(connection)
        while True:
            await self._announced.wait()
            self._announced.clear()
            await self._flush(connection, channel)
            pauses.over()
            if self._closing:
                return
            await self._clock.sleep(COALESCE_S)

    async def _flush(self, connection: _Connection, channel: str) -> None:
        with self._lock:
            payloads, self._pending = self._pending, set()
        if not payloads:
            return
        try:
            _SENDING.reach()
            async with asyncio.timeout(_STATEMENT_LIMIT_S):
                await connection.execute(_NOTIFY, (channel, sorted(payloads)))
        except BaseException:
            self._add(payloads)
            self._announced.set()
            raise

    async def _listen_on(self, connection: _Connection, pauses: _Pauses) -> None:
        name = sql.Identifier(await _channel(connection))
        await connection.execute(sql.SQL("LISTEN {}").format(name))
        # What others announced while nobody listened is not said again.
        self._notifier.ring_all()
        pauses.over()
        self.listening.set()
        try:
            while True:
                async with aclosing(connection.notifies(timeout=_PROBE_S)) as notifications:
                    async for each in notifications:
                        self._received(each)
                async with asyncio.timeout(_STATEMENT_LIMIT_S):
                    await connection.execute("SELECT 1")
        finally:
            self.listening.clear()

    def _received(self, notification: psycopg.Notify) -> None:
        if notification.pid == self._own_backend:
            return  # rung here when it was committed
        _RECEIVED.reach()
        kind, channel = notification.payload[:1], notification.payload[1:]
        if kind == "=":
            self._notifier.ring(channel)
        elif notification.payload == _EVERYBODY:
            self._notifier.ring_all()
        else:
            for heard in self._notifier.heard():
                if payload_of(heard) == notification.payload:
                    self._notifier.ring(heard)

    def _add(self, payloads: Iterable[str]) -> bool:
        """Whether these are the first to be announced."""
        with self._lock:
            first = not self._pending
            self._pending.update(payloads)
            if _EVERYBODY in self._pending or len(self._pending) > MOST_CHANNELS:
                self._pending = {_EVERYBODY}
            return first and bool(self._pending)


class _Pauses:
    """Between attempts at a server that is away: random, doubling, of some seconds at most."""

    def __init__(self) -> None:
        self.failures = 0

    def over(self) -> None:
        self.failures = 0

    def next_s(self) -> float:
        longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self.failures, 16))
        self.failures += 1
        return random.uniform(longest_s / 2, longest_s)  # noqa: S311  # spreads, hides nothing


@asynccontextmanager
async def notify_bridge(url: str, notifier: Notifier, clock: Clock) -> AsyncIterator[NotifyBridge]:
    """Exchange wake-ups for the length of the block, whether the server can be reached or not.

    ``notifier`` is not rung for what is announced here: whoever commits rings it directly.
    """
    bridge = NotifyBridge(url, notifier, clock)
    sending = asyncio.ensure_future(bridge.send())
    listening = asyncio.ensure_future(bridge.listen())
    try:
        yield bridge
    finally:
        bridge.close()
        await asyncio.wait({sending}, timeout=_LAST_WORDS_S)
        for task in (sending, listening):
            task.cancel()
        await asyncio.gather(sending, listening, return_exceptions=True)


def payload_of(channel: str) -> str:
    """What travels for a channel: its name, or a digest where PostgreSQL would refuse that."""
    encoded = channel.encode()
    if len(encoded) < MOST_PAYLOAD_BYTES and b"\0" not in encoded:
        return f"={channel}"
    return f"#{hashlib.sha256(encoded).hexdigest()}"


async def _channel(connection: _Connection) -> str:
    """NOTIFY reaches a whole database: schemas must not wake each other."""
    found = await (await connection.execute("SELECT current_schema()")).fetchone()
    schema = str(found[0] if found else None)
    return f"wake_{hashlib.sha256(schema.encode()).hexdigest()[:32]}"
