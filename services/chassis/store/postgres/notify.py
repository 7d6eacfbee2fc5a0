"""Notifications between the processes that share a PostgreSQL database.

    commit ──► announce ──► a set of channels ──► at most one NOTIFY for each every 7 ms
                                                                │
    notify ◄─ the notifier of every other process ◄── LISTEN ◄───┘

Sending and listening use two connections of their own, so no commit waits for them or fails because
of them. Followers also poll, so a lost notification only delays them. Both connections hold the
lock that shows that this process lives (``dead_holders``), so the loss of one of them shows
nothing.
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
from services.chassis.follow.notifier import Notifier
from services.chassis.store.dead_holders import HOLD, instance_name
from services.chassis.store.postgres.session import KEEPALIVES, SET, parameters

# The commit of a NOTIFY takes a lock that the whole server shares.
COALESCE_S = 0.007
# Beyond this many pending channels, one notification wakes all followers.
MOST_CHANNELS = 4_096
# PostgreSQL refuses payloads of 8,000 bytes and more.
MOST_PAYLOAD_BYTES = 7_999

_STATEMENT_LIMIT_S = 5.0
# A silently lost connection is detected by a query at this interval, the longest delay it causes.
_PROBE_S = 5.0
_LAST_SEND_S = 0.5
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0

_SENDING = failpoint("notify.sending")
_RECEIVED = failpoint("notify.received")

_ALL_CHANNELS = "*"
_NOTIFY = "SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) AS s (payload)"

_LOG = logging.getLogger(__name__)

_Connection: TypeAlias = AsyncConnection[tuple[Any, ...]]


class NotifyBridge:
    """Carries notifications to and from other processes; ``notify_bridge`` creates it.

    Attributes:
        listening: Set while this process receives notifications.
        instance: The name of this process in its leases.
    """

    def __init__(self, url: str, notifier: Notifier, clock: Clock) -> None:
        self.listening = asyncio.Event()
        self._lock_key = random.getrandbits(31)
        self.instance = instance_name(self._lock_key)
        self._parameters = {**parameters(url), "client_encoding": "UTF8"}
        self._notifier = notifier
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._pending: set[str] = set()
        self._announced = asyncio.Event()
        self._closing = False
        self._has_listened = False
        self._own_backend = 0

    def is_interrupted(self) -> bool:
        """Whether this process has received notifications and does so no more."""
        return self._has_listened and not self.listening.is_set()

    def announce(self, channels: Iterable[str]) -> None:
        """Queue notifications of ``channels`` to other processes; thread-safe, does not block."""
        if self._add(payload_of(channel) for channel in channels):
            with suppress(RuntimeError):  # the loop is closed; the other processes poll
                self._loop.call_soon_threadsafe(self._announced.set)

    async def send(self) -> None:
        """Send what ``announce`` queues, until ``close`` or cancelled."""
        await self._reconnecting("notify", self._send_on)

    async def listen(self) -> None:
        """Pass received notifications to the notifier, until cancelled."""
        await self._reconnecting("listen", self._listen_on)

    def close(self) -> None:
        """Let ``send`` return after it has sent what is queued."""
        self._closing = True
        self._announced.set()

    async def _reconnecting(
        self, task: str, serve: Callable[[_Connection, _Pauses], Awaitable[None]]
    ) -> None:
        """Run ``serve`` on a connection, and on a new one after each failure, until it returns."""
        pauses = _Pauses()
        while True:
            try:
                connection = await AsyncConnection.connect(**self._parameters, autocommit=True)
                async with connection:
                    await self._show_life(connection)
                    await serve(connection, pauses)
                    return
            except Exception as error:  # a defect must not stop notifications
                if pauses.failures == 0:
                    outage = isinstance(error, psycopg.Error | OSError | FailpointError)
                    _LOG.warning(
                        "notifications are interrupted",
                        extra={"task": task, "cause": type(error).__qualname__},
                        exc_info=not outage,
                    )
            await self._clock.sleep(pauses.next_s())

    async def _show_life(self, connection: _Connection) -> None:
        # So that the server notices a machine that is gone.
        await connection.execute(SET, (list(KEEPALIVES), list(KEEPALIVES.values())))
        await connection.execute(HOLD, (self._lock_key,))

    async def _send_on(self, connection: _Connection, pauses: _Pauses) -> None:
        self._own_backend = connection.info.backend_pid
        channel = await _channel(connection)
        while True:
            await self._announced.wait()
            self._announced.clear()
            await self._flush(connection, channel)
            pauses.reset()
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
        # PostgreSQL does not repeat what was sent before the LISTEN.
        self._notifier.notify_all()
        pauses.reset()
        self.listening.set()
        self._has_listened = True
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
            return  # this process notified its own followers at the commit
        _RECEIVED.reach()
        kind, channel = notification.payload[:1], notification.payload[1:]
        if kind == "=":
            self._notifier.notify(channel)
        elif notification.payload == _ALL_CHANNELS:
            self._notifier.notify_all()
        else:
            for followed in self._notifier.channels():
                if payload_of(followed) == notification.payload:
                    self._notifier.notify(followed)

    def _add(self, payloads: Iterable[str]) -> bool:
        """Queue ``payloads``; return whether the queue was empty before."""
        with self._lock:
            first = not self._pending
            self._pending.update(payloads)
            if _ALL_CHANNELS in self._pending or len(self._pending) > MOST_CHANNELS:
                self._pending = {_ALL_CHANNELS}
            return first and bool(self._pending)


class _Pauses:
    """Pauses between attempts to connect: random, doubling, at most ``_LONGEST_PAUSE_S``."""

    def __init__(self) -> None:
        self.failures = 0

    def reset(self) -> None:
        self.failures = 0

    def next_s(self) -> float:
        longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self.failures, 16))
        self.failures += 1
        return random.uniform(longest_s / 2, longest_s)  # noqa: S311  # no secret


@asynccontextmanager
async def notify_bridge(url: str, notifier: Notifier, clock: Clock) -> AsyncIterator[NotifyBridge]:
    """Exchange notifications during the block; an unreachable server is tried again.

    ``announce`` does not notify ``notifier``: the store does so itself after a commit.
    """
    bridge = NotifyBridge(url, notifier, clock)
    sending = asyncio.ensure_future(bridge.send())
    listening = asyncio.ensure_future(bridge.listen())
    try:
        yield bridge
    finally:
        bridge.close()
        await asyncio.wait({sending}, timeout=_LAST_SEND_S)
        for task in (sending, listening):
            task.cancel()
        await asyncio.gather(sending, listening, return_exceptions=True)


def payload_of(channel: str) -> str:
    """Return the channel's name, or a digest if PostgreSQL would refuse the name as a payload."""
    encoded = channel.encode()
    if len(encoded) < MOST_PAYLOAD_BYTES and b"\0" not in encoded:
        return f"={channel}"
    return f"#{hashlib.sha256(encoded).hexdigest()}"


async def _channel(connection: _Connection) -> str:
    """Name a NOTIFY channel per schema, since NOTIFY reaches every schema of a database."""
    found = await (await connection.execute("SELECT current_schema()")).fetchone()
    schema = str(found[0] if found else None)
    return f"wake_{hashlib.sha256(schema.encode()).hexdigest()[:32]}"
