"""Two run control servers on one database: what one of them does, the other does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import pytest

from services.chassis.caller import LOCAL_PRINCIPAL
from services.chassis.ids import Uuid7Source
from services.chassis.notifier import LocalNotifier
from services.chassis.store.opening import open_store
from services.content.model import FinishReason, Message, Role, Text, ToolCall, Usage
from services.runcontrol.api.events import ProtobufCodec
from services.runcontrol.core.claiming import LEASE_S
from services.runcontrol.core.exchange import Verdict, VerdictKind
from services.runcontrol.core.execution import Claim, Execution
from services.runcontrol.core.model import RunState
from services.runcontrol.core.runcontrol import DecideCommand, Encoders, RunControl
from services.runcontrol.core.stepping import Answer, Infer
from services.runcontrol.core.submission import SubmitCommand, Submitted
from services.runcontrol.core.tickets import Decided, DecisionOutcome
from services.runcontrol.store.runcontrol_store import SqlRunControlStore
from services.runcontrol.store.tables import MIGRATIONS, metadata
from tests.contract.runcontrol.conftest import Suite
from tests.support import scenario as s
from tests.support.clock import ManualClock
from tests.support.engines import on_postgresql
from tests.unit.runcontrol.world import ASK_TOOL, FixedCatalogs, agent

ENCODE = Encoders(*[lambda value: repr(value).encode()] * 4)
GUARDED = ToolCall("m1", ASK_TOOL, '{"body": "hi", "pool_id": "room"}')
ASKS = Answer(
    Message(Role.ASSISTANT, (GUARDED,)), FinishReason.TOOL_CALLS, Usage(1, 1), (0, 0), "model"
)


class Server:
    """The use cases of one server."""

    def __init__(self, store: SqlRunControlStore, clock: ManualClock, name: str) -> None:
        ids = Uuid7Source(clock)
        self.store = store
        self.runs = RunControl(store, FixedCatalogs({"helper": agent()}), clock, ids, ENCODE)
        self.execution = Execution(store, clock, ids, name, lambda: 1.0)

    async def submit(self, thread_id: str) -> Submitted:
        said = Message(Role.USER, (Text("go"),))
        command = SubmitCommand((said,), thread_id=thread_id, agent_id="helper")
        submitted = await self.runs.submit(LOCAL_PRINCIPAL, command, None)
        assert isinstance(submitted, Submitted)
        return submitted

    async def state(self, run_id: str) -> RunState:
        return (await self.runs.view(LOCAL_PRINCIPAL, run_id)).run.state


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@asynccontextmanager
async def on_one_database(url: str, clock: ManualClock) -> AsyncIterator[tuple[Server, Server]]:
    async with AsyncExitStack() as stack:
        servers = []
        for name in ("first", "second"):
            opened = open_store(
                url,
                metadata=metadata,
                migrations=MIGRATIONS,
                clock=clock,
                notifier=LocalNotifier(clock),
            )
            store = SqlRunControlStore(
                await stack.enter_async_context(opened), ProtobufCodec(), clock
            )
            servers.append(Server(store, clock, name))
        yield servers[0], servers[1]


@pytest.fixture
async def both(urls: dict[str, str], clock: ManualClock) -> AsyncIterator[tuple[Server, Server]]:
    async with on_one_database(urls["runcontrol"], clock) as servers:
        yield servers


Both = tuple[Server, Server]


@on_postgresql
async def test_two_claimers_never_get_one_dispatch(both: Both) -> None:
    # given forty threads with work
    first, second = both
    for number in range(40):
        await first.submit(f"t-{number}")

    # when both claim again and again, at once
    rounds = [server.execution.claim(4) for _ in range(6) for server in both]
    claims: list[Claim] = [each for found in await asyncio.gather(*rounds) for each in found]
    claims += await second.execution.claim(40)

    # then each run was claimed once
    assert len(claims) == 40
    assert len({claimed.run.run_id for claimed in claims}) == 40
    assert {(claimed.fence, claimed.attempt) for claimed in claims} == {(1, 1)}


@on_postgresql
async def test_a_thread_that_two_begin_at_once_is_one_thread(both: Both) -> None:
    # when both servers take input for a thread that is new to both
    submitted = await asyncio.gather(*(server.submit("new") for _ in range(4) for server in both))

    # then its runs stand one behind the other
    assert sum(each.running for each in submitted) == 1
    claims = [await both[0].execution.claim(8), await both[1].execution.claim(8)]
    assert [len(found) for found in claims] == [1, 0]
    feeds = [await both[0].runs.events(LOCAL_PRINCIPAL, each.run_id, 0, 100) for each in submitted]
    assert [feed.head for feed in feeds].count(2) == 7


@on_postgresql
async def test_of_two_decisions_at_once_one_wins_and_the_other_is_told(both: Both) -> None:
    for number in range(5):
        # given a ticket
        first, _ = both
        run_id = (await first.submit(f"t-{number}")).run_id
        claims = await first.execution.claim(10)
        claimed = next(each for each in claims if each.run.run_id == run_id)
        assert claimed.specs is not None
        assert await first.execution.advance(claimed, "") == Infer(1)
        await first.execution.answered(claimed, claimed.specs, ASKS, "")
        (ticket,) = (await first.runs.view(LOCAL_PRINCIPAL, run_id)).open_tickets

        # when it is decided on both servers at once
        async def decide(server: Server, name: str, ticket_id: str = ticket.ticket_id) -> Decided:
            verdict = Verdict(VerdictKind.APPROVE if name == "a" else VerdictKind.DENY)
            command = DecideCommand(name, verdict, ticket_id=ticket_id)
            decided = await server.runs.decide(LOCAL_PRINCIPAL, command, None)
            assert isinstance(decided, Decided)
            return decided

        decided = await asyncio.gather(decide(both[0], "a"), decide(both[1], "b"))

        # then one has decided it
        outcomes = sorted(each.outcome.value for each in decided)
        assert outcomes == [DecisionOutcome.ACCEPTED.value, DecisionOutcome.CONFLICT.value]


@on_postgresql
async def test_a_lost_lease_is_freed_once_and_a_renewed_one_never(
    both: Both, clock: ManualClock
) -> None:
    first, second = both
    for number in range(4):
        await first.submit(f"t-{number}")
    lost = await first.execution.claim(2)
    kept = await first.execution.claim(2)

    # given two leases that nobody renews, and two that their owner renews in time
    clock.advance(LEASE_S - 1)
    held = frozenset((c.run.tenant, c.run.thread_id, c.fence) for c in kept)
    assert len(await first.execution.renew(held)) == 2
    clock.advance(2)

    # when both servers sweep at once
    freed = await asyncio.gather(*(s.execution.reclaim_lapsed() for s in (*both, *both)))

    # then what is lost is free for another claim, once
    assert sum(freed) == 2
    again = await second.execution.claim(10)
    assert {c.run.run_id for c in again} == {c.run.run_id for c in lost}
    assert [c.attempt for c in again] == [2, 2]


@on_postgresql
async def test_a_sweep_that_comes_late_leaves_the_next_owner_alone(
    both: Both, clock: ManualClock
) -> None:
    # given a lease that ran out, was freed and is held again
    first, second = both
    await first.submit("t")
    await first.execution.claim(1)
    clock.advance(LEASE_S + 1)
    (lapsed,) = await first.store.write(lambda tx: tx.lapsed(clock.now(), 10))
    assert await second.execution.reclaim_lapsed() == 1
    (claimed,) = await second.execution.claim(1)

    # when a server that saw it run out comes to free it
    freed = await first.store.write(lambda tx: first.execution._reclaim_lapsed(lapsed, tx))

    # then the new owner goes on
    assert freed == 0
    assert await second.execution.advance(claimed, "") == Infer(1)


@on_postgresql
async def test_a_sweep_that_comes_late_leaves_a_renewed_lease_alone(
    both: Both, clock: ManualClock
) -> None:
    # given a lease that ran out, and was renewed by an owner that was slow
    first, second = both
    await first.submit("t")
    (claimed,) = await first.execution.claim(1)
    clock.advance(LEASE_S + 1)
    (lapsed,) = await second.store.write(lambda tx: tx.lapsed(clock.now(), 10))
    await first.execution.renew(
        frozenset({(claimed.run.tenant, claimed.run.thread_id, claimed.fence)})
    )

    # when a server that saw it run out comes to free it
    freed = await second.store.write(lambda tx: second.execution._reclaim_lapsed(lapsed, tx))

    # then its owner goes on
    assert freed == 0
    assert await first.execution.advance(claimed, "") == Infer(1)


@on_postgresql
async def test_deadlines_are_swept_once(both: Both, clock: ManualClock) -> None:
    submitted = [await both[0].submit(f"t-{number}") for number in range(3)]
    clock.advance(timedelta(hours=25).total_seconds())

    await asyncio.gather(*(server.execution.expire_due() for server in (*both, *both)))

    assert [await both[1].state(each.run_id) for each in submitted] == [RunState.DONE] * 3
    for each in submitted:
        feed = await both[0].runs.events(LOCAL_PRINCIPAL, each.run_id, 0, 100)
        assert feed.head == 3  # queued, its input, its end


@on_postgresql
async def test_runs_submitted_to_one_server_are_executed_by_both(
    suite: Suite, urls: dict[str, str]
) -> None:
    """The whole service twice: work is shared, streams are heard on the other server."""
    # given an agent, a second server, and few slots in each
    version = await s.apply(
        suite.channel("registry"),
        s.builtin_provider("p", s.replying("one two"), delta_interval_ms=5),
        s.model("m", "p"),
        s.agent("a", "m"),
    )
    await suite.stop_runcontrol()
    await suite.start_runcontrol(max_concurrent_runs=2)
    async with suite.another_runcontrol(max_concurrent_runs=2) as other:
        # when runs are submitted to the first and followed on the second
        run_ids = [
            await s.submit(suite.channel("runcontrol"), "a", "go", min_version=version)
            for _ in range(12)
        ]
        told = await asyncio.gather(*(s.follow_to_end(other.channel, each) for each in run_ids))

    # then each was executed once, without a repetition
    for events in told:
        kinds = s.kinds(events)
        assert kinds.count("run_started") == kinds.count("run_finished") == 1
        assert "step_reset" not in kinds
        assert s.uncovered_gaps(events) == []
