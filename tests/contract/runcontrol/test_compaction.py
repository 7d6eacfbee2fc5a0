"""Deltas that a later event covers are deleted, and whoever reads the events misses nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from services.chassis.follow.notifier import LocalNotifier
from services.chassis.store.opening import open_store
from services.chassis.store.statement import statement
from services.content.model import FinishReason, Message, Role, Text, ToolCall, Usage
from services.runcontrol.api.responses import stored_message_to_pb
from services.runcontrol.core.compacting import DELTAS_AT_ONCE, Compaction
from services.runcontrol.core.events import Covered, Kind, Routed, StepReset, TextDelta
from services.runcontrol.core.execution import Claim
from services.runcontrol.core.listing import MessageQuery
from services.runcontrol.core.reading import Reading
from services.runcontrol.core.stepping import ModelAnswer
from services.runcontrol.store import tables as t
from services.runcontrol.store.tables import MIGRATIONS, metadata
from tests.contract.runcontrol.conftest import Suite
from tests.contract.runcontrol.test_locked_rows import locked
from tests.contract.runcontrol.test_thread_stream_rpc import head, listed, read, three_runs
from tests.contract.runcontrol.test_two_servers import Server
from tests.support.callers import LOCAL
from tests.support.clock import ManualClock
from tests.support.engines import on_both_engines, on_postgresql
from tests.support.event_order import rebuilt, uncovered_gaps, uncovered_thread_gaps
from tests.support.waiting import within_limit

KEEP_S = 60.0
STEPS = 5
WORDS = [f"word {number} " for number in range(1_000)]
_EVENTS = statement(select(t.event.c.run_seq, t.event.c.kind).order_by(t.event.c.thread_seq))


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server(
    urls: dict[str, str], engine: str, clock: ManualClock, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    url = urls.get("runcontrol") or f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db"
    opened = open_store(
        url, metadata=metadata, migrations=MIGRATIONS, notifier=LocalNotifier(clock)
    )
    async with opened as database:
        yield Server(database, clock, "server")


@pytest.fixture
def compaction(server: Server, clock: ManualClock) -> Compaction:
    return Compaction(server.store, clock, KEEP_S)


async def claimed_run(server: Server) -> Claim:
    await server.submit("t")
    (claimed,) = await server.execution.claim(1)
    await server.execution.advance(claimed, "")
    return claimed


async def stream(server: Server, claimed: Claim, *kinds: Kind) -> int:
    """Commit events of a model's stream, a hundred at a time; return the newest sequence."""
    newest = 0
    for start in range(0, len(kinds), 100):
        newest = await server.execution.record(claimed, kinds[start : start + 100])
    return newest


async def answer(server: Server, claimed: Claim, *, last: bool) -> None:
    """A step in which a thousand deltas are streamed; all but the last one ask for a tool."""
    newest = await stream(server, claimed, *map(TextDelta, WORDS))
    calls = () if last else (ToolCall("m1", "never", "{}"),)
    message = Message(Role.ASSISTANT, (Text("".join(WORDS)), *calls))
    finish = FinishReason.STOP if last else FinishReason.TOOL_CALLS
    covers = (newest - len(WORDS) + 1, newest)
    refusals = tuple("" for _ in calls)
    given = ModelAnswer(message, finish, Usage(1, 1), covers, "model", refusals)
    assert claimed.specs is not None
    await server.execution.commit_answer(claimed, claimed.specs, given, "")


async def run_of_five_thousand_deltas(server: Server) -> Claim:
    claimed = await claimed_run(server)
    for step in range(STEPS):
        await answer(server, claimed, last=step == STEPS - 1)
    return claimed


async def rows(server: Server) -> list[tuple[int, str]]:
    return [(row.run_seq, row.kind) for row in await server.database.fetch(_EVENTS)]


async def events_of(server: Server, run_id: str, after: int = 0) -> list[pb.Event]:
    """What a reader of the run's events gets after a sequence."""
    found = list[pb.Event]()
    while True:
        feed = await server.runs.events(LOCAL, run_id, after, 64)
        found += [pb.Event.FromString(body) for _, body in feed.events]
        if feed.finished or not feed.events:
            return found
        after = feed.events[-1][0]


