"""The pool over its contract: a real server and a real stub."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from runyard.pool.v1 import pool_pb2 as pb
from runyard.pool.v1 import pool_service_pb2 as rpc
from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from tests.contract.pool.requests import (
    POOL,
    RUN_A,
    RUN_B,
    RUN_C,
    ack,
    fetch,
    join,
    opened,
    refused,
    respond,
    seconds,
    send,
    suspend,
    wake,
)
from tests.support.engines import on_both_engines

ODD_ID = 'o\'dd "id"/with %25 & 😀 ünïcode;--'


@on_both_engines
async def test_open_join_and_look(pool: PoolServiceStub) -> None:
    # given a pool with policies on both sides
    ref = pb.PolicyRef(policy_id="p", version="1")
    config = pb.PoolConfig(
        message_policy=pb.MessagePolicy(required_policy_refs=[ref]),
        wake_policy=pb.WakePolicy(envelope_only=False),
        policy_refs=[ref],
        auto_leave=False,
        leaver_policy=pb.LEAVER_POLICY_REROUTE_TO_AGENT,
    )
    first = await pool.OpenPool(rpc.OpenPoolRequest(pool_id=POOL, config=config))
    again = await pool.OpenPool(rpc.OpenPoolRequest(pool_id=POOL, config=config))

    # when runs join it
    joined = await pool.JoinPool(join(RUN_B, topics=["t", "s", "t"], policy_refs=[ref]))
    same = await pool.JoinPool(join(RUN_B, topics=["s", "t"], policy_refs=[ref]))
    await pool.JoinPool(join(RUN_A))

    # then everything can be read back
    assert (first.opened, again.opened, again.pool) == (True, False, first.pool)
    assert (joined.changed, same.changed, same.member) == (True, False, joined.member)
    assert list(joined.member.topics) == ["s", "t"]
    read = (await pool.GetPool(rpc.GetPoolRequest(pool_id=POOL))).pool
    assert (read.state, read.created, read.member_count) == (pb.Pool.STATE_OPEN, True, 2)
    assert (read.head_sequence, read.oldest_sequence, read.etag) == (4, 1, "1")
    assert read.config.policy_refs[0] == pb.PolicyRef(kind="host", policy_id="p", version="1")
    assert (read.config.auto_leave, read.config.wake_policy.envelope_only) == (False, False)
    assert read.config.leaver_policy == pb.LEAVER_POLICY_REROUTE_TO_AGENT
    assert joined.sequence == 3


async def test_defaults_of_a_configuration_are_answered(pool: PoolServiceStub) -> None:
    # given nothing said, when a pool is opened
    config = (await pool.OpenPool(rpc.OpenPoolRequest(pool_id=POOL))).pool.config

    # then the defaults are
    assert (config.auto_leave, config.wake_policy.envelope_only) == (True, True)
    assert config.leaver_policy == pb.LEAVER_POLICY_DEAD_LETTER


@on_both_engines
async def test_members_come_in_pages(pool: PoolServiceStub) -> None:
    # given three members
    await opened(pool, RUN_A, RUN_B, RUN_C)

    # when they are listed two at a time
    first = await pool.ListMembers(rpc.ListMembersRequest(pool_id=POOL, page_size=2))
    second = await pool.ListMembers(
        rpc.ListMembersRequest(pool_id=POOL, page_size=2, page_token=first.next_page_token)
    )

    # then the pages join up, and a token of another listing is refused
    assert [member.run_id for member in first.members] == [RUN_A, RUN_B]
    assert [member.run_id for member in second.members] == [RUN_C]
    assert second.next_page_token == ""
    exact = await pool.ListMembers(rpc.ListMembersRequest(pool_id=POOL, page_size=3))
    assert (len(exact.members), exact.next_page_token) == (3, "")
    for token, complaint in (
        (first.next_page_token, "another listing"),
        ("%%", "not a page token"),
    ):
        facts = await refused(
            pool.ListMembers(rpc.ListMembersRequest(pool_id=POOL, topic="t", page_token=token))
        )
        assert complaint in facts.violations[0].description


@on_both_engines
async def test_a_message_from_send_to_answer(pool: PoolServiceStub) -> None:
    # given two members
    await opened(pool, RUN_A, RUN_B)

    # when one asks and the other reads, acknowledges and answers
    asked = await pool.SendMessage(
        send(
            "k1",
            correlation=[pb.Correlation(key="job", value="7")],
            response_contract=pb.ResponseContract(expected_responses=1, timeout=seconds(60)),
        )
    )
    (delivery,) = (await pool.FetchInbox(fetch(RUN_B))).deliveries
    acked = await pool.AckDelivery(ack(delivery))
    again = await pool.AckDelivery(ack(delivery))
    answer = await pool.Respond(respond(RUN_B, "m-k1", "a1"))

    # then each step says what it came to
    assert asked.receipt.state == pb.MESSAGE_STATE_DELIVERED
    assert [each.run_id for each in asked.receipt.delivered_to] == [RUN_B]
    assert (asked.receipt.sequence, delivery.sequence) == (6, 6)
    assert delivery.message.inline_body == pb.InlineBody(data=b"hello", media_type="text/plain")
    assert delivery.message.response_contract.timeout == seconds(60)
    assert (delivery.attempt, delivery.state) == (1, pb.Delivery.STATE_LEASED)
    assert (acked.changed, acked.delivery.state) == (True, pb.Delivery.STATE_ACKED)
    assert again.changed is False
    assert answer.request_state == pb.MESSAGE_STATE_RESPONDED
    view = await pool.GetMessage(rpc.GetMessageRequest(pool_id=POOL, message_id="m-k1"))
    assert view.receipt.state == pb.MESSAGE_STATE_RESPONDED
    assert [reply.responder_run_id for reply in view.receipt.replies] == [RUN_B]
    assert view.message.correlation == [pb.Correlation(key="job", value="7")]
    assert (view.message.body_bytes, view.message.from_agent_id) == (5, "agent-of-run-a")
    assert [(d.state, d.lease_token) for d in view.deliveries] == [(pb.Delivery.STATE_ACKED, "")]
    replied = (await pool.FetchInbox(fetch(RUN_A))).deliveries[0].message
    assert (replied.reply_to, replied.inline_body.data) == ("m-k1", b"answer")


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        (pb.Address(run_id="nobody"), pb.UNDELIVERED_REASON_NO_SUCH_MEMBER),
        (pb.Address(topic="t"), pb.UNDELIVERED_REASON_NO_TOPIC_MEMBERS),
        (pb.Address(pool_id="other"), pb.UNDELIVERED_REASON_FOREIGN_POOL),
    ],
)
async def test_reaching_nobody_is_a_receipt(
    pool: PoolServiceStub, to: pb.Address, reason: pb.UndeliveredReason
) -> None:
    # given a pool
    await opened(pool, RUN_A, RUN_B)

    # when a message is for nobody
    receipt = (await pool.SendMessage(send("k1", to=to))).receipt

    # then the call is OK and the receipt has the reason
    assert (receipt.state, receipt.failure_reason) == (pb.MESSAGE_STATE_FAILED, reason)


async def test_a_broadcast_says_who_gets_it_and_who_does_not(pool: PoolServiceStub) -> None:
    # given a member that holds a policy and two that do not
    await opened(pool, RUN_A, RUN_B)
    ref = pb.PolicyRef(policy_id="p")
    await pool.JoinPool(join(RUN_C, policy_refs=[ref]))

    # when a message with the policy goes to the pool
    to = pb.Address(pool_id=POOL)
    receipt = (await pool.SendMessage(send("k1", to=to, policy_refs=[ref]))).receipt

    # then the receipt is complete
    assert [each.run_id for each in receipt.delivered_to] == [RUN_C]
    assert {each.run_id: each.reason for each in receipt.excluded} == {
        RUN_A: pb.UNDELIVERED_REASON_SENDER_EXCLUDED,
        RUN_B: pb.UNDELIVERED_REASON_RECIPIENT_POLICY_MISMATCH,
    }
    assert receipt.excluded_count == 2


@on_both_engines
async def test_a_hundred_sends_with_one_key_are_one_message(pool: PoolServiceStub) -> None:
    # given a pool
    await opened(pool, RUN_A, RUN_B)

    # when one message is sent by a hundred callers at once
    answers = await asyncio.gather(*(pool.SendMessage(send("k1")) for _ in range(100)))

    # then one of them sent it
    receipts = [answer.receipt for answer in answers]
    assert sum(not receipt.deduplicated for receipt in receipts) == 1
    assert {receipt.sequence for receipt in receipts} == {6}
    assert len((await pool.FetchInbox(fetch(RUN_B))).deliveries) == 1


async def test_a_repeated_request_id_answers_the_stored_response(pool: PoolServiceStub) -> None:
    # given a fetch under a request id
    await opened(pool, RUN_A, RUN_B)
    await pool.SendMessage(send("k1"))
    first = await pool.FetchInbox(fetch(RUN_B, request_id="r1"))

    # when it is repeated, and once with other content
    again = await pool.FetchInbox(fetch(RUN_B, request_id="r1"))
    facts = await refused(pool.FetchInbox(fetch(RUN_B, request_id="r1", max_deliveries=3)))

    # then the leases are the same
    assert again == first
    assert (facts.code, facts.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_CONFLICT")


async def test_what_was_named_and_does_not_come_is_listed(pool: PoolServiceStub) -> None:
    # given one message of two that was acknowledged
    await opened(pool, RUN_A, RUN_B)
    await pool.SendMessage(send("k1"))
    await pool.SendMessage(send("k2"))
    (delivery, _) = (await pool.FetchInbox(fetch(RUN_B))).deliveries
    await pool.AckDelivery(ack(delivery))

    # when both are asked for by name, and one that never was
    fetched = await pool.FetchInbox(fetch(RUN_B, message_ids=["m-k1", "m-k2", "m-none"]))

    # then one comes, as the next attempt, and the others have their states
    assert [(d.message.message_id, d.attempt) for d in fetched.deliveries] == [("m-k2", 2)]
    assert [(each.message_id, each.state) for each in fetched.unfetched] == [
        ("m-k1", pb.Delivery.STATE_ACKED),
        ("m-none", pb.Delivery.STATE_UNSPECIFIED),
    ]


@on_both_engines
async def test_an_inbox_keeps_the_order_of_the_commits(pool: PoolServiceStub) -> None:
    # given fifty messages sent at once by two senders
    await opened(pool, RUN_A, RUN_B, RUN_C)
    sends = [send(f"k{n}", from_run_id=RUN_A if n % 2 else RUN_C) for n in range(50)]
    receipts = [a.receipt for a in await asyncio.gather(*map(pool.SendMessage, sends))]

    # when the inbox is read in portions
    read: list[str] = []
    more = True
    while more:
        portion = await pool.FetchInbox(fetch(RUN_B, max_deliveries=7))
        read += [delivery.message.message_id for delivery in portion.deliveries]
        more = portion.more

    # then every message is there once, in the order of its sequence
    receipts.sort(key=lambda receipt: receipt.sequence)
    assert read == [receipt.message_id for receipt in receipts]
    assert len(set(read)) == 50


@on_both_engines
async def test_a_wake_carries_what_it_matched(pool: PoolServiceStub) -> None:
    # given run-b waiting from where it joined
    await opened(pool, RUN_A)
    cursor = (await pool.JoinPool(join(RUN_B))).cursor
    waiting = await pool.SuspendUntil(suspend(RUN_B, "w", cursor=cursor, timeout=seconds(60)))

    # when a message comes for it
    await pool.SendMessage(send("k1", content_ref="ref-1"))
    ended = (await pool.GetWake(wake("w"))).wake
    repeated = await pool.SuspendUntil(suspend(RUN_B, "w", cursor=cursor, timeout=seconds(60)))

    # then the wake says which, and the repeat answers the same
    assert waiting.wake.state == pb.Wake.STATE_REGISTERED
    assert waiting.wake.HasField("deadline_time")
    assert ended.state == pb.Wake.STATE_TRIGGERED
    (event,) = ended.matched_events
    assert (event.kind, event.message_id, event.sender_run_id) == (
        "message.delivered", "m-k1", RUN_A
    )  # fmt: skip
    assert (event.event_id, event.content_ref) == (f"event.{event.sequence}", "ref-1")
    assert ended.condition == waiting.wake.condition
    assert (repeated.deduplicated, repeated.wake.state) == (True, pb.Wake.STATE_TRIGGERED)
    facts = await refused(pool.GetWake(wake("none")))
    assert (facts.code, facts.reason) == (grpc.StatusCode.NOT_FOUND, "WAKE_NOT_FOUND")


async def test_cursors_of_receipts_and_fetches_continue_a_wait(pool: PoolServiceStub) -> None:
    # given a message that run-b has read
    await opened(pool, RUN_A, RUN_B)
    sent = (await pool.SendMessage(send("k1"))).receipt
    fetched = await pool.FetchInbox(fetch(RUN_B, message_ids=["m-k1"]))

    # when it waits for the next one from either cursor
    by_receipt = await pool.SuspendUntil(suspend(RUN_B, "w1", cursor=sent.cursor))
    by_fetch = await pool.SuspendUntil(suspend(RUN_B, "w2", cursor=fetched.cursor))
    by_default = await pool.SuspendUntil(suspend(RUN_B, "w3"))
    from_now = await pool.SuspendUntil(suspend(RUN_B, "w4", start=pb.WakeCondition.START_NOW))

    # then only the wait without a place to start from sees the old one
    states = [each.wake.state for each in (by_receipt, by_fetch, by_default, from_now)]
    waits, fired = pb.Wake.STATE_REGISTERED, pb.Wake.STATE_TRIGGERED
    assert states == [waits, waits, fired, waits]


async def test_the_way_a_wake_is_told_hides_what_it_should(pool: PoolServiceStub) -> None:
    # given a match
    await opened(pool, RUN_A, RUN_B)
    await pool.SendMessage(send("k1"))

    # when nothing of it is wanted
    answer = await pool.SuspendUntil(suspend(RUN_B, "w", resume_with=pb.RESUME_POLICY_NONE))

    # then nothing of it is told
    assert answer.wake.state == pb.Wake.STATE_TRIGGERED
    assert list(answer.wake.matched_events) == []


async def test_a_wait_can_be_cancelled_once(pool: PoolServiceStub) -> None:
    # given a wait
    await opened(pool, RUN_A, RUN_B)
    await pool.SuspendUntil(suspend(RUN_B, "w"))
    request = rpc.CancelWakeRequest(pool_id=POOL, condition_id="c-w")

    # when it is cancelled twice
    first, second = await pool.CancelWake(request), await pool.CancelWake(request)

    # then the second changes nothing
    assert (first.changed, second.changed) == (True, False)
    assert first.wake.state == second.wake.state == pb.Wake.STATE_CANCELLED
    assert first.wake.end_reason == "cancelled"


@on_both_engines
async def test_odd_and_long_ids_are_safe(pool: PoolServiceStub) -> None:
    # given ids of every legal kind
    long_id = "ü" * 256
    await pool.OpenPool(rpc.OpenPoolRequest(pool_id=ODD_ID))
    for run_id in (ODD_ID, long_id):
        await pool.JoinPool(join(run_id, pool_id=ODD_ID, agent_id=ODD_ID, topics=[ODD_ID]))

    # when a message passes between them
    topic = pb.Address(topic=ODD_ID)
    sent = await pool.SendMessage(
        send(ODD_ID, pool_id=ODD_ID, from_run_id=long_id, to=topic, message_id=ODD_ID)
    )
    fetched = await pool.FetchInbox(
        rpc.FetchInboxRequest(pool_id=ODD_ID, run_id=ODD_ID, message_ids=[ODD_ID])
    )

    # then nothing is lost or mistaken
    assert {each.run_id for each in sent.receipt.delivered_to} == {ODD_ID, long_id}
    assert fetched.deliveries[0].message.to.topic == ODD_ID


@on_both_engines
async def test_expiry_and_timeouts_happen_by_themselves(pool: PoolServiceStub) -> None:
    # given a message that is good for a moment, waited for by its end
    await opened(pool, RUN_A, RUN_B)
    soon = Timestamp()
    soon.GetCurrentTime()
    soon.FromMilliseconds(soon.ToMilliseconds() + 150)
    await pool.SendMessage(send("k1", expire_time=soon))
    ended = pb.EventFilter(message_ids=["m-k1"], terminal_only=True)
    await pool.SuspendUntil(suspend(RUN_A, "w", ended))

    # when the moment passes, and nobody asks
    async with asyncio.timeout(5):
        while (await pool.GetWake(wake("w"))).wake.state == pb.Wake.STATE_REGISTERED:  # noqa: ASYNC110
            await asyncio.sleep(0)

    # then the message has expired and its sender was woken by it
    view = await pool.GetMessage(rpc.GetMessageRequest(pool_id=POOL, message_id="m-k1"))
    assert view.receipt.state == pb.MESSAGE_STATE_EXPIRED
    assert (await pool.GetWake(wake("w"))).wake.matched_events[0].kind == "message.expired"
