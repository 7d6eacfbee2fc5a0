"""Telling run control: once per wake, in order, in the right trace, and until it has heard."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan

from runyard.pool.v1 import pool_pb2 as pb
from runyard.pool.v1 import pool_service_pb2 as rpc
from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from runyard.runcontrol.v1 import runcontrol_pb2 as run
from runyard.runcontrol.v1 import runcontrol_service_pb2 as runs
from services.chassis.telemetry import span
from services.chassis.telemetry_names import LINK_SUSPENDED_BY, LINK_TYPE, LINK_WAKE_CAUSE
from services.pool.core.cursors import sequence_of
from tests.contract.pool.conftest import Serve
from tests.contract.pool.requests import (
    POOL,
    RUN_A,
    RUN_B,
    fetch,
    opened,
    respond,
    seconds,
    send,
    suspend,
    wake,
)
from tests.support.engines import on_both_engines
from tests.support.fake_runcontrol import UNKNOWN_RUN, FakeRunControl, fake_runcontrol
from tests.support.spans import recording


async def delivery_of(pool: PoolServiceStub, key: str, wanted: pb.DeliveryOutcome) -> pb.Wake:
    """The wake, once the answer of run control has been applied."""
    async with asyncio.timeout(10):
        while True:
            found = (await pool.GetWake(wake(key))).wake
            if found.delivery == wanted:
                return found
            await asyncio.sleep(0)


@on_both_engines
async def test_a_fired_wake_is_delivered_with_what_matched(
    pool: PoolServiceStub, runcontrol: FakeRunControl
) -> None:
    # given run-b waiting for a message
    await opened(pool, RUN_A, RUN_B)
    await pool.SuspendUntil(suspend(RUN_B, "w", timeout=seconds(60)))

    # when it comes
    receipt = (await pool.SendMessage(send("k1", "the secret text"))).receipt
    (told,) = await runcontrol.delivered(1)

    # then run control learns who, how, why, and where to go on, and nothing of the text
    assert (told.pool_id, told.condition_id, told.run_id) == (POOL, "c-w", RUN_B)
    assert told.status == run.WAKE_STATUS_TRIGGERED
    assert list(told.message_ids) == ["m-k1"]
    (event,) = told.events
    assert (event.kind, event.message_id, event.from_run_id) == (
        "message.delivered", "m-k1", RUN_A
    )  # fmt: skip
    assert event.sequence == receipt.sequence == sequence_of(told.cursor, POOL)
    assert b"secret" not in told.SerializeToString()
    ended = await delivery_of(pool, "w", pb.DELIVERY_OUTCOME_ACCEPTED)
    assert ended.state == pb.Wake.STATE_TRIGGERED


async def test_the_message_can_be_fetched_by_name(
    pool: PoolServiceStub, runcontrol: FakeRunControl
) -> None:
    # given a question, and its sender waiting for the answer to it alone
    await opened(pool, RUN_A, RUN_B)
    asked = (await pool.SendMessage(send("k1"))).receipt
    answer = pb.EventFilter(kinds=["message.delivered"], reply_to=["m-k1"])
    await pool.SuspendUntil(suspend(RUN_A, "w", answer, cursor=asked.cursor))

    # when another message comes, and then the answer
    await pool.SendMessage(send("k2", from_run_id=RUN_B, to=pb.Address(run_id=RUN_A)))
    await pool.Respond(respond(RUN_B, "m-k1", "a1"))
    (told,) = await runcontrol.delivered(1)
    fetched = await pool.FetchInbox(fetch(RUN_A, message_ids=told.message_ids))

    # then the woken run gets the answer
    (delivery,) = fetched.deliveries
    assert (delivery.message.reply_to, delivery.message.inline_body.data) == ("m-k1", b"answer")


async def test_every_kind_of_end_is_told_as_its_policy_wants(
    pool: PoolServiceStub, runcontrol: FakeRunControl
) -> None:
    # given a match told as a summary, one told as nothing, a time-out and a cancel
    await opened(pool, RUN_A, RUN_B)
    await pool.SendMessage(send("k1"))
    await pool.SuspendUntil(
        suspend(RUN_B, "summary", resume_with=pb.RESUME_POLICY_REDACTED_SUMMARY)
    )
    await pool.SuspendUntil(suspend(RUN_B, "none", resume_with=pb.RESUME_POLICY_NONE))
    late = {"timeout": seconds(0), "resume_with": pb.RESUME_POLICY_REDACTED_SUMMARY}
    await pool.SuspendUntil(suspend(RUN_B, "late", **late))
    await pool.SuspendUntil(suspend(RUN_A, "off"))
    await pool.CancelWake(rpc.CancelWakeRequest(pool_id=POOL, condition_id="c-off"))

    # when run control hears of them
    told = {each.condition_id: each for each in await runcontrol.delivered(4)}

    # then in the order in which they ended, each with its status and no more than it wanted
    assert list(told) == ["c-summary", "c-none", "c-late", "c-off"]
    assert [each.status for each in told.values()] == [
        run.WAKE_STATUS_TRIGGERED,
        run.WAKE_STATUS_TRIGGERED,
        run.WAKE_STATUS_TIMED_OUT,
        run.WAKE_STATUS_CANCELLED,
    ]
    assert told["c-summary"].summary == "1 event(s): message delivered"
    assert told["c-late"].summary == "wake timed out"
    for key in ("c-summary", "c-none"):
        assert (list(told[key].events), list(told[key].message_ids)) == ([], [])
    assert told["c-none"].summary == ""


@on_both_engines
async def test_a_wake_fires_once_whoever_triggers_it(
    pool: PoolServiceStub, runcontrol: FakeRunControl
) -> None:
    # given a wait, and a cancel, twenty messages and its registration again, all at once
    await opened(pool, RUN_A, RUN_B)
    await pool.SuspendUntil(suspend(RUN_B, "w"))
    cancel = rpc.CancelWakeRequest(pool_id=POOL, condition_id="c-w")
    racers = [pool.SendMessage(send(f"k{n}")) for n in range(10)]
    racers.append(pool.CancelWake(cancel))
    racers += [pool.SendMessage(send(f"k{n}")) for n in range(10, 20)]
    racers.append(pool.SuspendUntil(suspend(RUN_B, "w")))

    # when all have been answered, and another wait behind them in the lane was delivered
    await asyncio.gather(*racers)
    await pool.SuspendUntil(suspend(RUN_B, "last", timeout=seconds(0)))
    await runcontrol.until(
        lambda: [w for w in runcontrol.wakes if w.condition_id == "c-last"] != []
    )

    # then one of them has won
    assert [each.condition_id for each in runcontrol.wakes] == ["c-w", "c-last"]
    state = (await pool.GetWake(wake("w"))).wake.state
    assert state in {pb.Wake.STATE_TRIGGERED, pb.Wake.STATE_CANCELLED}


@on_both_engines
async def test_an_unknown_run_ends_the_wake_failed(
    pool: PoolServiceStub, runcontrol: FakeRunControl
) -> None:
    # given a run that run control does not know, and one behind it that it does
    runcontrol.refusals[RUN_B] = UNKNOWN_RUN
    await opened(pool, RUN_A, RUN_B)
    await pool.SuspendUntil(suspend(RUN_B, "w", timeout=seconds(0)))
    await pool.SuspendUntil(suspend(RUN_A, "v", timeout=seconds(0)))

    # when the wakes are delivered
    await runcontrol.delivered(1)
    failed = await delivery_of(pool, "w", pb.DELIVERY_OUTCOME_REFUSED)

    # then the first has failed for that reason, and the lane went on
    assert (failed.state, failed.end_reason) == (pb.Wake.STATE_FAILED, "RUN_NOT_FOUND")
    assert [each.run_id for each in runcontrol.wakes] == [RUN_A]


async def test_a_finished_run_is_fine(pool: PoolServiceStub, runcontrol: FakeRunControl) -> None:
    # given a run that is over
    runcontrol.outcomes[RUN_B] = runs.WAKE_OUTCOME_RUN_FINISHED
    await opened(pool, RUN_A, RUN_B)

    # when a wake of it is delivered
    await pool.SuspendUntil(suspend(RUN_B, "w", timeout=seconds(0)))
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
async def test_trouble_on_the_way_is_tried_again(
    pool: PoolServiceStub, runcontrol: FakeRunControl, trouble: tuple[grpc.StatusCode, str]
) -> None:
    # given a run control in trouble
    runcontrol.refusals[RUN_B] = trouble
    await opened(pool, RUN_A, RUN_B)
    await pool.SuspendUntil(suspend(RUN_B, "w", timeout=seconds(0)))
    await runcontrol.until(lambda: runcontrol.attempts >= 1)

    # when it recovers
    runcontrol.refusals.clear()
    await runcontrol.delivered(1)

    # then the wake has arrived and did not fail
    ended = await delivery_of(pool, "w", pb.DELIVERY_OUTCOME_ACCEPTED)
    assert ended.state == pb.Wake.STATE_TIMED_OUT


async def test_the_delivery_is_linked_to_cause_and_suspension(
    pool: PoolServiceStub, runcontrol: FakeRunControl
) -> None:
    # given a wait and a message, each in a trace of its own
    await opened(pool, RUN_A, RUN_B)
    with recording() as recorded:
        with span("waiting", parent=""):
            await pool.SuspendUntil(suspend(RUN_B, "w"))
        with span("writing", parent=""):
            await pool.SendMessage(send("k1"))

        # when the wake is delivered
        (told,) = await runcontrol.delivered(1)
        await delivery_of(pool, "w", pb.DELIVERY_OUTCOME_ACCEPTED)
        delivery = recorded.named("outbox deliver_wake")
        sent = server_span(recorded.spans, "SendMessage")
        waited = server_span(recorded.spans, "SuspendUntil")

    # then its span goes on in the trace of the message, and links to both
    assert delivery.context.trace_id == sent.context.trace_id
    links = {
        str((link.attributes or {})[LINK_TYPE]): link.context.span_id for link in delivery.links
    }
    assert links == {
        LINK_WAKE_CAUSE: sent.context.span_id,
        LINK_SUSPENDED_BY: waited.context.span_id,
    }
    assert format(sent.context.span_id, "016x") in told.cause_traceparent
    assert format(waited.context.span_id, "016x") in told.suspension_traceparent
    assert told.events[0].traceparent == told.cause_traceparent
    assert format(sent.context.trace_id, "032x") in runcontrol.traceparents[0]


def server_span(spans: tuple[ReadableSpan, ...], method: str) -> ReadableSpan:
    """The span under which the pool handled a call of ``method``."""
    (found,) = (each for each in spans if each.name.endswith(method) and each.kind.name == "SERVER")
    return found


@on_both_engines
async def test_a_restart_forgets_nothing(serve: Serve, runcontrol: FakeRunControl) -> None:
    # given a server that is stopped with a wait, a lease, a timer, and a wake run control refused
    runcontrol.refusals[RUN_A] = (grpc.StatusCode.UNAVAILABLE, "")
    async with serve() as pool:
        await opened(pool, RUN_A, RUN_B)
        await pool.SendMessage(send("k1"))
        (delivery,) = (await pool.FetchInbox(fetch(RUN_B))).deliveries
        waiting = await pool.SuspendUntil(
            suspend(RUN_B, "w", start=pb.WakeCondition.START_NOW, timeout=seconds(3600))
        )
        await pool.SuspendUntil(
            suspend(RUN_B, "soon", start=pb.WakeCondition.START_NOW, timeout=seconds(0.2))
        )
        await pool.SuspendUntil(suspend(RUN_A, "undelivered", timeout=seconds(0)))
        await runcontrol.until(lambda: runcontrol.attempts >= 1)
    runcontrol.refusals.clear()

    # when it starts again
    async with serve() as pool:
        told = await runcontrol.delivered(2)
        await pool.SendMessage(send("k2"))
        told = await runcontrol.delivered(3)
        acked = await pool.AckDelivery(
            rpc.AckDeliveryRequest(
                pool_id=POOL,
                run_id=RUN_B,
                message_id="m-k1",
                lease_token=delivery.lease_token,
            )
        )
        repeated = await pool.SendMessage(send("k1"))
        head = (await pool.GetPool(rpc.GetPoolRequest(pool_id=POOL))).pool.head_sequence

    # then the outbox resumes, the timer fires, the wait still waits and is woken, the lease holds
    assert {each.condition_id: each.status for each in told} == {
        "c-undelivered": run.WAKE_STATUS_TIMED_OUT,
        "c-soon": run.WAKE_STATUS_TIMED_OUT,
        "c-w": run.WAKE_STATUS_TRIGGERED,
    }
    assert waiting.wake.state == pb.Wake.STATE_REGISTERED
    assert acked.changed
    assert repeated.receipt.deduplicated
    assert head == 14


async def test_run_control_may_come_back_later(serve: Serve) -> None:
    # given a pool whose run control is not there yet
    async with fake_runcontrol() as gone:
        pass
    async with serve(target=gone.target) as pool:
        await opened(pool, RUN_A)
        await pool.SuspendUntil(suspend(RUN_A, "w", timeout=seconds(0)))

        # when it starts on the address that was configured
        async with fake_runcontrol(gone) as back:
            (told,) = await back.delivered(1)

    # then it hears
    assert told.condition_id == "c-w"
