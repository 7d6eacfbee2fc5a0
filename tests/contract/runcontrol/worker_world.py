"""Run control and a worker that exchange one message at a time, and can be killed before each.

What is real: the use cases over a store, the sessions of the engine, the codec of the contract, and
the protocol of ``runyard_worker``. A killed side keeps what it has committed, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from runyard.worker.v1 import worker_pb2 as pb
from runyard.worker.v1 import worker_service_pb2 as service
from runyard_worker.session import Action, Find, Send, Session, Start, Stop
from services.chassis.drain import Drain
from services.chassis.errors import DomainError
from services.chassis.follow.notifier import LocalNotifier
from services.content.model import Approval, EffectClass
from services.runcontrol.api.worker_requests import from_worker
from services.runcontrol.api.worker_responses import to_worker
from services.runcontrol.core.exchange import Call, TicketState, VerdictKind
from services.runcontrol.core.model import RunState
from services.runcontrol.core.ports import CALLS, CALLS_ENDED
from services.runcontrol.core.specs import ToolSpec
from services.runcontrol.core.stepping import Infer
from services.runcontrol.core.tool_workers import ToolWorkers
from services.runcontrol.core.worker_calls import Worker
from services.runcontrol.core.worker_messages import FromWorker
from services.runcontrol.engine.worker_sessions import LiveSessions
from tests.support.callers import LOCAL
from tests.support.ids import SequentialIds
from tests.support.memory_runcontrol import MemoryStore
from tests.unit.runcontrol.in_memory_runcontrol import (
    InMemoryRunControl,
    agent,
    now,
    run_until_idle,
)

T = TypeVar("T")

HEARTBEAT_S = 5
# Far more than any exchange takes: one that takes more goes on for ever.
MOST_STEPS = 1_000
# Somebody served the tool before: else the run would be refused.
_ANNOUNCED = Worker("clerk", "start-0")


class KilledError(DomainError):
    """The process is dead: nothing that it tries is done."""


class Powered:
    """A store, as long as the process that uses it lives."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.alive = True

    async def write(self, fn: Callable[[Any], T]) -> T:
        if not self.alive:
            raise KilledError("killed")
        return await self._store.write(fn)

    write_first = write

    async def read(self, fn: Callable[[Any], T]) -> T:
        return await self._store.read(fn)


@dataclass(eq=False)
class Connection:
    """Messages under way, and what the server has heard; None there is the end."""

    to_server: deque[service.SessionRequest] = field(default_factory=deque)
    to_worker: deque[service.SessionResponse] = field(default_factory=deque)
    heard: asyncio.Queue[FromWorker | None] = field(default_factory=asyncio.Queue)
    serving: asyncio.Task[None] | None = None


class Server:
    """A life of run control's process."""

    def __init__(self, system: InMemoryRunControl, life: int) -> None:
        self.store = Powered(system.store)
        self.notifier = LocalNotifier(system.clock)
        ids = SequentialIds(f"life-{life}")
        workers = ToolWorkers(self.store, system.catalogs, system.clock, ids)  # type: ignore[arg-type]  # of tests
        self._live = LiveSessions(workers, self.notifier, system.clock, ids, Drain())
        loops = (self._live.give_forever(), self._live.stop_forever(), self._live.sweep_forever())
        self._tasks = [asyncio.ensure_future(each) for each in loops]

    def hear(self, connection: Connection, request: service.SessionRequest) -> None:
        if connection.serving is None:
            connection.serving = asyncio.ensure_future(self._serve(connection, request))
            self._tasks.append(connection.serving)
        else:
            connection.heard.put_nowait(from_worker(request))

    async def _serve(self, connection: Connection, first: service.SessionRequest) -> None:
        messages = _until_the_end(connection.heard)
        with contextlib.suppress(DomainError):
            async with aclosing(self._live.serve(LOCAL, from_worker(first), messages)) as said:
                async for message in said:
                    connection.to_worker.append(to_worker(message))

    async def kill(self) -> None:
        self.store.alive = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _until_the_end(heard: asyncio.Queue[FromWorker | None]) -> AsyncIterator[FromWorker]:
    while (message := await heard.get()) is not None:
        yield message


class WorkerProcess:
    """A life of a worker's process: its side of the protocol, and what it has to execute."""

    def __init__(self, life: int, tools: list[str]) -> None:
        self.session = Session(
            worker_id="clerk",
            instance_id=f"start-{life}",
            tools=[pb.ServedTool(tool_id=tool) for tool in tools],
            labels=(),
            room=2,
        )
        # Each with the time at which its effect happens.
        self.to_execute: list[tuple[float, pb.Call]] = []


