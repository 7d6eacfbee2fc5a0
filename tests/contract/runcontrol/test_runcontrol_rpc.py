"""Submitting, following and reading runs over real servers."""

from __future__ import annotations

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from tests.contract.runcontrol.conftest import Suite
from tests.support import clients as s
from tests.support.engines import on_both_engines
from tests.support.event_order import uncovered_gaps
from tests.support.refusals import refused

THREE_WORDS = s.replying("one two three")


@on_both_engines
async def test_a_run_streams_to_its_natural_end(suite: Suite) -> None:
    # when a run of an agent that answers three words is followed to its end
    run_id = await suite.submit_to_new_agent(THREE_WORDS)
    events = await suite.follow(run_id)

    # then the events have no gap, are complete and end with the run's end
    assert uncovered_gaps(events) == []
    assert s.kinds(events)[0] == "run_queued"
    assert s.kinds(events)[-1] == "run_finished"
    assert "".join(e.text_delta.text for e in events) == "one two three"
    last = events[-1].run_finished
    assert last.termination.reason == pb.TERMINATION_REASON_NATURAL_END
    assert last.output_text == "one two three"
    assert last.usage.output_tokens > 0
    assert list(range(1, len(events) + 1)) == [e.thread_seq for e in events]


async def test_a_run_says_what_its_model_calls_cost(suite: Suite) -> None:
    # given an agent whose model costs 2 EUR per million tokens of either kind
    await suite.apply_agent("helper", THREE_WORDS)
    priced = s.model("helper-model", "helper-provider")
    priced.model.prices.CopyFrom(
        registry.ModelPrices(currency="EUR", input_per_million="2", output_per_million="2")
    )
    await suite.apply(priced)

    # when a run of it ends
    run_id = await suite.submit("helper")
    (end,) = [e.run_finished for e in await suite.follow(run_id) if e.HasField("run_finished")]

    # then it cost what its tokens do, also when it is read again
    used = end.usage.input_tokens + end.usage.output_tokens
    assert (end.usage.cost, end.usage.currency) == (f"0.{2 * used:06}".rstrip("0"), "EUR")
    assert (await suite.view(run_id)).run.usage == end.usage


async def test_a_cursor_resumes_behind_it_without_gap_or_repeat(suite: Suite) -> None:
    # given a finished run and all of its events
    run_id = await suite.submit_to_new_agent(THREE_WORDS)
    async with s.subscribed(suite.channel("runcontrol"), run_id) as stream:
        whole = [(cursor, event) async for cursor, event in stream]

    # when it is followed again from every cursor
    for index, (cursor, _) in enumerate(whole):
        rest = await suite.follow(run_id, cursor)
        # then exactly the events after that cursor are sent
        assert [event.run_seq for _, event in whole[index + 1 :]] == [e.run_seq for e in rest]


async def test_get_run_returns_the_outcome(suite: Suite) -> None:
    # given a finished run
    run_id = await suite.submit_to_new_agent(THREE_WORDS)
    await suite.follow(run_id)

    # when it is read
    run = (await suite.view(run_id)).run

    # then it is done, with its answer and its counts
    assert run.state == pb.Run.STATE_DONE
    assert run.output_text == "one two three"
    assert (run.step, run.rounds) == (1, 1)
    assert suite.version == run.registry_version
    assert run.HasField("end_time")


@on_both_engines
async def test_a_nul_in_an_answer_is_replaced(suite: Suite) -> None:
    # when a model answers with a NUL
    run_id = await suite.submit_to_new_agent(s.replying("one\0two"))
    events = await suite.follow(run_id)

    # then the run ends naturally, with a replacement character
    assert events[-1].run_finished.termination.reason == pb.TERMINATION_REASON_NATURAL_END
    run = (await suite.view(run_id)).run
    assert run.output_text == "one\ufffdtwo"


@on_both_engines
async def test_a_repeated_request_id_returns_the_same_run(suite: Suite) -> None:
    # given a submitted run
    await suite.apply_agent("helper", THREE_WORDS)
    first = await suite.submit("helper", request_id="r-1")

    # when the request is repeated, and another one sent under its id
    second = await suite.submit("helper", request_id="r-1")
    refusal = await refused(suite.submit("helper", "other", request_id="r-1"))

    # then the first returns the run, and the other is refused
    assert first == second
    assert refusal.reason == "IDEMPOTENCY_CONFLICT"


