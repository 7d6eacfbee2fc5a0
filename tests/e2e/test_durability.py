"""What survives kill -9, on four real processes."""

from __future__ import annotations

import pytest

from runyard.pool.v1 import pool_service_pb2 as rpc
from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as runs
from runyard.runcontrol.v1 import runcontrol_service_pb2 as run_rpc
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub
from tests.e2e.conftest import apply
from tests.support import clients
from tests.support.event_order import uncovered_gaps
from tests.support.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

WORDS = " ".join(f"word{n}" for n in range(150))


async def test_a_run_survives_the_death_of_its_server_in_the_middle_of_a_stream(
    stack: Stack,
) -> None:
    """The record is durable frame by frame, so a subscriber resumes by its cursor alone."""
    # given a run that streams for about three seconds
    version = await apply(
        stack,
        clients.builtin_provider("slow", clients.replying(WORDS), delta_interval_ms=20),
        clients.model("slow-model", "slow"),
        clients.agent("slow-teller", "slow-model"),
    )
    async with stack.channel("runcontrol") as channel:
        run_id = await clients.submit(channel, "slow-teller", "tell", min_version=version)

        # when its server is killed after the first deltas were seen
        seen: list[runs.Event] = []
        cursor = b""
        async with clients.subscribed(channel, run_id) as events:
            async for behind, event in events:
                cursor = behind
                seen.append(event)
                if clients.kinds(seen).count("text_delta") >= 5:
                    break
    await stack.kill("runcontrol")
    await stack.start("runcontrol")

    # then the subscriber resumes after its cursor and sees the end, without gap or duplicate
    async with stack.channel("runcontrol") as channel:
        rest = await clients.follow_to_end(channel, run_id, after=cursor)
        replay = await clients.follow_to_end(channel, run_id)
    assert uncovered_gaps(seen + rest) == []
    assert uncovered_gaps(replay) == []
    assert "step_reset" in clients.kinds(rest)
    assert clients.kinds(rest)[-1] == "run_finished"
    finished = rest[-1].run_finished
    assert finished.termination.reason == runs.TERMINATION_REASON_NATURAL_END
    assert finished.output_text == WORDS


async def test_an_approved_message_is_sent_once_though_the_server_dies_after_the_approval(
    stack: Stack,
) -> None:
    """The decision, its effect and the outbox row are one transaction; the call id is the key."""
    # given a pool with a listener, and a run whose message to it waits for approval
    send = '{"pool_id": "errands", "to": {"agent_id": "listener"}, "body": "hello"}'
    version = await apply(
        stack,
        clients.builtin_provider(
            "errand-script",
            clients.calling("send-with-consent", send, tool_results=0),
            clients.replying("sent", tool_results=1),
        ),
        clients.model("errand-model", "errand-script", tools=True),
        clients.builtin_tool("send-with-consent", registry.BUILTIN_TOOL_POOL_SEND, ask=True),
        clients.agent("errand-runner", "errand-model", "send-with-consent"),
    )
    async with stack.channel("pool") as channel:
        pool = PoolServiceStub(channel)
        await pool.OpenPool(rpc.OpenPoolRequest(pool_id="errands"))
        listener = {"run_id": "listener-run", "agent_id": "listener"}
        await pool.JoinPool(rpc.JoinPoolRequest(pool_id="errands", **listener))
    async with stack.channel("runcontrol") as channel:
        run_id = await clients.submit(
            channel, "errand-runner", "go", pool_id="errands", min_version=version
        )
        _, opened = await clients.until(channel, run_id, "ticket_opened")

        # when it is approved and the server is killed as soon as it acknowledged
        decision = run_rpc.SubmitDecisionRequest(
            run_id=run_id,
            ticket_id=opened.ticket_opened.ticket.ticket_id,
            decision_id="decision-1",
            verdict=runs.Verdict(approve=runs.Approve()),
        )
        answer = await RunControlServiceStub(channel).SubmitDecision(decision)
    await stack.kill("runcontrol")
    assert answer.outcome == run_rpc.DECISION_OUTCOME_ACCEPTED
    await stack.start("runcontrol")

    # then the run ends, the repeated decision is a duplicate, and one message has arrived
    async with stack.channel("runcontrol") as channel:
        events = await clients.follow_to_end(channel, run_id)
        again = await RunControlServiceStub(channel).SubmitDecision(decision)
    async with stack.channel("pool") as channel:
        fetch = rpc.FetchInboxRequest(pool_id="errands", run_id="listener-run", max_deliveries=10)
        inbox = await PoolServiceStub(channel).FetchInbox(fetch)
    assert uncovered_gaps(events) == []
    assert events[-1].run_finished.output_text == "sent"
    assert again.outcome == run_rpc.DECISION_OUTCOME_DUPLICATE
    assert [d.message.inline_body.data for d in inbox.deliveries] == [b"hello"]


