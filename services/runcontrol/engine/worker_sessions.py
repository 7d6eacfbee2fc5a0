"""The sessions of tool workers with this process, and the loops that give them calls.

give_forever   gives calls that wait to sessions that have room, and asks about lost ones
stop_forever   tells workers about calls that are not wanted any more
sweep_forever  ends what was not taken, accepted, renewed or ended in time, and says why calls wait
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import suppress

from services.chassis.caller import Caller
from services.chassis.clock import Clock
from services.chassis.drain import Drain
from services.chassis.errors import DomainError
from services.chassis.follow.notifier import Notifier
from services.chassis.ids import IdSource
from services.runcontrol.core.errors import (
    OutOfSequenceError,
    ProtocolUnsupportedError,
    SessionFencedError,
)
from services.runcontrol.core.ports import CALLS, CALLS_ENDED, CallKey, Wanted
from services.runcontrol.core.tool_workers import Progress, ToolWorkers
from services.runcontrol.core.worker_calls import CallRef, ResultOutcome, refuse_foreign_tools
from services.runcontrol.core.worker_messages import (
    PROTOCOL,
    Accept,
    Credit,
    Finding,
    FromWorker,
    GivenCall,
    Go,
    Handback,
    Heartbeat,
    Hello,
    Leases,
    NeedInput,
    Result,
    ResultAck,
    ServerStops,
    StopCall,
    StopGiving,
    ToWorker,
    Verdict,
    Welcome,
)
from services.runcontrol.engine import telemetry_names as names
from services.runcontrol.engine.probing import Probing
from services.runcontrol.engine.withholding import Withholding
from services.runcontrol.engine.worker_session import Session

# No notification says that a pause before another attempt has ended.
POLL_S = 0.5
SWEEP_EVERY_S = 1.0

log = logging.getLogger(__name__)


class LiveSessions:
    """Implements ``WorkerSessions``."""

    def __init__(
        self,
        workers: ToolWorkers,
        notifier: Notifier,
        clock: Clock,
        ids: IdSource,
        drain: Drain,
    ) -> None:
        self._workers = workers
        self._notifier = notifier
        self._clock = clock
        self._ids = ids
        self._drain = drain
        self._sessions: dict[tuple[str, str], Session] = {}
        self._probing = Probing(workers)
        self._withholding = Withholding(workers)

    async def serve(
        self, caller: Caller, first: FromWorker | None, messages: AsyncIterator[FromWorker]
    ) -> AsyncGenerator[ToWorker, None]:
        session = await self._begin(caller, first)
        tasks: list[asyncio.Future[None]] = []
        try:
            await self._welcome(session)
            work = (self._read(session, messages), self._tell_of_drain(session))
            tasks += [asyncio.ensure_future(each) for each in work]
            while (message := await session.out.get()) is not None:
                if isinstance(message, BaseException):
                    raise message
                yield message
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._end(session)

    async def _begin(self, caller: Caller, first: FromWorker | None) -> Session:
        if not isinstance(first, Hello):
            raise OutOfSequenceError.of()
        if not first.oldest_protocol <= PROTOCOL <= first.newest_protocol:
            raise ProtocolUnsupportedError.of(
                first.oldest_protocol, first.newest_protocol, PROTOCOL
            )
        tools = [tool.tool_id for tool in first.tools]
        refuse_foreign_tools(caller.principal, tools)
        tenant, worker = caller.tenant, first.worker
        epoch = await self._workers.begin_session(tenant, worker, tools, first.labels)
        session = Session(caller, first, epoch)
        older = self._sessions.get(session.key)
        if older is not None:
            older.out.put_nowait(SessionFencedError.of(first.worker.instance_id))
        self._sessions[session.key] = session
        return session

    async def _welcome(self, session: Session) -> None:
        """Tell a worker how it is to go on, and take the results that it brought along."""
        hello, times = session.hello, self._workers.times
        verdicts = await self._judge(session, hello.inflight)
        session.out.put_nowait(Welcome(self._ids.new_id(), session.epoch, times, verdicts))
        kept = [ref for ref, verdict in verdicts if verdict is Verdict.KEEP]
        lost = tuple((ref, None) for ref in kept if ref not in session.refs())
        if lost:
            # They may ask, and no more: one that still runs stops.
            session.out.put_nowait(Leases(lost))
        for result in hello.undelivered:
            await self._take_result(session, result)

    async def _judge(
        self, session: Session, inflight: Iterable[CallRef]
    ) -> tuple[tuple[CallRef, Verdict], ...]:
        """What becomes of the attempts that a worker brought along.

        Also a lost one is kept as long as it may ask: it may have, and nobody heard it.
        """
        refs, tenant, worker = list(inflight), session.tenant, session.hello.worker
        held = await self._workers.held(tenant, worker, refs)
        session.held.update((ref.call_id, (tool_id, ref)) for ref, tool_id in held.items())
        verdicts = []
        for ref in refs:
            kept = ref in held or await self._workers.may_ask(tenant, worker, ref)
            verdicts.append((ref, Verdict.KEEP if kept else Verdict.ABANDON))
        return tuple(verdicts)

    async def _end(self, session: Session) -> None:
        if self._sessions.get(session.key) is session:
            del self._sessions[session.key]
        # Its accepted calls keep their leases: the worker may come back with them.
        with suppress(DomainError):
            await self._workers.lose_unaccepted(
                session.tenant, session.hello.worker, session.refs()
            )

    async def _read(self, session: Session, messages: AsyncIterator[FromWorker]) -> None:
        """Take what the worker says, until it leaves or is silent for as long as a lease."""
        try:
            while True:
                coming = asyncio.ensure_future(anext(messages, None))
                silence = asyncio.ensure_future(self._clock.sleep(self._workers.times.lease_s))
                try:
                    await asyncio.wait({coming, silence}, return_when=asyncio.FIRST_COMPLETED)
                    message = coming.result() if coming.done() else None
                finally:
                    for each in (coming, silence):
                        each.cancel()
                    await asyncio.gather(coming, silence, return_exceptions=True)
                if message is None:
                    session.out.put_nowait(None)
                    return
                await self._take(session, message)
        except Exception as error:  # ends the session with it
            session.out.put_nowait(error)

    async def _take(self, session: Session, message: FromWorker) -> None:
        tenant, worker = session.tenant, session.hello.worker
        match message:
            case Hello():
                raise OutOfSequenceError.of()
            case Credit(calls):
                session.credit += calls
                self._notifier.notify(CALLS)
            case Accept(ref):
                await self._take_acceptance(session, ref)
            case Heartbeat(calls):
                await self._take_heartbeat(session, calls)
            case Result():
                await self._take_result(session, message)
            case Finding():
                await self._probing.take(session, message)
            case NeedInput():
                await self._take_question(session, message)
            case Handback(ref):
                session.drop(ref)
                await self._workers.hand_back(tenant, worker, ref)
            case StopGiving():
                session.stopped = True

    async def _take_acceptance(self, session: Session, ref: CallRef) -> None:
        accepted = await self._workers.accept(session.tenant, session.hello.worker, ref)
        if not accepted.is_owner:
            session.drop(ref)
            session.out.put_nowait(Leases(((ref, None),)))
        elif accepted.awaits_go:
            session.out.put_nowait(Go(ref))

    async def _take_heartbeat(self, session: Session, calls: Sequence[Progress]) -> None:
        tenant, worker = session.tenant, session.hello.worker
        if await self._workers.newest_session(tenant, worker) != session.epoch:
            raise SessionFencedError.of(worker.instance_id)
        leases = await self._workers.extend(tenant, worker, calls)
        for ref, until in leases:
            if until is None:
                session.drop(ref)
        session.out.put_nowait(Leases(tuple(leases)))

    async def _take_result(self, session: Session, result: Result) -> None:
        worker_id = session.hello.worker.worker_id
        outcome = await self._workers.report(session.caller, result.ref, result.outcome, worker_id)
        session.drop(result.ref)
        if isinstance(outcome, ResultOutcome):
            session.out.put_nowait(ResultAck(result.ref, outcome))
        self._notifier.notify(CALLS)

    async def _take_question(self, session: Session, asked: NeedInput) -> None:
        worker = session.hello.worker
        outcome = await self._workers.ask(
            session.tenant, worker, asked.ref, asked.question, asked.sealed_state
        )
        session.drop(asked.ref)
        session.out.put_nowait(ResultAck(asked.ref, outcome))
        self._notifier.notify(CALLS)

    async def _tell_of_drain(self, session: Session) -> None:
        """End the session when the server stops: its calls keep their leases, and the worker comes
        back with them.
        """
        await self._drain.wait()
        session.stopped = True
        session.out.put_nowait(ServerStops(self._clock.now()))
        session.out.put_nowait(None)

    async def give_forever(self) -> None:
        """Give calls when some become ready or a worker has room, and every 500 ms."""
        with (
            self._notifier.signal(CALLS) as signal,
            names.WORKERS.observing(lambda: [(len(self._sessions), {})]),
            names.CREDIT.observing(lambda: [(self._credit(), {})]),
        ):
            while True:
                try:
                    await self._give()
                    await self._probing.ask(list(self._sessions.values()))
                except DomainError as error:
                    log.warning("no calls given to workers", exc_info=error)
                await signal.wait(POLL_S)

    def _credit(self) -> int:
        # Read by the thread that exports metrics.
        return sum(each.credit for each in list(self._sessions.values()) if not each.stopped)

    async def _give(self) -> None:
        now = self._sessions.values()
        for tenant, wanted in sorted({(each.tenant, w) for each in now for w in each.wanted()}):
            room = [each for each in self._sessions.values() if each.tenant == tenant]
            limit = sum(each.credit for each in room if each.has_room(wanted))
            for key in await self._workers.waiting(tenant, wanted, limit):
                await self._give_one(key, wanted)

    async def _give_one(self, key: CallKey, wanted: Wanted) -> None:
        """Give a call to the session with the most room."""
        sessions = [
            session
            for session in self._sessions.values()
            if session.tenant == key[0] and session.has_room(wanted)
        ]
        if not sessions:
            return
        session = max(sessions, key=lambda each: each.credit)
        session.credit -= 1
        taken = await self._workers.take(key, session.hello.worker)
        if taken is None:
            session.credit += 1
            return
        session.held[taken.call.call_id] = (wanted.tool_id, taken.ref)
        session.out.put_nowait(GivenCall(taken))
        if self._sessions.get(session.key) is not session:
            # It ended meanwhile, and did not know of this call.
            await self._workers.lose_unaccepted(key[0], session.hello.worker, [taken.ref])

    async def stop_forever(self) -> None:
        """Tell workers about calls that have ended without them."""
        with self._notifier.signal(CALLS_ENDED) as signal:
            while True:
                await signal.wait(self._workers.times.lease_s)
                try:
                    for session in [each for each in self._sessions.values() if each.held]:
                        await self._stop(session)
                except DomainError as error:
                    log.warning("workers not told of ended calls", exc_info=error)

    async def _stop(self, session: Session) -> None:
        refs = session.refs()
        held = await self._workers.held(session.tenant, session.hello.worker, refs)
        for ref in refs:
            if ref not in held and session.drop(ref):
                session.out.put_nowait(StopCall(ref, "the call is not wanted any more"))

    async def sweep_forever(self) -> None:
        """End overdue calls every second; never return."""
        while True:
            try:
                await self._workers.sweep()
                await self._withholding.explain(list(self._sessions.values()))
            except DomainError as error:
                log.warning("sweep of calls failed", exc_info=error)
            await self._clock.sleep(SWEEP_EVERY_S)
