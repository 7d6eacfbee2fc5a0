"""Submitting, following and reading runs over real servers."""

from __future__ import annotations

import grpc
import pytest

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.chassis.rpc_status import reason_of
from tests.contract.runcontrol.conftest import Suite
from tests.support import scenario as s
from tests.support.engines import on_both_engines


async def talker(suite: Suite, name: str, text: str = "one two three") -> int:
    """An agent of that name which says ``text``; the registry version that has it."""
    return await s.apply(
        suite.channel("registry"),
        s.builtin_provider(f"{name}-provider", s.replying(text)),
        s.model(f"{name}-model", f"{name}-provider"),
        s.agent(name, f"{name}-model"),
    )


@on_both_engines
async def test_a_run_streams_to_its_natural_end(suite: Suite) -> None:
    # given an agent that says three words
    version = await talker(suite, "speaker")

    # when a run of it is submitted and followed to its end
    run_id = await s.submit(suite.channel("runcontrol"), "speaker", "go", min_version=version)
    events = await s.follow_to_end(suite.channel("runcontrol"), run_id)

    # then the stream is gap-free, tells the whole story and ends with the end
    assert s.uncovered_gaps(events) == []
    assert s.kinds(events)[0] == "run_queued"
    assert s.kinds(events)[-1] == "run_finished"
    assert "".join(e.text_delta.text for e in events) == "one two three"
    last = events[-1].run_finished
    assert last.termination.reason == pb.TERMINATION_REASON_NATURAL_END
    assert last.output_text == "one two three"
    assert last.usage.output_tokens > 0
    assert list(range(1, len(events) + 1)) == [e.thread_seq for e in events]


async def test_a_cursor_resumes_behind_it_without_gap_or_repeat(suite: Suite) -> None:
    # given a finished run and what its whole stream said
    version = await talker(suite, "resumed")
    channel = suite.channel("runcontrol")
    run_id = await s.submit(channel, "resumed", "go", min_version=version)
    async with s.subscribed(channel, run_id) as stream:
        whole = [(cursor, event) async for cursor, event in stream]

    # when it is followed again from every cursor
    for index, (cursor, _) in enumerate(whole):
        rest = await s.follow_to_end(channel, run_id, cursor)
        # then exactly the events behind that cursor come
        assert [event.run_seq for _, event in whole[index + 1 :]] == [e.run_seq for e in rest]


async def test_get_run_tells_the_outcome(suite: Suite) -> None:
    # given a finished run
    version = await talker(suite, "told")
    channel = suite.channel("runcontrol")
    run_id = await s.submit(channel, "told", "go", min_version=version)
    await s.follow_to_end(channel, run_id)

    # when it is read
    run = (await suite.runs.GetRun(service.GetRunRequest(run_id=run_id))).run

    # then it is done, with its answer and its counts
    assert run.state == pb.Run.STATE_DONE
    assert run.output_text == "one two three"
    assert (run.step, run.rounds) == (1, 1)
    assert version == run.registry_version
    assert run.HasField("end_time")


@on_both_engines
async def test_a_model_may_say_what_no_database_stores(suite: Suite) -> None:
    # given a model whose answer holds a NUL
    version = await talker(suite, "odd", "one\0two")

    # when it answers
    run_id = await s.submit(suite.channel("runcontrol"), "odd", "go", min_version=version)
    events = await s.follow_to_end(suite.channel("runcontrol"), run_id)

    # then the run ends as any other, with a mark in its place
    assert events[-1].run_finished.termination.reason == pb.TERMINATION_REASON_NATURAL_END
    run = (await suite.runs.GetRun(service.GetRunRequest(run_id=run_id))).run
    assert run.output_text == "one\ufffdtwo"