@on_both_engines
async def test_the_runs_of_a_thread_execute_in_order_with_its_agent(suite: Suite) -> None:
    # given a thread with a run
    await suite.apply_agent("helper", THREE_WORDS)
    first = await suite.submit("helper", thread_id="t")

    # when another one is submitted without naming an agent
    second = await suite.submit("", thread_id="t")
    await suite.follow(first)
    await suite.follow(second)

    # then it was executed after the first, with the same agent
    one, two = [(await suite.view(run_id)).run for run_id in (first, second)]
    assert two.agent_id == "helper"
    assert one.end_time.ToNanoseconds() <= two.start_time.ToNanoseconds()


async def test_a_malformed_request_is_refused_with_every_violation(suite: Suite) -> None:
    # given a request with three violations
    request = service.SubmitRunRequest(thread_id="a\x00b", busy_policy=99)  # type: ignore[arg-type]  # unknown on purpose

    # when it is submitted
    refusal = await refused(suite.runs.SubmitRun(request))

    # then all of them are named
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
    assert {"thread_id", "busy_policy", "messages"} == {v.field for v in refusal.violations}


@pytest.mark.parametrize(
    ("agent_id", "thread_id", "reason"),
    [("nobody", "", "AGENT_NOT_FOUND"), ("", "fresh-thread", "INVALID_REQUEST")],
)
async def test_a_run_needs_a_known_agent(
    suite: Suite, agent_id: str, thread_id: str, reason: str
) -> None:
    # given a registry snapshot that has arrived
    await suite.apply_agent("helper", THREE_WORDS)

    # when a run is submitted for an unknown agent, or for none
    refusal = await refused(suite.submit(agent_id, thread_id=thread_id))

    # then the two errors differ
    assert reason == refusal.reason


async def test_a_registry_version_that_does_not_arrive_is_behind(suite: Suite) -> None:
    # given an agent
    await suite.apply_agent("helper", THREE_WORDS)

    # when a run requires a registry version that does not exist
    refusal = await refused(suite.submit("helper", min_registry_version=suite.version + 1000))

    # then the error names a retry time
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "SNAPSHOT_BEHIND")
    assert refusal.retry_after_s is not None


async def test_a_stream_can_begin_with_a_snapshot(suite: Suite) -> None:
    # given a finished run
    run_id = await suite.submit_to_new_agent(THREE_WORDS)
    whole = await suite.follow(run_id)

    # when it is followed from a snapshot
    request = service.SubscribeRunRequest(run_id=run_id, start=service.SUBSCRIBE_FROM_SNAPSHOT)
    items = [item async for frame in suite.runs.SubscribeRun(request) for item in frame.items]

    # then the snapshot is sent, and no events
    assert [item.WhichOneof("item") for item in items] == ["snapshot"]
    assert (len(whole), run_id) == (items[0].snapshot.head_seq, items[0].snapshot.run.run_id)


async def test_a_cursor_of_another_run_or_beyond_the_head_is_refused(suite: Suite) -> None:
    # given two finished runs of different length
    await suite.apply_agent("helper", THREE_WORDS)
    one = await suite.submit("helper")
    cursor, _ = await suite.until(one, "run_finished")
    two = await suite.submit("helper")
    await suite.follow(two)

    # when the second is followed with a cursor of the first, and with one beyond its head
    foreign = await refused(suite.follow(two, cursor))
    beyond = await refused(suite.follow(one, cursor[:-1] + b"\xff"))

    # then both are refused
    assert foreign.reason == "INVALID_REQUEST"
    assert beyond.reason == "CURSOR_OUT_OF_RANGE"


@on_both_engines
async def test_unknown_names_are_not_found(suite: Suite) -> None:
    # given unknown ids
    calls = {
        "RUN_NOT_FOUND": suite.runs.GetRun(service.GetRunRequest(run_id="none")),
        "TICKET_NOT_FOUND": suite.runs.GetTicket(service.GetTicketRequest(ticket_id="none")),
        "THREAD_NOT_FOUND": suite.runs.CancelRun(service.CancelRunRequest(thread_id="none")),
        "DISPATCH_NOT_FOUND": suite.runs.CancelRun(service.CancelRunRequest(dispatch_id="none")),
    }

    # when they are read
    for reason, call in calls.items():
        refusal = await refused(call)
        # then each error names what is missing
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, reason)


async def test_an_unserved_option_is_refused(suite: Suite) -> None:
    # when a run is submitted with an option that this version does not serve
    submitting = suite.submit_run("a", on_disconnect=service.DISCONNECT_POLICY_CANCEL)
    refusal = await refused(submitting)

    # then it is answered UNIMPLEMENTED
    assert refusal.code == grpc.StatusCode.UNIMPLEMENTED