@pytest.mark.slow
@on_both_engines
async def test_a_run_keeps_few_events_and_a_reader_in_the_middle_has_the_same_conversation(
    server: Server, clock: ManualClock, compaction: Compaction
) -> None:
    # given an ended run of five steps, each of which streamed a thousand deltas
    run_id = (await run_of_five_thousand_deltas(server)).run.run_id
    whole = await events_of(server, run_id)
    assert len(whole) > 5_000

    # when its deltas have been covered for a minute
    assert await compaction.compact() == 0
    clock.advance(KEEP_S)
    dropped = await compaction.compact()

    # then none is left, and of the other events every one
    kinds = [kind for _, kind in await rows(server)]
    assert dropped == 5_000
    assert len(kinds) == len(whole) - 5_000 <= STEPS * 20
    assert "TextDelta" not in kinds
    assert await compaction.compact() == 0

    # then who goes on after any fiftieth event has what was said, and no gap that nothing covers
    query = MessageQuery("t", limit=200)
    page = await Reading(server.store).messages(LOCAL, query)
    expected = [stored_message_to_pb(each) for each in page.entries]
    assert len(expected) == 2 * STEPS
    for received in range(0, len(whole) + 1, 50):
        seen = whole[:received]
        after = seen[-1].run_seq if seen else 0
        read_in_all = [*seen, *await events_of(server, run_id, after)]
        assert rebuilt(read_in_all) == (expected, ""), received
        assert uncovered_gaps(read_in_all) == [], received


@on_both_engines
async def test_deltas_are_deleted_in_slices_and_those_that_nothing_covers_stay(
    server: Server, clock: ManualClock, compaction: Compaction
) -> None:
    # given a run whose first attempt at a step was reset, and whose second one streams
    claimed = await claimed_run(server)
    first = await stream(server, claimed, TextDelta("a"))
    lost = [TextDelta("x")] * (2 * DELTAS_AT_ONCE)
    route = Routed("model", "model", "provider", "", 1, "home")
    await stream(server, claimed, route, *lost, StepReset(first), TextDelta("b"), TextDelta("c"))

    # when one slice of the covered deltas is deleted, as before a crash, and the rest later
    clock.advance(KEEP_S)
    (of,) = await server.store.write(lambda tx: tx.covered(clock.now(), 10))
    await server.store.write(lambda tx: tx.drop_deltas(of, DELTAS_AT_ONCE))
    between = [kind for _, kind in await rows(server)].count("TextDelta")
    dropped = await compaction.compact()

    # then the deltas that the reset made void are gone; its route and the deltas after it are there
    assert (between, dropped) == (DELTAS_AT_ONCE + 3, DELTAS_AT_ONCE + 1)
    events = await events_of(server, claimed.run.run_id)
    assert rebuilt(events)[1] == "bc"
    assert [event.routed for event in events if event.HasField("routed")]
    assert uncovered_gaps(events) == []

    # when a server that has found the range before comes to it
    late = await server.store.write(lambda tx: tx.drop_deltas(of, DELTAS_AT_ONCE))

    # then there is nothing for it to do
    assert late is None


@on_postgresql
async def test_a_range_that_another_server_has_delays_itself_alone(
    server: Server, clock: ManualClock, compaction: Compaction, urls: dict[str, str]
) -> None:
    # given two covered ranges, one of which another server has
    claimed = await claimed_run(server)
    first = await stream(server, claimed, TextDelta("a"))
    second = await stream(server, claimed, StepReset(first), TextDelta("b"))
    await stream(server, claimed, StepReset(second), TextDelta("c"))
    clock.advance(KEEP_S)
    ranges = await server.store.write(lambda tx: tx.covered(clock.now(), 10))
    taken = f"SELECT * FROM covered WHERE last_run_seq = {ranges[0].last_run_seq}"  # noqa: S608  # a number

    # when both are due
    with locked(urls["runcontrol"], taken):
        beside = await compaction.compact()
    after = await compaction.compact()

    # then the other one is served at once
    assert [type(each) for each in ranges] == [Covered, Covered]
    assert (beside, after) == (1, 1)


@on_both_engines
async def test_a_thread_reads_alike_before_and_after_its_deltas_are_gone(suite: Suite) -> None:
    # given three ended runs of a thread with all their deltas
    await three_runs(suite)
    end, expected = await head(suite), await listed(suite)
    channel = suite.channel("runcontrol")
    whole = await read(channel, end)
    assert uncovered_thread_gaps([item.event for item in whole]) == []

    # when a server deletes covered deltas at once
    suite.keep_deltas_s = 0.0
    await suite.restart_runcontrol()
    channel = suite.channel("runcontrol")
    async with within_limit():
        while any(item.event.HasField("text_delta") for item in await read(channel, end)):
            pass

    # then who resumes after any tenth event rebuilds the conversation, without a gap
    for received in range(0, end, 10):
        cursor = whole[received - 1].cursor if received else b""
        rest = await read(channel, end, cursor)
        events = [item.event for item in (*whole[:received], *rest)]
        assert rebuilt(events) == (expected, ""), received
        assert uncovered_thread_gaps(events) == [], received