@on_both_engines
async def test_the_same_request_id_answers_the_same_run(suite: Suite) -> None:
    # given a submitted run
    version = await talker(suite, "once")
    channel = suite.channel("runcontrol")
    first = await s.submit(channel, "once", "go", min_version=version, request_id="r-1")

    # when the same request comes again, and then another one under its id
    second = await s.submit(channel, "once", "go", min_version=version, request_id="r-1")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await s.submit(channel, "once", "other", min_version=version, request_id="r-1")

    # then the first is answered, the other one refused
    assert first == second
    assert reason_of(refused.value).reason == "IDEMPOTENCY_CONFLICT"


@on_both_engines
async def test_a_thread_runs_one_after_the_other_and_remembers_its_agent(suite: Suite) -> None:
    # given a thread with a run
    version = await talker(suite, "serial")
    first = await suite.runs.SubmitRun(
        service.SubmitRunRequest(
            thread_id="serial-thread",
            agent_id="serial",
            messages=[s.user_message("first")],
            min_registry_version=version,
        )
    )

    # when another one is submitted without naming an agent
    second = await suite.runs.SubmitRun(
        service.SubmitRunRequest(thread_id="serial-thread", messages=[s.user_message("second")])
    )
    await s.follow_to_end(suite.channel("runcontrol"), first.run_id)
    await s.follow_to_end(suite.channel("runcontrol"), second.run_id)

    # then it ran after the first, with the same agent
    one, two = [
        (await suite.runs.GetRun(service.GetRunRequest(run_id=each.run_id))).run
        for each in (first, second)
    ]
    assert two.agent_id == "serial"
    assert one.end_time.ToNanoseconds() <= two.start_time.ToNanoseconds()


async def test_what_is_malformed_is_refused_with_every_violation(suite: Suite) -> None:
    # given a request with three mistakes
    request = service.SubmitRunRequest(thread_id="a\x00b", busy_policy=99)  # type: ignore[arg-type]  # unknown on purpose

    # when it is submitted
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await suite.runs.SubmitRun(request)

    # then all of them are named
    facts = reason_of(refused.value)
    assert facts.code == grpc.StatusCode.INVALID_ARGUMENT
    assert {"thread_id", "busy_policy", "messages"} == {v.field for v in facts.violations}


@pytest.mark.parametrize(
    ("agent_id", "thread_id", "reason"),
    [("nobody", "", "AGENT_NOT_FOUND"), ("", "fresh-thread", "INVALID_REQUEST")],
)
async def test_a_run_needs_a_known_agent(
    suite: Suite, agent_id: str, thread_id: str, reason: str
) -> None:
    # given a registry that the server has seen
    version = await talker(suite, "known")

    # when a run is submitted for an agent that is not there, or for none
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await suite.runs.SubmitRun(
            service.SubmitRunRequest(
                agent_id=agent_id,
                thread_id=thread_id,
                messages=[s.user_message("go")],
                min_registry_version=version,
            )
        )

    # then it says which of the two it was
    assert reason == reason_of(refused.value).reason


async def test_a_version_that_does_not_come_is_behind(suite: Suite) -> None:
    # given an agent
    version = await talker(suite, "early")

    # when a run asks for a registry version that does not exist
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await s.submit(suite.channel("runcontrol"), "early", "go", min_version=version + 1000)

    # then it is told to come back
    facts = reason_of(refused.value)
    assert (facts.code, facts.reason) == (grpc.StatusCode.UNAVAILABLE, "SNAPSHOT_BEHIND")
    assert facts.retry_after_s is not None


async def test_a_snapshot_comes_first_when_asked_for(suite: Suite) -> None:
    # given a finished run
    version = await talker(suite, "drawn")
    channel = suite.channel("runcontrol")
    run_id = await s.submit(channel, "drawn", "go", min_version=version)
    whole = await s.follow_to_end(channel, run_id)

    # when it is followed from a snapshot
    request = service.SubscribeRunRequest(run_id=run_id, start=service.SUBSCRIBE_FROM_SNAPSHOT)
    items = [item async for frame in suite.runs.SubscribeRun(request) for item in frame.items]

    # then the state comes, and nothing behind it
    assert [item.WhichOneof("item") for item in items] == ["snapshot"]
    assert (len(whole), run_id) == (items[0].snapshot.head_seq, items[0].snapshot.run.run_id)


