"""The use cases of a pool on a store that the test chooses, with short names for commands."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Self, TypeVar

import pytest

from services.chassis.caller import LOCAL_PRINCIPAL, Caller, Principal, Replay, Role
from services.chassis.errors import DomainError
from services.pool.core.events import EventFilter, Wake, WakeCondition
from services.pool.core.inboxes import AckCommand, FetchCommand, Inboxes
from services.pool.core.joining import JoinCommand, Joined
from services.pool.core.journal import PoolCommands
from services.pool.core.messages import Messages
from services.pool.core.model import (
    Address,
    Answer,
    Content,
    ContentRef,
    Draft,
    PolicyRef,
    Pool,
    PoolConfig,
    Receipt,
    TargetKind,
)
from services.pool.core.pools import Pools
from services.pool.core.ports import Store
from services.pool.core.results import Acked, Fetched, Responded, Sent
from services.pool.core.timers import Timers
from services.pool.core.wake_settlement import WakeSettlement
from services.pool.core.wakes import Wakes
from tests.support.clock import ManualClock
from tests.support.ids import SequentialIds
from tests.support.memory_pool import MemoryPoolStore

T = TypeVar("T")
E = TypeVar("E", bound=DomainError)

POOL = "pool-1"
# Addresses: of the run, agent or topic that they are called with.
run, agent, topic = (
    partial(Address, kind) for kind in (TargetKind.RUN, TargetKind.AGENT, TargetKind.TOPIC)
)


def policy(name: str, version: str = "") -> PolicyRef:
    return PolicyRef("host", name, version)


def everyone(pool_id: str = POOL) -> Address:
    return Address(TargetKind.POOL, pool_id)


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


@dataclass
class PoolService:
    """Every use case of one pool service.

    Attributes:
        caller: Who acts unless a test says otherwise.
    """

    store: Store = field(default_factory=MemoryPoolStore)
    clock: ManualClock = field(default_factory=ManualClock)
    ids: SequentialIds = field(default_factory=SequentialIds)
    caller: Caller = field(default_factory=lambda: Caller(LOCAL_PRINCIPAL))

    def __post_init__(self) -> None:
        self.commands = PoolCommands(self.store, self.clock, self.ids)
        self.pools = Pools(self.commands)
        self.messages = Messages(self.commands)
        self.inboxes = Inboxes(self.commands)
        self.wakes = Wakes(self.commands)
        self.timers = Timers(self.commands)
        self.settlement = WakeSettlement(self.commands)

    @property
    def memory(self) -> Any:
        """The tables of the memory store."""
        store: Any = self.store
        return store.of().t

    def kinds(self, pool_id: str = POOL) -> list[str]:
        """The log of a pool, by kind, in order."""
        return [event.kind.value for owner, event, _, _ in self.memory.log if owner == pool_id]

    async def opened(self, *run_ids: str, config: PoolConfig | None = None) -> Self:
        """Itself, once the pool is open and each run has joined it as the same agent."""
        await self.open(config)
        for run_id in run_ids:
            await self.join(run_id)
        return self

    async def open(self, config: PoolConfig | None = None, pool_id: str = POOL) -> Pool:
        return _done(await self.pools.open(self.caller, pool_id, config or PoolConfig())).pool

    async def join(
        self,
        run_id: str,
        agent_id: str = "agent",
        *topics: str,
        policies: tuple[PolicyRef, ...] = (),
        caller: Caller | None = None,
        pool_id: str = POOL,
    ) -> Joined:
        command = JoinCommand(run_id, agent_id, topics, policies)
        return _done(await self.pools.join(caller or self.caller, pool_id, command))

    async def send(self, draft: Draft, caller: Caller | None = None, pool_id: str = POOL) -> Sent:
        return _done(await self.messages.send(caller or self.caller, pool_id, draft))

    async def receipt(self, message_id: str, pool_id: str = POOL) -> Receipt:
        return (await self.messages.get(self.caller, pool_id, message_id)).record.receipt

    async def respond(
        self, run_id: str, request_id: str, key: str, content: Content | None = None, **more: Any
    ) -> Responded:
        answer = Answer(request_id, run_id, content or ContentRef("answer"), key, **more)
        return _done(await self.messages.respond(self.caller, POOL, answer))

    async def fetch(
        self,
        run_id: str,
        *message_ids: str,
        limit: int = 16,
        lease_s: float = 30,
        caller: Caller | None = None,
    ) -> Fetched:
        command = FetchCommand(run_id, limit, seconds(lease_s), message_ids)
        return _done(await self.inboxes.fetch(caller or self.caller, POOL, command))

    async def ack(self, run_id: str, message_id: str, token: str) -> Acked:
        command = AckCommand(run_id, message_id, token)
        return _done(await self.inboxes.ack(self.caller, POOL, command))

    async def suspend(
        self, condition: WakeCondition, caller: Caller | None = None, pool_id: str = POOL
    ) -> Wake:
        return _done(await self.wakes.suspend_until(caller or self.caller, pool_id, condition)).wake

    async def wake(self, condition_id: str, pool_id: str = POOL) -> Wake:
        return (await self.wakes.get(self.caller, pool_id, condition_id)).wake

    async def fire_due(self) -> int:
        """Fire every timer that is due; return how many."""
        pending = await self.store.due_timers(1000)
        due = [each for each in pending if each.timer.due_time <= self.clock.now()]
        for each in due:
            await self.timers.fire(each)
        return len(due)


def draft(to: Address, key: str, sender: str = "run-a", **more: Any) -> Draft:
    content = more.pop("content", ContentRef("content"))
    return Draft(sender, to, content, key, more.pop("message_id", f"m-{key}"), **more)


def condition(run_id: str, key: str, *filters: EventFilter, **more: Any) -> WakeCondition:
    return WakeCondition(f"c-{key}", run_id, filters or (EventFilter(),), key, **more)


def caller_as(name: str, *roles: Any, behalf: str | None = None, trace: str = "") -> Caller:
    principal = Principal("default", frozenset(roles), name, behalf)
    return Caller(principal, "/method", traceparent=trace)


async def refused(error: type[E], call: Awaitable[object]) -> E:
    """The error with which ``call`` is refused."""
    with pytest.raises(error) as refusal:
        await call
    return refusal.value


BOB = caller_as("bob", Role.AGENT)


def _done(answer: T | Replay) -> T:
    assert not isinstance(answer, Replay)
    return answer