async def test_a_killed_pool_wakes_the_run_that_was_parked_before(stack: Stack) -> None:
    """A wait is rows on both sides: neither server needs to have been up the whole time."""
    # given a run parked until a message arrives
    version = await apply(
        stack,
        clients.builtin_provider(
            "sleeper-script",
            clients.replying("good morning", matches="rise"),
            clients.calling("sleep-until-message", '{"pool_id": "night"}', tool_results=0),
        ),
        clients.model("sleeper-model", "sleeper-script", tools=True),
        clients.builtin_tool("sleep-until-message", registry.BUILTIN_TOOL_POOL_WAIT),
        clients.agent("sleeper", "sleeper-model", "sleep-until-message"),
        clients.builtin_provider(
            "waker-script",
            clients.calling(
                "send-now",
                '{"pool_id": "night", "to": {"agent_id": "sleeper"}, "body": "rise"}',
                tool_results=0,
            ),
            clients.replying("done", tool_results=1),
        ),
        clients.model("waker-model", "waker-script", tools=True),
        clients.builtin_tool("send-now", registry.BUILTIN_TOOL_POOL_SEND),
        clients.agent("waker", "waker-model", "send-now"),
    )
    async with stack.channel("pool") as channel:
        await PoolServiceStub(channel).OpenPool(rpc.OpenPoolRequest(pool_id="night"))
    async with stack.channel("runcontrol") as channel:
        sleeper = await clients.submit(
            channel, "sleeper", "rest", pool_id="night", min_version=version
        )
        await clients.until_parked(channel, sleeper, runs.WAITING_KIND_WAKE)

    # when both servers are killed and come back, and a message is sent
    await stack.kill("pool")
    await stack.kill("runcontrol")
    await stack.start("pool", "runcontrol")
    async with stack.channel("runcontrol") as channel:
        await clients.submit(channel, "waker", "go", pool_id="night", min_version=version)

        # then the sleeper wakes once and ends
        events = await clients.follow_to_end(channel, sleeper)
    assert uncovered_gaps(events) == []
    assert [event.run_woken.cause for event in events].count("wake") == 1
    assert events[-1].run_finished.output_text == "good morning"


async def test_inference_goes_on_without_the_registry_even_after_a_router_restart(
    stack: Stack,
) -> None:
    """The data plane serves from its last good snapshot."""
    # given a pool whose home always answers a rate limit, and one answered call
    version = await apply(
        stack,
        clients.builtin_provider("limited", clients.rate_limited()),
        clients.builtin_provider("echo", clients.replying("still here")),
        clients.model("limited-model", "limited"),
        clients.model("echo-model", "echo"),
        clients.pool_of("narrow", "limited-model", "echo-model"),
    )
    async with stack.channel("router") as channel:
        before = await clients.infer(channel, "narrow", "hi", thread_id="t-1", min_version=version)

    # when the registry is killed, and then the router too
    await stack.kill("registry")
    async with stack.channel("router") as channel:
        during = await clients.infer(channel, "narrow", "hi", thread_id="t-1")
    await stack.kill("router")
    await stack.start("router")
    async with stack.channel("router") as channel:
        after = await clients.infer(channel, "narrow", "hi", thread_id="t-1")

    # then every call is answered by the member the first one moved to
    assert [before.text, during.text, after.text] == ["still here"] * 3
    assert [r.decision.member_id for r in (before, during, after)] == ["echo-model"] * 3
    assert [a.member_id for a in before.decision.attempts] == ["limited-model", "echo-model"]
