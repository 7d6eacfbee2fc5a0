"""What survives kill -9, on four real processes."""

from __future__ import annotations

import grpc
import pytest

from runyard.pool.v1.pool_service_pb2 import (
    FetchInboxRequest,
    JoinPoolRequest,
    OpenPoolRequest,
)
from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as runs
from runyard.runcontrol.v1.runcontrol_service_pb2 import (
    DECISION_OUTCOME_ACCEPTED,
    DECISION_OUTCOME_DUPLICATE,
    SubmitDecisionRequest,
)
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub
from tests.support import scenario
from tests.support.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

WORDS = " ".join(f"word{n}" for n in range(150))


async def test_a_run_survives_the_death_of_its_server_in_the_middle_of_a_stream(
    stack: Stack,
) -> None:
    """The record is durable frame by frame, so a subscriber resumes by its cursor alone."""
    # given a run that streams for about three seconds
    async with stack.channel("registry") as channel:
        version = await scenario.apply(
            channel,
            scenario.builtin_provider("slow", scenario.replying(WORDS), delta_interval_ms=20),
            scenario.model("slow-model", "slow"),
            scenario.agent("slow-teller", "slow-model"),
        )
    async with stack.channel("runcontrol") as channel:
        run_id = await scenario.submit(channel, "slow-teller", "tell", min_version=version)

        # when its server is killed after the first deltas were seen
        seen: list[runs.Event] = []
        cursor = b""
        async with scenario.subscribed(channel, run_id) as events:
            async for behind, event in events:
                cursor = behind
                seen.append(event)
                if scenario.kinds(seen).count("text_delta") >= 5:
                    break
    await stack.kill("runcontrol")
    await stack.start("runcontrol")

    # then the subscriber resumes after its cursor and sees the end, without gap or duplicate
    async with stack.channel("runcontrol") as channel:
        rest = await scenario.follow_to_end(channel, run_id, after=cursor)
        replay = await scenario.follow_to_end(channel, run_id)
    assert scenario.uncovered_gaps(seen + rest) == []
    assert scenario.uncovered_gaps(replay) == []
    assert "step_reset" in scenario.kinds(rest)
    assert scenario.kinds(rest)[-1] == "run_finished"
    finished = rest[-1].run_finished
    assert finished.termination.reason == runs.TERMINATION_REASON_NATURAL_END
    assert finished.output_text == WORDS


async def test_an_approved_message_is_sent_once_though_the_server_dies_after_the_approval(
    stack: Stack,
) -> None:
    """The decision, its effect and the outbox row are one transaction; the call id is the key."""
    # given a pool with a listener, and a run whose message to it waits for approval
    send = '{"pool_id": "errands", "to": {"agent_id": "listener"}, "body": "hello"}'
    async with stack.channel("registry") as channel:
        version = await scenario.apply(
            channel,
            scenario.builtin_provider(
                "errand-script",
                scenario.calling("send-with-consent", send, tool_results=0),
                scenario.replying("sent", tool_results=1),
            ),
            scenario.model("errand-model", "errand-script", tools=True),
            scenario.builtin_tool("send-with-consent", registry.BUILTIN_TOOL_POOL_SEND, ask=True),
            scenario.agent("errand-runner", "errand-model", "send-with-consent"),
        )
    async with stack.channel("pool") as channel:
        pool = PoolServiceStub(channel)
        await pool.OpenPool(OpenPoolRequest(pool_id="errands"))
        await pool.JoinPool(
            JoinPoolRequest(pool_id="errands", run_id="listener-run", agent_id="listener")
        )
    async with stack.channel("runcontrol") as channel:
        run_id = await scenario.submit(
            channel, "errand-runner", "go", pool_id="errands", min_version=version
        )
        _, opened = await scenario.until(channel, run_id, "ticket_opened")

        # when it is approved and the server is killed as soon as it acknowledged
        decision = SubmitDecisionRequest(
            run_id=run_id,
            ticket_id=opened.ticket_opened.ticket.ticket_id,
            decision_id="decision-1",
            verdict=runs.Verdict(approve=runs.Approve()),
        )
        answer = await RunControlServiceStub(channel).SubmitDecision(decision)
    await stack.kill("runcontrol")
    assert answer.outcome == DECISION_OUTCOME_ACCEPTED
    await stack.start("runcontrol")

    # then the run ends, the repeated decision is a duplicate, and one message has arrived
    async with stack.channel("runcontrol") as channel:
        events = await scenario.follow_to_end(channel, run_id)
        again = await RunControlServiceStub(channel).SubmitDecision(decision)
    async with stack.channel("pool") as channel:
        inbox = await PoolServiceStub(channel).FetchInbox(
            FetchInboxRequest(pool_id="errands", run_id="listener-run", max_deliveries=10)
        )
    assert scenario.uncovered_gaps(events) == []
    assert events[-1].run_finished.output_text == "sent"
    assert again.outcome == DECISION_OUTCOME_DUPLICATE
    assert [d.message.inline_body.data for d in inbox.deliveries] == [b"hello"]


