"""The pool's use cases on a store of the test's choice, with short names for what tests do."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from services.chassis.caller import LOCAL_PRINCIPAL, Principal, Replay, RequestKey
from services.pool.core.events import EventFilter, Wake, WakeCondition
from services.pool.core.inboxes import AckCommand, FetchCommand, Inboxes
from services.pool.core.joining import JoinCommand, Joined
from services.pool.core.journal import Desk
from services.pool.core.messages import Messages
from services.pool.core.model import (
    Address,
    Answer,
    Caller,
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
from services.pool.core.ports import Encode, PoolStore
from services.pool.core.results import Acked, Fetched, Responded, Sent
from services.pool.core.telling import Telling
from services.pool.core.timing import Timers
from services.pool.core.wakes import Wakes
from tests.support.clock import ManualClock
from tests.support.ids import SequentialIds
from tests.support.pool_memory import MemoryPoolStore

T = TypeVar("T")

POOL = "pool-1"


def policy(name: str, version: str = "") -> PolicyRef:
    return PolicyRef("host", name, version)


def run(run_id: str) -> Address:
    return Address(TargetKind.RUN, run_id)


def agent(agent_id: str) -> Address:
    return Address(TargetKind.AGENT, agent_id)


def topic(name: str) -> Address:
    return Address(TargetKind.TOPIC, name)


def everyone(pool_id: str = POOL) -> Address:
    return Address(TargetKind.POOL, pool_id)


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def _text(value: object) -> bytes:
    return repr(value).encode()


TEXT_ENCODE = Encode(*[_text] * 8)


@dataclass
class PoolDesk:
    """Every use case of one pool service.

    Attributes:
        caller: Who acts unless a test says otherwise.
    """

    store: PoolStore = field(default_factory=MemoryPoolStore)
    clock: ManualClock = field(default_factory=ManualClock)
    ids: SequentialIds = field(default_factory=SequentialIds)
    caller: Caller = field(default_factory=lambda: Caller(LOCAL_PRINCIPAL))

    def __post_init__(self) -> None:
        self.desk = Desk(self.store, self.clock, self.ids)
        self.pools = Pools(self.desk, TEXT_ENCODE)
        self.messages = Messages(self.desk, TEXT_ENCODE)
        self.inboxes = Inboxes(self.desk, TEXT_ENCODE)
        self.wakes = Wakes(self.desk, TEXT_ENCODE)
        self.timers = Timers(self.desk)
        self.telling = Telling(self.desk)

    @property
    def memory(self) -> Any:
        """The tables of the memory store."""
        store: Any = self.store
        return store.of().t

    def kinds(self, pool_id: str = POOL) -> list[str]:
        """The log of a pool, by kind, in order."""
        return [event.kind.value for owner, event, _, _ in self.memory.log if owner == pool_id]

    async def open(self, config: PoolConfig | None = None, pool_id: str = POOL) -> Pool:
        opened = _done(await self.pools.open(self.caller, pool_id, config or PoolConfig()))
        return opened.pool

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
        self,
        run_id: str,
        request_id: str,
        key: str,
        content: Content | None = None,
        **more: Any,
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
        suspended = await self.wakes.suspend_until(caller or self.caller, pool_id, condition)
        return _done(suspended).wake

    async def wake(self, condition_id: str, pool_id: str = POOL) -> Wake:
        return (await self.wakes.get(self.caller, pool_id, condition_id)).wake

    async def fire_due(self) -> int:
        """Fire every timer whose time has come; answer how many."""
        due = [
            each
            for each in await self.store.due_timers(1000)
            if each.timer.due_time <= self.clock.now()
        ]
        for each in due:
            await self.timers.fire(each)
        return len(due)


def draft(to: Address, key: str, sender: str = "run-a", **more: Any) -> Draft:
    content = more.pop("content", ContentRef("content"))
    return Draft(sender, to, content, key, more.pop("message_id", f"m-{key}"), **more)


def condition(run_id: str, key: str, *filters: EventFilter, **more: Any) -> WakeCondition:
    return WakeCondition(f"c-{key}", run_id, filters or (EventFilter(),), key, **more)


def as_(name: str, *roles: Any, behalf: str | None = None, trace: str = "") -> Caller:
    return Caller(Principal("default", frozenset(roles), name, behalf), None, trace)


def keyed(caller: Caller, key: str, digest: bytes = b"d") -> Caller:
    request = RequestKey(caller.principal.tenant, "/method", key, digest)
    return Caller(caller.principal, request, caller.traceparent)


def _done(answer: T | Replay) -> T:
    assert not isinstance(answer, Replay)
    return answer
