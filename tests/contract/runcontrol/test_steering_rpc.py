"""Threads are interrupted and runs are spoken to while they execute, wait or are over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import grpc
import pytest

from runyard.pool.v1 import pool_pb2 as pool
from runyard.pool.v1 import pool_service_pb2 as pool_service
from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from tests.contract.runcontrol.conftest import Suite
from tests.contract.runcontrol.test_approvals_rpc import APPROVE, open_ticket
from tests.contract.runcontrol.test_cancel_rpc import apply_slow_agent
from tests.support import clients as s
from tests.support.engines import on_both_engines
from tests.support.refusals import refused
from tests.support.spans import recording
from tests.support.waiting import until, within_limit

QUEUED = pb.INPUT_DISPOSITION_QUEUED
RESUMED = pb.INPUT_DISPOSITION_RESUMED
LIVE = pb.INPUT_DISPOSITION_LIVE
BY_TICKETS = pb.INPUT_DISPOSITION_BLOCKED_BY_TICKETS

QUEUE = pb.INJECT_MODE_QUEUE
INTERRUPT_THEN_QUEUE = pb.INJECT_MODE_INTERRUPT_THEN_QUEUE
RESUME_OPEN_RUN = pb.INJECT_MODE_RESUME_OPEN_RUN
LIVE_THEN_QUEUE = pb.INJECT_MODE_LIVE_THEN_QUEUE

WITHOUT_INTERRUPT = [QUEUE, RESUME_OPEN_RUN, LIVE_THEN_QUEUE]


def read(events: Sequence[pb.Event]) -> list[str]:
    """The texts of the input that the run has read."""
    messages = [e.message_committed.message for e in events if e.HasField("message_committed")]
    return [
        message.message.parts[0].text.text
        for message in messages
        if message.origin == pb.MESSAGE_ORIGIN_INPUT
    ]


async def running(suite: Suite, thread_id: str = "t") -> str:
    """A run whose model answers slowly."""
    await apply_slow_agent(suite)
    run_id = await suite.submit("slow", thread_id=thread_id)
    await suite.until(run_id, "text_delta")
    return run_id


async def waiting(suite: Suite, thread_id: str = "t") -> str:
    """A run that waits for a message in a pool."""
    await suite.open_pool("quiet")
    await suite.apply_agent(
        "waiting",
        s.replying("going on", matches="never mind"),
        s.calling("wait", "{}", tool_results=0),
        tools=[s.builtin_tool("wait", registry.BUILTIN_TOOL_POOL_WAIT)],
    )
    run_id = await suite.submit("waiting", pool_id="quiet", thread_id=thread_id)
    await suite.until_parked(run_id, pb.WAITING_KIND_WAKE)
    return run_id


async def asking(suite: Suite) -> pb.Ticket:
    """The ticket of a run that waits for an approval."""
    await suite.open_pool("room")
    await suite.apply_agent(
        "asker",
        s.replying("as you say", matches="approved|leave it"),
        s.calling("send", '{"body": "hello"}', tool_results=0),
        tools=[s.builtin_tool("send", registry.BUILTIN_TOOL_POOL_SEND, ask=True)],
    )
    return await open_ticket(suite, pool_id="room", thread_id="t")


async def finished(suite: Suite, thread_id: str = "t") -> str:
    await suite.apply_agent("quick", s.replying("done"))
    run_id = await suite.submit("quick", thread_id=thread_id)
    await suite.follow(run_id)
    return run_id


@on_both_engines
async def test_an_interrupt_reports_what_it_stopped(suite: Suite) -> None:
    # given a thread with a run that executes and two that are queued
    active = await running(suite)
    queued = [await suite.submit_run("slow", thread_id="t") for _ in range(2)]

    # when it is interrupted with something new, twice under one key
    answers = [await suite.interrupt("t", "start over", request_id="i-1") for _ in range(2)]

    # then the answer names everything, and the second is the first
    first = answers[0]
    assert answers == [first, first]
    assert first.epoch == 2
    assert list(first.superseded_dispatch_ids) == [each.dispatch_id for each in queued]
    assert first.superseded_count == 2
    assert first.interrupted_run_id == active
    termination = (await suite.follow(active))[-1].run_finished.termination
    assert termination.reason == pb.TERMINATION_REASON_CANCELLED
    for each in queued:
        ended = (await suite.view(each.run_id)).run.termination
        assert ended.reason == pb.TERMINATION_REASON_SUPERSEDED

    # and the new run follows with the new input
    await suite.until(first.new_run_id, "input_consumed")
    await suite.cancel(run_id=first.new_run_id)
    assert read(await suite.follow(first.new_run_id)) == ["start over"]


async def test_an_interrupt_of_an_idle_thread_is_empty_and_of_no_thread_not_found(
    suite: Suite,
) -> None:
    # given a thread without work
    await finished(suite)

    # when it is interrupted, and a thread that does not exist
    answer = await suite.interrupt("t")
    refusal = await refused(suite.interrupt("nowhere"))

    # then there was nothing to stop, but the epoch has risen
    assert answer == service.InterruptThreadResponse(epoch=2)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "THREAD_NOT_FOUND")


@on_both_engines
async def test_an_interrupt_closes_a_waiting_run_and_its_wait_in_the_pool(suite: Suite) -> None:
    # given a run that waits in a pool
    run_id = await waiting(suite)
    condition_id = (await suite.view(run_id)).run.waiting_reasons[0].condition_id

    # when its thread is interrupted
    answer = await suite.interrupt("t")

    # then it has ended as superseded, and the pool learns that nobody waits
    assert answer.interrupted_run_id == run_id
    ended = (await suite.view(run_id)).run.termination
    assert ended.reason == pb.TERMINATION_REASON_SUPERSEDED
    await until_cancelled(suite, condition_id)


async def until_cancelled(suite: Suite, condition_id: str) -> None:
    """Return once the pool has cancelled a wait, which it may not know of yet."""
    request = pool_service.GetWakeRequest(pool_id="quiet", condition_id=condition_id)
    async with within_limit():
        while True:
            try:
                wake = (await suite.pools.GetWake(request)).wake
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise
                continue
            if wake.state == pool.Wake.STATE_CANCELLED:
                return


@on_both_engines
@pytest.mark.parametrize("by", ["thread_id", "run_id"])
@pytest.mark.parametrize("mode", WITHOUT_INTERRUPT)
async def test_input_continues_a_waiting_run_under_its_id(
    suite: Suite, mode: pb.InjectMode, by: str
) -> None:
    # given a run that waits for a wake
    run_id = await waiting(suite)
    condition_id = (await suite.view(run_id)).run.waiting_reasons[0].condition_id

    # when something is said to it, or to its thread
    answer = await suite.inject("never mind", mode, **{by: run_id if by == "run_id" else "t"})
    events = await suite.follow(run_id)

    # then the run has gone on with it, and the wait is cancelled on both sides
    assert (answer.disposition, answer.run_id) == (RESUMED, run_id)
    assert read(events) == ["go", "never mind"]
    assert events[-1].run_finished.output_text == "going on"
    call = (await suite.view(run_id)).tool_calls[-1]
    assert call.state == pb.ToolInvocation.STATE_CANCELLED
    await until_cancelled(suite, condition_id)


@pytest.mark.parametrize("by", ["thread_id", "run_id"])
async def test_interrupt_then_queue_ends_a_waiting_run(suite: Suite, by: str) -> None:
    # given a run that waits for a wake
    run_id = await waiting(suite)

    # when something is said that interrupts
    target = {by: run_id if by == "run_id" else "t"}
    answer = await suite.inject("never mind", INTERRUPT_THEN_QUEUE, **target)

    # then another run of the same agent reads it
    ended = (await suite.view(run_id)).run.termination
    assert ended.reason == pb.TERMINATION_REASON_SUPERSEDED
    assert answer.disposition == QUEUED
    assert answer.run_id not in ("", run_id)
    events = await suite.follow(answer.run_id)
    assert events[-1].run_finished.output_text == "going on"
    assert answer.input.agent_id == "waiting"


async def test_queued_input_is_read_after_the_run_that_executes(suite: Suite) -> None:
    # given a run that executes
    await suite.apply_agent("quick", s.replying("done"))
    run_id = await running(suite)

    # when something is queued on its thread, for another agent
    answer = await suite.inject("then this", thread_id="t", agent_id="quick")
    listed = await suite.pending("t")
    await suite.cancel(run_id=run_id)
    events = await suite.follow(answer.run_id)

    # then a run of its own has read it
    assert (answer.disposition, answer.input.run_id) == (QUEUED, answer.run_id)
    assert [each.input_id for each in listed.inputs] == [answer.input.input_id]
    assert read(events) == ["then this"]
    assert "then this" not in read(await suite.follow(run_id))
    assert (await suite.view(answer.run_id)).run.agent_id == "quick"


async def test_live_input_is_read_by_the_running_run(suite: Suite) -> None:
    # given a run that executes
    await suite.apply_agent("talker", s.replying("one two three"), delta_interval_ms=20)
    run_id = await suite.submit("talker", thread_id="t")
    await suite.until(run_id, "text_delta")

    # when something is said to it
    answer = await suite.inject("and this", LIVE_THEN_QUEUE, run_id=run_id)
    events = await suite.follow(run_id)

    # then it has read it, unless it was over before, in which case the next run reads it
    if answer.disposition == QUEUED:
        run_id = answer.run_id
        events = await suite.follow(run_id)
    assert "and this" in read(events)
    consumed = [e.input_consumed.input_id for e in events if e.HasField("input_consumed")]
    assert consumed.count(answer.input.input_id) == 1


@pytest.mark.parametrize("begin", [running, finished])
@pytest.mark.parametrize("by", ["thread_id", "run_id"])
async def test_nothing_waits_that_could_be_resumed(
    suite: Suite, begin: Callable[[Suite], Awaitable[str]], by: str
) -> None:
    # given a run that executes, or is over
    run_id = await begin(suite)

    # when a waiting run is to be resumed
    target = {by: run_id if by == "run_id" else "t"}
    refusal = await refused(suite.inject("go on", RESUME_OPEN_RUN, **target))

    # then there is none
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "NO_OPEN_RUN",
    )
    assert refusal.metadata["thread_id"] == "t"


@pytest.mark.parametrize("mode", [QUEUE, LIVE_THEN_QUEUE])
async def test_input_for_a_finished_run_is_read_by_a_run_of_its_agent(
    suite: Suite, mode: pb.InjectMode
) -> None:
    # given a finished run, and another run that executes on its thread
    done = await finished(suite)
    other = await running(suite)

    # when something is said to the finished one
    answer = await suite.inject("late", mode, run_id=done)
    await suite.cancel(run_id=other)
    events = await suite.follow(answer.run_id)

    # then a run of its agent has read it, and the other one has not
    assert (await suite.view(answer.run_id)).run.agent_id == "quick"
    assert read(events) == ["late"]
    assert "late" not in read(await suite.follow(other))


async def test_unknown_targets_are_not_found(suite: Suite) -> None:
    refusals = {
        "THREAD_NOT_FOUND": suite.inject("hi", thread_id="nowhere"),
        "RUN_NOT_FOUND": suite.inject("hi", run_id="nobody"),
        "INPUT_NOT_FOUND": suite.edit("nothing", "hi"),
    }
    for reason, call in refusals.items():
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, reason)


@on_both_engines
async def test_a_chat_message_is_no_approval(suite: Suite) -> None:
    # given a run that waits for an approval
    ticket = await asking(suite)

    # when its user says yes, and then the ticket is approved
    answer = await suite.inject("yes, approved", thread_id="t")
    still = await suite.runs.GetTicket(service.GetTicketRequest(ticket_id=ticket.ticket_id))
    await suite.decide(APPROVE, ticket_id=ticket.ticket_id)
    events = await suite.follow(ticket.run_id)

    # then only the approval counted, and the message was read behind its result
    assert answer.disposition == BY_TICKETS
    assert list(answer.blocked_by_ids) == [ticket.ticket_id]
    assert list(answer.input.blocked_by_ids) == [ticket.ticket_id]
    assert answer.run_id == ""
    assert still.ticket.state == pb.Ticket.STATE_OPEN
    assert read(events) == ["go", "yes, approved"]


async def test_input_can_void_what_was_asked(suite: Suite) -> None:
    # given a run that waits for an approval
    ticket = await asking(suite)

    # when something is said that voids the approval
    answer = await suite.inject("leave it", run_id=ticket.run_id, void_tickets=True)
    events = await suite.follow(ticket.run_id)
    late = await suite.decide(APPROVE, ticket_id=ticket.ticket_id)

    # then the call is cancelled, the run has gone on, and an approval comes too late
    assert (answer.disposition, answer.run_id) == (RESUMED, ticket.run_id)
    settled = [e.tool_call_settled for e in events if e.HasField("tool_call_settled")]
    assert settled[-1].state == pb.ToolInvocation.STATE_CANCELLED
    assert read(events) == ["go", "leave it"]
    assert (late.outcome, late.stale_reason) == (service.DECISION_OUTCOME_STALE, "input")


async def test_pending_input_is_listed_edited_and_taken_back(suite: Suite) -> None:
    # given a run that executes, and two inputs behind it
    await suite.apply_agent("quick", s.replying("done"))
    run_id = await running(suite)
    one = await suite.inject("one", thread_id="t", agent_id="quick")
    two = await suite.inject("two", thread_id="t", agent_id="quick")

    # when one is edited, and the other is taken back
    edited = await suite.edit(one.input.input_id, "better")
    stale = await refused(suite.edit(one.input.input_id, "too late"))
    retracted = await suite.retract(two.input.input_id)
    gone = await refused(suite.retract(two.input.input_id))
    listed = await suite.pending("t", page_size=1)
    rest = await suite.pending("t", page_size=1, page_token="") if listed.next_page_token else None
    await suite.cancel(run_id=run_id)
    events = await suite.follow(one.run_id)
    consumed = await refused(suite.edit(one.input.input_id, "much too late", revision=2))

    # then the run reads what was edited, and the other run is cancelled
    assert (edited.revision, edited.messages[0].parts[0].text.text) == (2, "better")
    assert (stale.code, stale.reason) == (grpc.StatusCode.ABORTED, "STALE_REVISION")
    assert retracted.state == pb.Input.STATE_RETRACTED
    assert (gone.reason, gone.metadata["state"]) == ("INPUT_NOT_PENDING", "retracted")
    assert [each.input_id for each in listed.inputs] == [one.input.input_id]
    assert rest is None
    assert read(events) == ["better"]
    edits = [e.input_edited for e in events if e.HasField("input_edited")]
    assert edits == [pb.InputEdited(input_id=one.input.input_id, revision=2, edited_by="local")]
    assert consumed.reason == "ALREADY_CONSUMED"
    assert (consumed.metadata["run_id"], consumed.metadata["step"]) == (one.run_id, "1")
    ended = (await suite.view(two.run_id)).run.termination
    assert ended.reason == pb.TERMINATION_REASON_CANCELLED


async def test_pages_of_pending_input_follow_each_other(suite: Suite) -> None:
    # given a thread with three pending inputs
    await running(suite)
    ids = [(await suite.inject(str(n), thread_id="t")).input.input_id for n in range(3)]

    # when they are listed in pages of two
    first = await suite.pending("t", page_size=2)
    second = await suite.pending("t", page_size=2, page_token=first.next_page_token)
    other = await refused(suite.pending("other", page_token=first.next_page_token))

    # then each is there once, and a token is good for its own list only
    assert [i.input_id for i in (*first.inputs, *second.inputs)] == ids
    assert second.next_page_token == ""
    assert [v.field for v in other.violations] == ["page_token"]


async def test_a_page_of_large_inputs_is_short(suite: Suite) -> None:
    # given pending inputs of 400, 800 and 1,500 KB
    await running(suite)
    for size in (400_000, 800_000, 1_500_000):
        await suite.inject("x" * size, thread_id="t")

    # when they are listed
    pages, token = [], ""
    while not pages or token:
        page = await suite.pending("t", page_token=token)
        pages.append(page)
        token = page.next_page_token

    # then no page is larger than a message may be, and one that is too large stands for itself
    assert [len(page.inputs) for page in pages] == [1, 1, 1]
    assert max(page.ByteSize() for page in pages) < 1 << 20
    assert [page.inputs[0].messages_left_out for page in pages] == [False, False, True]


async def test_a_snapshot_has_no_more_messages_than_a_frame_takes(suite: Suite) -> None:
    # given a run with three pending inputs of 600 KB
    run_id = await running(suite)
    for _ in range(3):
        await suite.inject("x" * 600_000, LIVE_THEN_QUEUE, run_id=run_id)

    # when somebody begins to follow it
    request = service.SubscribeRunRequest(run_id=run_id, start=service.SUBSCRIBE_FROM_SNAPSHOT)
    call = suite.runs.SubscribeRun(request)
    first = await call.read()
    call.cancel()

    # then the snapshot has the messages of the first
    (snapshot,) = [item.snapshot for item in first.items if item.HasField("snapshot")]
    assert [each.messages_left_out for each in snapshot.pending_inputs] == [False, True, True]
    assert [len(each.messages) for each in snapshot.pending_inputs] == [1, 0, 0]


async def test_a_submit_can_interrupt(suite: Suite) -> None:
    # given a run that executes, and one that is queued
    active = await running(suite)
    queued = await suite.submit("slow", thread_id="t")

    # when a run is submitted that interrupts
    await suite.apply_agent("quick", s.replying("done"))
    interrupts = service.BUSY_POLICY_INTERRUPT
    submitted = await suite.submit_run("quick", thread_id="t", busy_policy=interrupts)

    # then it is next, once the active one has ended
    assert submitted.disposition == service.SUBMIT_DISPOSITION_QUEUED
    reasons = [
        (await suite.follow(each))[-1].run_finished.termination.reason for each in (active, queued)
    ]
    assert reasons == [pb.TERMINATION_REASON_CANCELLED, pb.TERMINATION_REASON_SUPERSEDED]
    events = await suite.follow(submitted.run_id)
    assert events[-1].run_finished.output_text == "done"


async def test_malformed_requests_list_every_violation(suite: Suite) -> None:
    # given requests with several mistakes each
    requests = [
        (
            suite.runs.InjectInput(service.InjectInputRequest(agent_id="a", run_id="r", mode=9)),  # type: ignore[arg-type]  # no such mode
            ["agent_id", "messages", "mode"],
        ),
        (suite.runs.InjectInput(service.InjectInputRequest()), ["target", "messages"]),
        (
            suite.runs.InterruptThread(
                service.InterruptThreadRequest(mode=7, messages=[s.user_message("")])  # type: ignore[arg-type]  # no such mode
            ),
            ["mode", "thread_id"],
        ),
        (suite.runs.EditInput(service.EditInputRequest()), ["input_id", "revision", "messages"]),
        (suite.runs.RetractInput(service.RetractInputRequest()), ["input_id", "revision"]),
        (
            suite.runs.ListPendingInputs(
                service.ListPendingInputsRequest(page_size=-1, page_token="?")
            ),
            ["thread_id", "page_size", "page_token"],
        ),
    ]

    # when each is sent, then everything that is wrong with it is named
    for call, fields in requests:
        refusal = await refused(call)
        assert set(fields) <= {v.field for v in refusal.violations}, refusal


async def test_a_run_that_goes_on_with_input_links_to_the_call_that_said_it(suite: Suite) -> None:
    # given a run that waits
    run_id = await waiting(suite)

    # when something is said to it while spans are recorded
    with recording() as recorded:
        await suite.inject("never mind", run_id=run_id)
        await suite.follow(run_id)
        await until(lambda: "invoke_agent waiting" in recorded.names)
        activation = recorded.named("invoke_agent waiting")
        name = "runyard.runcontrol.v1.RunControlService/InjectInput"
        said = [span.context.span_id for span in recorded.spans if span.name == name]

    # then the activation links to the call
    (link,) = activation.links
    assert dict(link.attributes or {}) == {"runyard.link.type": "said_by"}
    assert link.context.span_id in said