class World:
    """One run whose model asks for one call of a tool, and everything that takes part in it.

    Args:
        effect_after_s: Seconds from the start of an execution to its effect.
        effect_first: An effect that is due happens before messages under way arrive.

    Attributes:
        ledger: Of each effect that has happened: its key and the fence of the attempt.
        steps: How often each step was reached.
    """

    def __init__(
        self,
        effect: EffectClass,
        store: MemoryStore,
        effect_after_s: float = 0.0,
        *,
        effect_first: bool = False,
    ) -> None:
        tool = ToolSpec("lookup", "", "{}", effect, Approval.ALLOW, None, "v1")
        self.system = InMemoryRunControl(agent(tools=(tool,)), store)
        self.ledger: list[tuple[str, int]] = []
        self.steps: Counter[str] = Counter()
        self._effect_after_s = effect_after_s
        self._effect_first = effect_first
        self._lives = 0
        self._beaten_s = 0.0
        self.server = self._new_server()
        self.worker = self._new_worker()
        self.connection: Connection | None = None

    @property
    def call(self) -> Call:
        return self.system.call()

    @property
    def asks(self) -> bool:
        """Whether a person is asked what has become of the call."""
        tickets = self.system.tables.tickets.values()
        return any(each.state is TicketState.OPEN for each in tickets)

    @property
    def over(self) -> bool:
        return self.system.run().state is RunState.DONE

    def begin(self) -> None:
        """Let the model ask for the call."""
        now(self.system.workers.begin_session("default", _ANNOUNCED, ["lookup"], ()))
        self.system.start(("lookup", '{"order": 4711}'))

    def next_step(self) -> str:
        """What comes next: a message that arrives, the effect, or ``time``."""
        connection = self.connection
        now_s = self.system.clock.monotonic_s()
        due = any(at_s <= now_s for at_s, _ in self.worker.to_execute)
        if due and self._effect_first:
            return "effect"
        if connection is None:
            return "connect"
        if connection.to_server:
            return str(connection.to_server[0].WhichOneof("message"))
        if connection.to_worker:
            return str(connection.to_worker[0].WhichOneof("message"))
        return "effect" if due else "time"

    async def step(self) -> None:
        """Let the next thing happen, and everything that follows from it at once."""
        name = self.next_step()
        self.steps[name] += 1
        assert self.steps.total() <= MOST_STEPS, f"the exchange does not end: {self.steps}"
        connection = self.connection
        if name == "effect":
            self._execute()
        elif connection is None:
            self._connect()
        elif connection.to_server:
            self.server.hear(connection, connection.to_server.popleft())
        elif connection.to_worker:
            self._do(self.worker.session.heard(connection.to_worker.popleft()))
        else:
            self._pass_a_second()
        await self._settle()

    async def lose_connection(self, *, noticed: bool = True) -> None:
        """What is under way is lost.

        Args:
            noticed: Whether run control notices at once, and not by silence.
        """
        connection, self.connection = self.connection, None
        if connection is not None and noticed:
            connection.heard.put_nowait(None)
        await self._settle()

    async def be_away(self, seconds: int) -> None:
        """Let time pass without a connection."""
        await self.lose_connection()
        for _ in range(seconds):
            self._pass_a_second()
            await self._settle()

    def ask(self, question: str) -> None:
        """Let the tool that executes end its attempt with a question."""
        _, call = self.worker.to_execute.pop()
        self._do(self.worker.session.asked(pb.NeedInput(ref=call.ref, question=question)))

    async def kill_worker(self, *, noticed: bool = True) -> None:
        self.worker = self._new_worker()
        await self.lose_connection(noticed=noticed)

    async def kill_server(self) -> None:
        await self.server.kill()
        self.connection = None
        self.server = self._new_server()
        await self._settle()

    def decide_by_the_ledger(self) -> None:
        """A person says that it happened if it did, and else gives the call up."""
        kind = VerdictKind.HAPPENED if self.ledger else VerdictKind.ABANDON
        self.system.decide(kind, "so")

    async def aclose(self) -> None:
        await self.server.kill()

    def _new_server(self) -> Server:
        self._lives += 1
        return Server(self.system, self._lives)

    def _new_worker(self) -> WorkerProcess:
        self._lives += 1
        return WorkerProcess(self._lives, ["lookup"])

    def _connect(self) -> None:
        self.connection = Connection()
        self._do(self.worker.session.connected())

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(message):
                    if self.connection is not None:
                        self.connection.to_server.append(message)
                case Start(call):
                    at_s = self.system.clock.monotonic_s() + self._effect_after_s
                    self.worker.to_execute.append((at_s, call))
                case Stop(call_id):
                    left = self.worker.to_execute
                    left[:] = [each for each in left if each[1].ref.tool_call_id != call_id]
                case Find(probe):
                    self._do(self.worker.session.found(self._found(probe)))

    def _execute(self) -> None:
        _, call = self.worker.to_execute.pop(0)
        self.ledger.append((call.idempotency_key, call.ref.fence))
        succeeded = pb.Succeeded(content=f"effect {len(self.ledger)}")
        self._do(self.worker.session.ended(pb.Result(ref=call.ref, succeeded=succeeded)))

    def _found(self, probe: pb.Probe) -> pb.ProbeResult:
        """What the ledger says of a lost attempt."""
        happened = any(key == probe.idempotency_key for key, _ in self.ledger)
        effect = pb.EFFECT_DONE if happened else pb.EFFECT_NONE
        content = f"effect {len(self.ledger)}" if happened else ""
        return pb.ProbeResult(ref=probe.ref, effect=effect, content=content)

    def _pass_a_second(self) -> None:
        self.system.clock.advance(1.0)
        if self.system.clock.monotonic_s() - self._beaten_s >= HEARTBEAT_S:
            self._beaten_s = self.system.clock.monotonic_s()
            self._do(self.worker.session.beat())

    async def _settle(self) -> None:
        for claimed in self.system.claim():
            if isinstance(self.system.advance(claimed), Infer):
                self.system.answer(claimed)
        for channel in (CALLS, CALLS_ENDED):
            self.server.notifier.notify(channel)
        await run_until_idle()
