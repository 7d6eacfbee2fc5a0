"""Two run control servers on one database: every piece of work is done by one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import psycopg
import pytest

from services.chassis.follow.notifier import LocalNotifier
from services.chassis.ids import Uuid7Source
from services.chassis.store.opening import open_store
from services.chassis.store.port import Store
from services.content.model import FinishReason, Message, Role, Text, ToolCall, Usage
from services.runcontrol.api.codec import ProtobufCodec
from services.runcontrol.core.claiming import LEASE_S
from services.runcontrol.core.deciding import DecideCommand, Decisions
from services.runcontrol.core.errors import FencedError
from services.runcontrol.core.exchange import Verdict, VerdictKind
from services.runcontrol.core.execution import Claim, Execution
from services.runcontrol.core.model import RunState
from services.runcontrol.core.runcontrol import RunControl
from services.runcontrol.core.stepping import Infer, ModelAnswer
from services.runcontrol.core.submission import SubmitCommand, Submitted
from services.runcontrol.core.tickets import Decided, DecisionOutcome
from services.runcontrol.store.leases import RunLeases
from services.runcontrol.store.store import SqlStore
from services.runcontrol.store.tables import MIGRATIONS, metadata
from tests.contract.runcontrol.conftest import Suite
from tests.support import clients as s
from tests.support.callers import LOCAL
from tests.support.clock import ManualClock
from tests.support.engines import on_postgresql
from tests.support.event_order import uncovered_gaps
from tests.support.waiting import within_limit
from tests.unit.runcontrol.in_memory_runcontrol import ASK_TOOL, FixedCatalogs, agent

pytestmark = on_postgresql

GUARDED = ToolCall("m1", ASK_TOOL, '{"body": "hi", "pool_id": "room"}')
ASKS = ModelAnswer(
    Message(Role.ASSISTANT, (GUARDED,)),
    FinishReason.TOOL_CALLS,
    Usage(1, 1),
    model_id="model",
    refusals=("",),
)


class Server:
    """The use cases of one server."""

    def __init__(self, database: Store, clock: ManualClock, name: str) -> None:
        ids = Uuid7Source(clock)
        self.database = database
        self.store = store = SqlStore(database, ProtobufCodec(), clock)
        catalogs = FixedCatalogs({"helper": agent()})
        self.runs = RunControl(store, catalogs, clock, ids)
        self.decisions = Decisions(store, clock, ids)
        self.execution = Execution(store, catalogs, clock, ids, name, lambda: 1.0)

    async def submit(self, thread_id: str) -> Submitted:
        said = Message(Role.USER, (Text("go"),))
        command = SubmitCommand((said,), thread_id=thread_id, agent_id="helper")
        submitted = await self.runs.submit(LOCAL, command)
        assert isinstance(submitted, Submitted)
        return submitted

    async def state(self, run_id: str) -> RunState:
        return (await self.runs.view(LOCAL, run_id)).run.state


Both = tuple[Server, Server]


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def both(urls: dict[str, str], clock: ManualClock) -> AsyncIterator[Both]:
    """Two servers on one database."""
    async with AsyncExitStack() as stack:
        servers = []
        for name in ("first", "second"):
            notifier = LocalNotifier(clock)
            opened = open_store(
                urls["runcontrol"], metadata=metadata, migrations=MIGRATIONS, notifier=notifier
            )
            servers.append(Server(await stack.enter_async_context(opened), clock, name))
        yield servers[0], servers[1]


async def test_no_dispatch_is_claimed_by_two_servers(both: Both) -> None:
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


async def test_two_servers_that_create_a_thread_at_once_create_one(both: Both) -> None:
    # when both servers accept input for the same new thread
    submitted = await asyncio.gather(*(server.submit("new") for _ in range(4) for server in both))

    # then its runs are queued one after the other
    assert sum(each.running for each in submitted) == 1
    claims = [await both[0].execution.claim(8), await both[1].execution.claim(8)]
    assert [len(found) for found in claims] == [1, 0]
    feeds = [await both[0].runs.events(LOCAL, each.run_id, 0, 100) for each in submitted]
    assert [feed.head for feed in feeds].count(2) == 7


async def test_of_two_decisions_at_once_one_wins(both: Both) -> None:
    for number in range(5):
        # given a ticket
        first, second = both
        run_id = (await first.submit(f"t-{number}")).run_id
        claims = await first.execution.claim(10)
        claimed = next(each for each in claims if each.run.run_id == run_id)
        assert claimed.specs is not None
        assert await first.execution.advance(claimed, "") == Infer(1)
        await first.execution.commit_answer(claimed, claimed.specs, ASKS, "")
        (ticket,) = (await first.runs.view(LOCAL, run_id)).open_tickets

        # when it is decided on both servers at once
        approve = DecideCommand("a", Verdict(VerdictKind.APPROVE), ticket_id=ticket.ticket_id)
        deny = DecideCommand("b", Verdict(VerdictKind.DENY), ticket_id=ticket.ticket_id)
        calls = (first.decisions.decide(LOCAL, approve), second.decisions.decide(LOCAL, deny))
        decided = await asyncio.gather(*calls)

        # then one decided it, and the other is a conflict, not a repeat
        assert {type(each) for each in decided} == {Decided}
        outcomes = sorted(each.outcome.value for each in decided)
        assert outcomes == [DecisionOutcome.ACCEPTED.value, DecisionOutcome.CONFLICT.value]


async def test_no_change_of_a_ticket_appears_behind_a_reader(both: Both) -> None:
    # given twenty claimed runs, whose tickets are about to be opened by two servers
    work = []
    for number in range(20):
        server = both[number % 2]
        await server.submit(f"t-{number}")
        (claimed,) = await server.execution.claim(1)
        assert claimed.specs is not None
        assert await server.execution.advance(claimed, "") == Infer(1)
        work.append((server, claimed, claimed.specs))

    # when both open them at once, and a reader follows at one of the servers
    async def follow() -> list[int]:
        seen: list[int] = []
        while len(seen) < 20:
            after = seen[-1] if seen else 0
            feed = await both[1].runs.ticket_changes(LOCAL, after, 16)
            seen += [change.seq for change in feed.changes]
        return seen

    async with within_limit():
        seen, *_ = await asyncio.gather(
            follow(),
            *(s.execution.commit_answer(each, specs, ASKS, "") for s, each, specs in work),
        )

    # then it has seen each, in order: none became visible behind its cursor
    assert seen == list(range(1, 21))


async def test_a_lapsed_lease_is_freed_once_and_a_renewed_one_never(
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

    # then the lapsed ones are freed once
    assert sum(freed) == 2
    again = await second.execution.claim(10)
    assert {c.run.run_id for c in again} == {c.run.run_id for c in lost}
    assert [c.attempt for c in again] == [2, 2]


async def test_the_leases_of_a_dead_server_lapse_at_once_but_for_a_locked_one(
    both: Both, clock: ManualClock, urls: dict[str, str]
) -> None:
    # given a server that executes two runs and died, and one that executes a third
    first, second = both
    leases = RunLeases(clock)
    for number in range(3):
        await first.submit(f"t-{number}")
    lost = await first.execution.claim(2)
    (kept,) = await second.execution.claim(1)
    assert await second.database.read(lambda tx: sorted(leases.holders(tx))) == ["first", "second"]

    # when its leases are released while somebody has locked one of them
    with psycopg.connect(urls["runcontrol"]) as shell:
        shell.execute("SELECT * FROM lease WHERE thread_id = 't-0' FOR UPDATE")
        await second.database.write(lambda tx: leases.release(tx, "first"))
        assert await second.execution.reclaim_lapsed() == 1
    await second.database.write(lambda tx: leases.release(tx, "first"))
    assert await second.execution.reclaim_lapsed() == 1

    # then the second server may have the runs, and the first one may not write
    again = await second.execution.claim(10)
    assert {c.run.run_id for c in again} == {c.run.run_id for c in lost}
    for claimed in lost:
        with pytest.raises(FencedError):
            await first.execution.advance(claimed, "")
    assert await second.execution.advance(kept, "") == Infer(1)


async def test_a_late_sweep_does_not_free_the_next_owners_lease(
    both: Both, clock: ManualClock
) -> None:
    # given a thread whose lapsed lease was freed, and which is leased again
    first, second = both
    await first.submit("t")
    await first.execution.claim(1)
    clock.advance(LEASE_S + 1)
    (lapsed,) = await first.store.write(lambda tx: tx.lapsed(clock.now(), 10))
    assert await second.execution.reclaim_lapsed() == 1
    (claimed,) = await second.execution.claim(1)

    # when a server that saw the lapsed lease frees it
    freed = await first.store.write(lambda tx: first.execution._reclaim_lapsed(lapsed, tx))

    # then the new owner keeps its lease
    assert freed == 0
    assert await second.execution.advance(claimed, "") == Infer(1)


async def test_a_late_sweep_does_not_free_a_renewed_lease(both: Both, clock: ManualClock) -> None:
    # given a lapsed lease that a slow owner renewed
    first, second = both
    await first.submit("t")
    (claimed,) = await first.execution.claim(1)
    clock.advance(LEASE_S + 1)
    (lapsed,) = await second.store.write(lambda tx: tx.lapsed(clock.now(), 10))
    lease = (claimed.run.tenant, claimed.run.thread_id, claimed.fence)
    await first.execution.renew(frozenset({lease}))

    # when a server that saw the lapsed lease frees it
    freed = await second.store.write(lambda tx: second.execution._reclaim_lapsed(lapsed, tx))

    # then its owner keeps its lease
    assert freed == 0
    assert await first.execution.advance(claimed, "") == Infer(1)


async def test_deadlines_are_swept_once(both: Both, clock: ManualClock) -> None:
    submitted = [await both[0].submit(f"t-{number}") for number in range(3)]
    clock.advance(timedelta(hours=25).total_seconds())

    await asyncio.gather(*(server.execution.expire_due() for server in (*both, *both)))

    assert [await both[1].state(each.run_id) for each in submitted] == [RunState.DONE] * 3
    for each in submitted:
        feed = await both[0].runs.events(LOCAL, each.run_id, 0, 100)
        assert feed.head == 3  # queued, its input, its end


async def test_runs_submitted_to_one_server_are_executed_by_both(
    suite: Suite, urls: dict[str, str]
) -> None:
    """Two whole servers: both execute runs, and streams are served by the other one."""
    # given an agent, a second server, and few slots in each
    await suite.apply_agent("a", s.replying("one two"), delta_interval_ms=5)
    await suite.restart_runcontrol(max_concurrent_runs=2)
    async with suite.another_runcontrol(max_concurrent_runs=2) as other:
        # when runs are submitted to the first and followed on the second
        run_ids = [await suite.submit("a") for _ in range(12)]
        told = await asyncio.gather(*(s.follow_to_end(other.channel, each) for each in run_ids))

    # then each was executed once
    for events in told:
        kinds = s.kinds(events)
        assert kinds.count("run_started") == kinds.count("run_finished") == 1
        assert "step_reset" not in kinds
        assert uncovered_gaps(events) == []
