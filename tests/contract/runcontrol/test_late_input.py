"""Input that arrives around the end of a run is read once; editors race with the step that reads.

The instant is drawn in turns of the event loop, which the servers share with the test.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc
import pytest

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.chassis.calls.rpc_status import reason_of
from tests.contract.runcontrol.conftest import Suite
from tests.support import clients as s
from tests.support.event_order import uncovered_gaps
from tests.support.profiles import amount, scaled
from tests.support.waiting import within_limit

_CHAOS_ON_POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.chaos)
pytestmark = [
    scaled,
    pytest.mark.slow,
    pytest.mark.parametrize("engine", ["sqlite", _CHAOS_ON_POSTGRESQL], indirect=True),
]

DRAWS = amount(gate=150, chaos=1_000)
RACES = amount(gate=60, chaos=500)
AT_ONCE = 10
# A run of one step takes a few times as many turns of a loop that ten of them share.
MOST_TURNS = 500

LIVE = pb.INPUT_DISPOSITION_LIVE
QUEUED = pb.INPUT_DISPOSITION_QUEUED


@dataclass(frozen=True)
class Instant:
    """Some turns of the loop after the submission, or after an event of the run."""

    turns: int
    after: str

    async def come(self, suite: Suite, run_id: str) -> None:
        if self.after:
            await suite.until(run_id, self.after)
        for _ in range(self.turns):
            await asyncio.sleep(0)


def instant(drawn: random.Random) -> Instant:
    after = drawn.choice(["", "step_started", "message_committed", "run_finished"])
    return Instant(drawn.randrange(MOST_TURNS), after)


async def each_of(count: int, draw: Callable[[int], Awaitable[str]]) -> Counter[str]:
    """What became of ``count`` draws, ten at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> str:
        async with gate:
            return await draw(number)

    return Counter(await asyncio.gather(*(one(number) for number in range(count))))


async def reader(suite: Suite, input_id: str) -> str:
    """The run that has read the input, once one has."""
    request = service.RetractInputRequest(input_id=input_id, revision=99)
    async with within_limit():
        while True:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await suite.runs.RetractInput(request)
            facts = reason_of(caught.value)
            if facts.reason == "ALREADY_CONSUMED":
                return facts.metadata["run_id"]
            assert facts.reason == "STALE_REVISION", facts


def read(events: list[pb.Event], input_id: str) -> int:
    """How often the run has read the input."""
    return [e.input_consumed.input_id for e in events].count(input_id)


async def test_input_around_the_end_of_a_run_is_read_once_by_the_right_agent(suite: Suite) -> None:
    # given an agent whose runs go on with input, one whose runs end after a step, and another one
    await suite.apply_agent("first", s.replying("one two"))
    brief = s.agent("brief", "first-model")
    brief.agent.max_rounds = 1
    await suite.apply(brief)
    await suite.apply_agent("second", s.replying("done"))
    drawn = random.Random(7)  # no secret
    plan = [(instant(drawn), drawn.random() < 0.5, drawn.random() < 0.5) for _ in range(DRAWS)]

    async def draw(number: int) -> str:
        arrival, by_run, for_second = plan[number]
        thread_id = f"t-{number}"
        agent = "brief" if number % 2 else "first"
        run_id = await suite.submit(agent, thread_id=thread_id)
        await arrival.come(suite, run_id)
        # when input for the running run arrives at some instant
        target = {"run_id": run_id} if by_run else {"thread_id": thread_id}
        if for_second and not by_run:
            target["agent_id"] = "second"
        mode = pb.INJECT_MODE_LIVE_THEN_QUEUE
        answer = await suite.inject("late", mode, **target)

        # then that run or the next one reads it, once; the disposition and the events say so
        by = await reader(suite, answer.input.input_id)
        events, theirs = await suite.follow(run_id), await suite.follow(by)
        assert read(theirs, answer.input.input_id) == 1
        assert by == run_id or read(events, answer.input.input_id) == 0
        assert answer.disposition in (LIVE, QUEUED)
        assert answer.disposition == LIVE or answer.run_id == by
        agent_id = (await suite.view(by)).run.agent_id
        assert agent_id == (agent if by == run_id else answer.input.agent_id)
        assert agent_id == target.get("agent_id", agent) or by == run_id
        assert (await suite.pending(thread_id)).inputs == []
        assert uncovered_gaps(events) == []
        if answer.disposition == LIVE and by != run_id:
            return "by the next after all"
        return "by the run" if by == run_id else "by the next"

    outcomes = await each_of(DRAWS, draw)

    # and each happened
    assert outcomes.total() == DRAWS
    assert outcomes["by the run"] > 0, outcomes
    assert outcomes["by the next"] > 0, outcomes
    assert outcomes["by the next after all"] > 0, outcomes


async def test_two_editors_race_with_the_step_that_reads(suite: Suite) -> None:
    # given an agent whose runs take one step before they read what is said to them meanwhile
    await suite.apply_agent("first", s.replying("one two"))
    drawn = random.Random(11)  # no secret
    plan = [[instant(drawn) for _ in range(2)] for _ in range(RACES)]

    async def race(number: int) -> str:
        submitted = await suite.submit_run("first", thread_id=f"r-{number}")

        # when two editors replace the input of a run that begins to read it
        async def edit(text: str, arrival: Instant) -> str:
            await arrival.come(suite, submitted.run_id)
            try:
                await suite.edit(submitted.input_id, text)
            except grpc.aio.AioRpcError as error:
                return reason_of(error).reason
            return "OK"

        texts = ("from ann", "from bob")
        outcomes = await asyncio.gather(*map(edit, texts, plan[number]))
        events = await suite.follow(submitted.run_id)

        # then at most one of them succeeds, the loser is told why, and the winner's text is read
        assert set(outcomes) <= {"OK", "STALE_REVISION", "ALREADY_CONSUMED"}
        assert outcomes.count("OK") <= 1
        assert "STALE_REVISION" not in outcomes or "OK" in outcomes
        won = [text for text, outcome in zip(texts, outcomes, strict=True) if outcome == "OK"]
        messages = [e.message_committed.message for e in events if e.HasField("message_committed")]
        said = [m.message for m in messages if m.origin == pb.MESSAGE_ORIGIN_INPUT]
        assert [m.parts[0].text.text for m in said] == (won or ["go"])
        edits = [e.input_edited.input_id for e in events if e.HasField("input_edited")]
        assert len(edits) == len(won)
        return "edited" if won else "read before"

    outcomes = await each_of(RACES, race)

    # and both happened
    assert outcomes["edited"] > 0, outcomes
    assert outcomes["read before"] > 0, outcomes