async def test_a_cursor_of_another_run_or_beyond_the_head_is_refused(suite: Suite) -> None:
    # given two finished runs of different length
    version = await talker(suite, "first-of-two")
    channel = suite.channel("runcontrol")
    one = await s.submit(channel, "first-of-two", "go", min_version=version)
    cursor, _ = await s.until(channel, one, "run_finished")
    two = await s.submit(channel, "first-of-two", "go", min_version=version)
    await s.follow_to_end(channel, two)

    # when the second is followed with a cursor of the first, and with one from the future
    with pytest.raises(grpc.aio.AioRpcError) as foreign:
        await s.follow_to_end(channel, two, cursor)
    with pytest.raises(grpc.aio.AioRpcError) as beyond:
        await s.follow_to_end(channel, one, cursor[:-1] + b"\xff")

    # then neither is taken
    assert reason_of(foreign.value).reason == "INVALID_REQUEST"
    assert reason_of(beyond.value).reason == "CURSOR_OUT_OF_RANGE"


@on_both_engines
async def test_unknown_names_are_not_found(suite: Suite) -> None:
    # given nothing of these names
    calls = {
        "RUN_NOT_FOUND": suite.runs.GetRun(service.GetRunRequest(run_id="none")),
        "TICKET_NOT_FOUND": suite.runs.GetTicket(service.GetTicketRequest(ticket_id="none")),
        "THREAD_NOT_FOUND": suite.runs.CancelRun(service.CancelRunRequest(thread_id="none")),
        "DISPATCH_NOT_FOUND": suite.runs.CancelRun(service.CancelRunRequest(dispatch_id="none")),
    }

    # when they are asked for
    for reason, call in calls.items():
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        # then each says what is missing
        assert (grpc.StatusCode.NOT_FOUND, reason) == (
            refused.value.code(),
            reason_of(refused.value).reason,
        )


async def test_what_is_not_served_says_so(suite: Suite) -> None:
    # given calls that the contract reserves
    calls = [
        suite.runs.ListRuns(service.ListRunsRequest()),
        suite.runs.GetThread(service.GetThreadRequest(thread_id="t")),
        suite.runs.ListThreads(service.ListThreadsRequest()),
        suite.runs.DeleteThread(service.DeleteThreadRequest(thread_id="t")),
        suite.runs.ListMessages(service.ListMessagesRequest(thread_id="t")),
        suite.runs.GetActiveRun(service.GetActiveRunRequest(thread_id="t")),
        suite.runs.InterruptThread(service.InterruptThreadRequest(thread_id="t")),
        suite.runs.InjectInput(service.InjectInputRequest(thread_id="t")),
        suite.runs.EditInput(service.EditInputRequest(input_id="i")),
        suite.runs.RetractInput(service.RetractInputRequest(input_id="i")),
        suite.runs.ListPendingInputs(service.ListPendingInputsRequest(thread_id="t")),
        suite.runs.ListDeadDispatches(service.ListDeadDispatchesRequest()),
        suite.runs.RedriveDispatch(service.RedriveDispatchRequest(dispatch_id="d")),
        suite.runs.SubmitRun(
            service.SubmitRunRequest(
                messages=[s.user_message("go")],
                agent_id="a",
                on_disconnect=service.DISCONNECT_POLICY_CANCEL,
            )
        ),
    ]

    # when they are made
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        # then they are refused as not served
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(grpc.aio.AioRpcError) as stream:
        async for _ in suite.runs.SubscribeThread(service.SubscribeThreadRequest(thread_id="t")):
            pass
    assert reason_of(stream.value).reason == "UNIMPLEMENTED"
