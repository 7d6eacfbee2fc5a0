"""Delivering wakes to run control: once each, in order, in the right trace, until it answers."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan

from runyard.pool.v1 import pool_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_internal_service_pb2 as runs
from runyard.runcontrol.v1 import runcontrol_pb2 as run
from services.chassis.observe.names import LINK_SUSPENDED_BY, LINK_TYPE, LINK_WAKE_CAUSE
from services.chassis.observe.telemetry import span
from services.chassis.protobuf.cursors import Cursors
from services.chassis.protobuf.decoder import Decoder
from tests.contract.pool.client import POOL, RUN_A, RUN_B, PoolClient, seconds
from tests.contract.pool.conftest import Serve
from tests.support.engines import on_both_engines
from tests.support.fake_runcontrol import UNKNOWN_RUN, FakeRunControl, fake_runcontrol
from tests.support.spans import recording
from tests.support.waiting import within_limit


async def delivery_of(client: PoolClient, key: str, wanted: pb.DeliveryOutcome) -> pb.Wake:
    """The wake, once the answer of run control has been applied."""
    async with within_limit():
        while True:
            found = await client.wake(key)
            if found.delivery == wanted:
                return found
            await asyncio.sleep(0)


@on_both_engines
async def test_a_fired_wake_is_delivered_with_what_matched(
    pool: PoolClient, runcontrol: FakeRunControl
) -> None:
    # given run-b waiting for a message
    await pool.suspend(RUN_B, "w", timeout=seconds(60))

    # when it comes
    receipt = await pool.send("k1", "the secret text")
    (delivered,) = await runcontrol.delivered(1)

    # then run control gets run, status, events and cursor, and nothing of the text
    assert (delivered.pool_id, delivered.condition_id, delivered.run_id) == (POOL, "c-w", RUN_B)
    assert delivered.status == run.WAKE_STATUS_TRIGGERED
    assert list(delivered.message_ids) == ["m-k1"]
    (event,) = delivered.events
    matched = (event.kind, event.message_id, event.from_run_id)
    assert matched == ("message.delivered", "m-k1", RUN_A)
    sequence = Cursors("pool").decode(delivered.cursor, POOL, "cursor", Decoder())
    assert event.sequence == receipt.sequence == sequence
    assert b"secret" not in delivered.SerializeToString()
    ended = await delivery_of(pool, "w", pb.DELIVERY_OUTCOME_ACCEPTED)
    assert ended.state == pb.Wake.STATE_TRIGGERED


async def test_the_message_can_be_fetched_by_name(
    pool: PoolClient, runcontrol: FakeRunControl
) -> None:
    # given a question, and its sender waiting for the answer to it alone
    asked = await pool.send("k1")
    answer = pb.EventFilter(kinds=["message.delivered"], reply_to=["m-k1"])
    await pool.suspend(RUN_A, "w", answer, cursor=asked.cursor)

    # when another message comes, and then the answer
    await pool.send("k2", from_run_id=RUN_B, to=pb.Address(run_id=RUN_A))
    await pool.respond(RUN_B, "m-k1", "a1")
    (delivered,) = await runcontrol.delivered(1)
    fetched = await pool.fetch(RUN_A, message_ids=delivered.message_ids)

    # then the woken run gets the answer
    (delivery,) = fetched.deliveries
    assert (delivery.message.reply_to, delivery.message.inline_body.data) == ("m-k1", b"answer")


async def test_every_kind_of_end_is_delivered_as_its_resume_policy_says(
    pool: PoolClient, runcontrol: FakeRunControl
) -> None:
    # given a match with a summary, a match with nothing, a time-out and a cancel
    await pool.send("k1")
    await pool.suspend(RUN_B, "summary", resume_with=pb.RESUME_POLICY_REDACTED_SUMMARY)
    await pool.suspend(RUN_B, "none", resume_with=pb.RESUME_POLICY_NONE)
    late = {"timeout": seconds(0), "resume_with": pb.RESUME_POLICY_REDACTED_SUMMARY}
    await pool.suspend(RUN_B, "late", **late)
    await pool.suspend(RUN_A, "off")
    await pool.cancel("off")

    # when they are delivered
    delivered = {each.condition_id: each for each in await runcontrol.delivered(4)}

    # then they come in the order in which they ended, with status and what the policy allows
    assert list(delivered) == ["c-summary", "c-none", "c-late", "c-off"]
    matched, timed_out = run.WAKE_STATUS_TRIGGERED, run.WAKE_STATUS_TIMED_OUT
    statuses = [each.status for each in delivered.values()]
    assert statuses == [matched, matched, timed_out, run.WAKE_STATUS_CANCELLED]
    assert delivered["c-summary"].summary == "1 event(s): message delivered"
    assert delivered["c-late"].summary == "wake timed out"
    for key in ("c-summary", "c-none"):
        assert (list(delivered[key].events), list(delivered[key].message_ids)) == ([], [])
    assert delivered["c-none"].summary == ""


@on_both_engines
async def test_a_wake_ends_once_however_many_calls_end_it(
    pool: PoolClient, runcontrol: FakeRunControl
) -> None:
    # given a wait, and a cancel, twenty messages and its registration again, all at once
    await pool.suspend(RUN_B, "w")
    sends = [pool.send(f"k{n}") for n in range(20)]

    # when all have been answered, and another wait behind them in the lane was delivered
    await asyncio.gather(*sends[:10], pool.cancel("w"), *sends[10:], pool.suspend(RUN_B, "w"))
    await pool.suspend(RUN_B, "last", timeout=seconds(0))
    await runcontrol.until(lambda: any(w.condition_id == "c-last" for w in runcontrol.wakes))

    # then one of them has ended it
    assert [each.condition_id for each in runcontrol.wakes] == ["c-w", "c-last"]
    assert (await pool.wake("w")).state in {pb.Wake.STATE_TRIGGERED, pb.Wake.STATE_CANCELLED}


@on_both_engines
async def test_an_unknown_run_ends_the_wake_failed(
    pool: PoolClient, runcontrol: FakeRunControl
) -> None:
    # given a run that run control does not know, and one behind it that it does
    runcontrol.refusals[RUN_B] = UNKNOWN_RUN
    await pool.suspend(RUN_B, "w", timeout=seconds(0))
    await pool.suspend(RUN_A, "v", timeout=seconds(0))

    # when the wakes are delivered
    await runcontrol.delivered(1)
    failed = await delivery_of(pool, "w", pb.DELIVERY_OUTCOME_REFUSED)

    # then the first has failed for that reason, and the second was delivered
    assert (failed.state, failed.end_reason) == (pb.Wake.STATE_FAILED, "RUN_NOT_FOUND")
    assert [each.run_id for each in runcontrol.wakes] == [RUN_A]


async def test_a_finished_run_is_an_outcome_and_no_failure(
    pool: PoolClient, runcontrol: FakeRunControl
) -> None:
    # given a run that has finished
    runcontrol.outcomes[RUN_B] = runs.WAKE_OUTCOME_RUN_FINISHED

    # when a wake of it is delivered
    await pool.suspend(RUN_B, "w", timeout=seconds(0))
    ended = await delivery_of(pool, "w", pb.DELIVERY_OUTCOME_RUN_FINISHED)

    # then that is noted, and the wake ended as it did
    assert ended.state == pb.Wake.STATE_TIMED_OUT


@pytest.mark.parametrize(
    "trouble",
    [
        (grpc.StatusCode.UNAVAILABLE, ""),
        (grpc.StatusCode.INTERNAL, "INTERNAL"),
        (grpc.StatusCode.NOT_FOUND, ""),  # a proxy that knows no such route
        (grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED"),
    ],
    ids=lambda trouble: f"{trouble[0].name}-{trouble[1]}",
)
async def test_a_failed_delivery_is_tried_again(
    pool: PoolClient, runcontrol: FakeRunControl, trouble: tuple[grpc.StatusCode, str]
) -> None:
    # given a run control that fails
    runcontrol.refusals[RUN_B] = trouble
    await pool.suspend(RUN_B, "w", timeout=seconds(0))
    await runcontrol.refused(RUN_B)

    # when it recovers
    runcontrol.refusals.clear()
    await runcontrol.delivered(1)

    # then the wake has arrived and did not fail
    ended = await delivery_of(pool, "w", pb.DELIVERY_OUTCOME_ACCEPTED)
    assert ended.state == pb.Wake.STATE_TIMED_OUT


async def test_the_delivery_is_linked_to_cause_and_suspension(
    pool: PoolClient, runcontrol: FakeRunControl
) -> None:
    # given a wait and a message, each in a trace of its own
    with recording() as recorded:
        with span("waiting", parent=""):
            await pool.suspend(RUN_B, "w")
        with span("writing", parent=""):
            await pool.send("k1")

        # when the wake is delivered
        (delivered,) = await runcontrol.delivered(1)
        await delivery_of(pool, "w", pb.DELIVERY_OUTCOME_ACCEPTED)
        delivery = recorded.named("outbox deliver_wake")
        sent = server_span(recorded.spans, "SendMessage")
        waited = server_span(recorded.spans, "SuspendUntil")

    # then its span continues the trace of the message, and links to both
    assert delivery.context.trace_id == sent.context.trace_id
    cause, suspension = sent.context.span_id, waited.context.span_id
    links = {(link.attributes or {})[LINK_TYPE]: link.context.span_id for link in delivery.links}
    assert links == {LINK_WAKE_CAUSE: cause, LINK_SUSPENDED_BY: suspension}
    assert format(cause, "016x") in delivered.cause_traceparent
    assert format(suspension, "016x") in delivered.suspension_traceparent
    assert delivered.events[0].traceparent == delivered.cause_traceparent
    assert format(sent.context.trace_id, "032x") in runcontrol.traceparents[0]


def server_span(spans: tuple[ReadableSpan, ...], method: str) -> ReadableSpan:
    """The span under which the pool handled a call of ``method``."""
    (found,) = (each for each in spans if each.name.endswith(method) and each.kind.name == "SERVER")
    return found


@on_both_engines
async def test_a_restart_keeps_waits_leases_timers_and_outbox_rows(
    serve: Serve, runcontrol: FakeRunControl
) -> None:
    # given a server that is stopped with a wait, a lease, a timer, and a wake run control refused
    runcontrol.refusals[RUN_A] = (grpc.StatusCode.UNAVAILABLE, "")
    async with serve() as pool:
        await pool.opened(RUN_A, RUN_B)
        await pool.send("k1")
        (delivery,) = (await pool.fetch(RUN_B)).deliveries
        now = pb.WakeCondition.START_NOW
        waiting = await pool.suspend(RUN_B, "w", start=now, timeout=seconds(3600))
        await pool.suspend(RUN_B, "soon", start=now, timeout=seconds(0.2))
        await pool.suspend(RUN_A, "undelivered", timeout=seconds(0))
        await runcontrol.refused(RUN_A)
    runcontrol.refusals.clear()

    # when it starts again
    async with serve() as pool:
        delivered = await runcontrol.delivered(2)
        await pool.send("k2")
        delivered = await runcontrol.delivered(3)
        acked = await pool.ack(delivery)
        repeated = await pool.send("k1")
        head = (await pool.get()).head_sequence

    # then the outbox resumes, the timer fires, the wait is kept and ended, the lease is valid
    assert {each.condition_id: each.status for each in delivered} == {
        "c-undelivered": run.WAKE_STATUS_TIMED_OUT,
        "c-soon": run.WAKE_STATUS_TIMED_OUT,
        "c-w": run.WAKE_STATUS_TRIGGERED,
    }
    assert waiting.wake.state == pb.Wake.STATE_REGISTERED
    assert acked.changed
    assert repeated.deduplicated
    assert head == 14


async def test_a_wake_is_delivered_once_run_control_starts(serve: Serve) -> None:
    # given a pool whose run control has not started
    async with fake_runcontrol() as gone:
        pass
    async with serve(target=gone.target) as pool:
        await pool.opened(RUN_A)
        await pool.suspend(RUN_A, "w", timeout=seconds(0))

        # when it starts on the address that was configured
        async with fake_runcontrol(gone) as back:
            (delivered,) = await back.delivered(1)

    # then the wake is delivered
    assert delivered.condition_id == "c-w"