async def test_a_killed_pool_wakes_the_run_that_was_parked_before(stack: Stack) -> None:
    """A wait is rows on both sides: neither server needs to have been up the whole time."""
    # given a run parked until a message arrives
    async with stack.channel("registry") as channel:
        version = await scenario.apply(
            channel,
            scenario.builtin_provider(
                "sleeper-script",
                scenario.replying("good morning", matches="rise"),
                scenario.calling("sleep-until-message", '{"pool_id": "night"}', tool_results=0),
            ),
            scenario.model("sleeper-model", "sleeper-script", tools=True),
            scenario.builtin_tool("sleep-until-message", registry.BUILTIN_TOOL_POOL_WAIT),
            scenario.agent("sleeper", "sleeper-model", "sleep-until-message"),
            scenario.builtin_provider(
                "waker-script",
                scenario.calling(
                    "send-now",
                    '{"pool_id": "night", "to": {"agent_id": "sleeper"}, "body": "rise"}',
                    tool_results=0,
                ),
                scenario.replying("done", tool_results=1),
            ),
            scenario.model("waker-model", "waker-script", tools=True),
            scenario.builtin_tool("send-now", registry.BUILTIN_TOOL_POOL_SEND),
            scenario.agent("waker", "waker-model", "send-now"),
        )
    async with stack.channel("pool") as channel:
        await PoolServiceStub(channel).OpenPool(OpenPoolRequest(pool_id="night"))
    async with stack.channel("runcontrol") as channel:
        sleeper = await scenario.submit(
            channel, "sleeper", "rest", pool_id="night", min_version=version
        )
        await scenario.until(channel, sleeper, "run_parked")

    # when both servers are killed and come back, and a message is sent
    await stack.kill("pool")
    await stack.kill("runcontrol")
    await stack.start("pool", "runcontrol")
    async with stack.channel("runcontrol") as channel:
        await scenario.submit(channel, "waker", "go", pool_id="night", min_version=version)

        # then the sleeper wakes once and ends
        events = await scenario.follow_to_end(channel, sleeper)
    assert scenario.uncovered_gaps(events) == []
    assert [event.run_woken.cause for event in events].count("wake") == 1
    assert events[-1].run_finished.output_text == "good morning"


async def _parked_until_woken(channel: grpc.aio.Channel, run_id: str) -> None:
    async with scenario.subscribed(channel, run_id) as events:
        async for _, event in events:
            if runs.WAITING_KIND_WAKE in [r.kind for r in event.run_parked.reasons]:
                return
    raise AssertionError("the run ended without waiting for a wake")


async def test_inference_goes_on_without_the_registry_even_after_a_router_restart(
    stack: Stack,
) -> None:
    """The data plane serves from its last good snapshot."""
    # given a pool whose home always answers a rate limit, and one answered call
    async with stack.channel("registry") as channel:
        version = await scenario.apply(
            channel,
            scenario.builtin_provider("limited", scenario.rate_limited()),
            scenario.builtin_provider("echo", scenario.replying("still here")),
            scenario.model("limited-model", "limited"),
            scenario.model("echo-model", "echo"),
            scenario.pool_of("narrow", "limited-model", "echo-model"),
        )
    async with stack.channel("router") as channel:
        before = await scenario.infer(channel, "narrow", "hi", thread_id="t-1", min_version=version)

    # when the registry is killed, and then the router too
    await stack.kill("registry")
    async with stack.channel("router") as channel:
        during = await scenario.infer(channel, "narrow", "hi", thread_id="t-1")
    await stack.kill("router")
    await stack.start("router")
    async with stack.channel("router") as channel:
        after = await scenario.infer(channel, "narrow", "hi", thread_id="t-1")

    # then every call is answered by the member the first one moved to
    assert [before.text, during.text, after.text] == ["still here"] * 3
    assert [r.decision.member_id for r in (before, during, after)] == ["echo-model"] * 3
    assert [a.member_id for a in before.decision.attempts] == ["limited-model", "echo-model"]
