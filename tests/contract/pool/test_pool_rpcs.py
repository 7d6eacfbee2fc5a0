"""The pool over its contract: a real server and a real stub."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from runyard.pool.v1 import pool_pb2 as pb
from tests.contract.pool.client import (
    POOL,
    RUN_A,
    RUN_B,
    RUN_C,
    PoolClient,
    plain,
    refused,
    seconds,
)
from tests.support.engines import on_both_engines
from tests.support.waiting import within_limit

ODD_ID = 'o\'dd "id"/with %25 & 😀 ünïcode;--'


@on_both_engines
async def test_open_join_and_read(client: PoolClient) -> None:
    # given a pool with policies on both sides
    ref = pb.PolicyRef(policy_id="p", version="1")
    config = pb.PoolConfig(
        message_policy=pb.MessagePolicy(required_policy_refs=[ref]),
        wake_policy=pb.WakePolicy(envelope_only=False),
        policy_refs=[ref],
        auto_leave=False,
        leaver_policy=pb.LEAVER_POLICY_REROUTE_TO_AGENT,
    )
    first = await client.open(config=config)
    again = await client.open(config=config)

    # when runs join it
    joined = await client.join(RUN_B, topics=["t", "s", "t"], policy_refs=[ref])
    same = await client.join(RUN_B, topics=["s", "t"], policy_refs=[ref])
    await client.join(RUN_A)

    # then everything can be read back
    assert (first.opened, again.opened, again.pool) == (True, False, first.pool)
    assert (joined.changed, same.changed, same.member) == (True, False, joined.member)
    assert list(joined.member.topics) == ["s", "t"]
    read = await client.get()
    assert (read.state, read.created, read.member_count) == (pb.Pool.STATE_OPEN, True, 2)
    assert (read.head_sequence, read.oldest_sequence, read.etag) == (4, 1, "1")
    assert read.config.policy_refs[0] == pb.PolicyRef(kind="host", policy_id="p", version="1")
    assert (read.config.auto_leave, read.config.wake_policy.envelope_only) == (False, False)
    assert read.config.leaver_policy == pb.LEAVER_POLICY_REROUTE_TO_AGENT
    assert joined.sequence == 3


async def test_defaults_of_a_configuration_are_answered(client: PoolClient) -> None:
    # given no configuration, when a pool is opened
    config = (await client.open()).pool.config

    # then the defaults are
    assert (config.auto_leave, config.wake_policy.envelope_only) == (True, True)
    assert config.leaver_policy == pb.LEAVER_POLICY_DEAD_LETTER


@on_both_engines
async def test_members_come_in_pages(pool: PoolClient) -> None:
    # given three members
    await pool.join(RUN_C)

    # when they are listed two at a time
    first = await pool.members(page_size=2)
    second = await pool.members(page_size=2, page_token=first.next_page_token)

    # then the pages join up, and a token of another listing is refused
    assert [member.run_id for member in first.members] == [RUN_A, RUN_B]
    assert [member.run_id for member in second.members] == [RUN_C]
    assert second.next_page_token == ""
    exact = await pool.members(page_size=3)
    assert (len(exact.members), exact.next_page_token) == (3, "")
    for token, complaint in (
        (first.next_page_token, "another query"),
        ("%%", "not a token of this listing"),
    ):
        facts = await refused(pool.members(topic="t", page_token=token))
        assert complaint in facts.violations[0].description


@on_both_engines
async def test_a_message_from_send_to_answer(pool: PoolClient) -> None:
    # given two members, when one asks and the other reads, acknowledges and answers
    asked = await pool.send(
        "k1",
        correlation=[pb.Correlation(key="job", value="7")],
        response_contract=pb.ResponseContract(expected_responses=1, timeout=seconds(60)),
    )
    (delivery,) = (await pool.fetch(RUN_B)).deliveries
    acked, again = await pool.ack(delivery), await pool.ack(delivery)
    answer = await pool.respond(RUN_B, "m-k1", "a1")

    # then each answer has the new state
    assert asked.state == pb.MESSAGE_STATE_DELIVERED
    assert [each.run_id for each in asked.delivered_to] == [RUN_B]
    assert (asked.sequence, delivery.sequence) == (6, 6)
    assert delivery.message.inline_body == plain("hello")
    assert delivery.message.response_contract.timeout == seconds(60)
    assert (delivery.attempt, delivery.state) == (1, pb.Delivery.STATE_LEASED)
    assert (acked.changed, acked.delivery.state) == (True, pb.Delivery.STATE_ACKED)
    assert again.changed is False
    assert answer.request_state == pb.MESSAGE_STATE_RESPONDED
    view = await pool.message("m-k1")
    assert view.receipt.state == pb.MESSAGE_STATE_RESPONDED
    assert [reply.responder_run_id for reply in view.receipt.replies] == [RUN_B]
    assert view.message.correlation == [pb.Correlation(key="job", value="7")]
    assert (view.message.body_bytes, view.message.from_agent_id) == (5, "agent-of-run-a")
    assert [(d.state, d.lease_token) for d in view.deliveries] == [(pb.Delivery.STATE_ACKED, "")]
    replied = (await pool.fetch(RUN_A)).deliveries[0].message
    assert (replied.reply_to, replied.inline_body.data) == ("m-k1", b"answer")


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        (pb.Address(run_id="nobody"), pb.UNDELIVERED_REASON_NO_SUCH_MEMBER),
        (pb.Address(topic="t"), pb.UNDELIVERED_REASON_NO_TOPIC_MEMBERS),
        (pb.Address(pool_id="other"), pb.UNDELIVERED_REASON_FOREIGN_POOL),
    ],
)
async def test_a_message_without_recipients_is_a_failed_receipt(
    pool: PoolClient, to: pb.Address, reason: pb.UndeliveredReason
) -> None:
    # given a pool, when a message has an address without members
    receipt = await pool.send("k1", to=to)

    # then the call is OK and the receipt has the reason
    assert (receipt.state, receipt.failure_reason) == (pb.MESSAGE_STATE_FAILED, reason)


async def test_the_receipt_of_a_broadcast_lists_recipients_and_exclusions(pool: PoolClient) -> None:
    # given a member that holds a policy and two that do not
    ref = pb.PolicyRef(policy_id="p")
    await pool.join(RUN_C, policy_refs=[ref])

    # when a message with the policy goes to the pool
    to = pb.Address(pool_id=POOL)
    receipt = await pool.send("k1", to=to, policy_refs=[ref])

    # then the receipt is complete
    assert [each.run_id for each in receipt.delivered_to] == [RUN_C]
    assert {each.run_id: each.reason for each in receipt.excluded} == {
        RUN_A: pb.UNDELIVERED_REASON_SENDER_EXCLUDED,
        RUN_B: pb.UNDELIVERED_REASON_RECIPIENT_POLICY_MISMATCH,
    }
    assert receipt.excluded_count == 2


@on_both_engines
async def test_a_hundred_sends_with_one_key_are_one_message(pool: PoolClient) -> None:
    # given a pool, when one message is sent by a hundred callers at once
    receipts = await asyncio.gather(*(pool.send("k1") for _ in range(100)))

    # then one of them sent it
    assert sum(not receipt.deduplicated for receipt in receipts) == 1
    assert {receipt.sequence for receipt in receipts} == {6}
    assert len((await pool.fetch(RUN_B)).deliveries) == 1


async def test_a_repeated_request_id_answers_the_stored_response(pool: PoolClient) -> None:
    # given a fetch under a request id
    await pool.send("k1")
    first = await pool.fetch(RUN_B, request_id="r1")

    # when it is repeated, and once with other content
    again = await pool.fetch(RUN_B, request_id="r1")
    facts = await refused(pool.fetch(RUN_B, request_id="r1", max_deliveries=3))

    # then the leases are the same
    assert again == first
    assert (facts.code, facts.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_CONFLICT")


async def test_named_messages_that_are_not_fetched_are_listed(pool: PoolClient) -> None:
    # given one message of two that was acknowledged
    await pool.send("k1")
    await pool.send("k2")
    (delivery, _) = (await pool.fetch(RUN_B)).deliveries
    await pool.ack(delivery)

    # when both are asked for by name, and one that never was
    fetched = await pool.fetch(RUN_B, message_ids=["m-k1", "m-k2", "m-none"])

    # then one is fetched, as the next attempt, and the others are listed with their states
    assert [(d.message.message_id, d.attempt) for d in fetched.deliveries] == [("m-k2", 2)]
    assert [(each.message_id, each.state) for each in fetched.unfetched] == [
        ("m-k1", pb.Delivery.STATE_ACKED),
        ("m-none", pb.Delivery.STATE_UNSPECIFIED),
    ]


@on_both_engines
async def test_an_inbox_keeps_the_order_of_the_commits(pool: PoolClient) -> None:
    # given fifty messages sent at once by two senders
    await pool.join(RUN_C)
    sends = [pool.send(f"k{n}", from_run_id=RUN_A if n % 2 else RUN_C) for n in range(50)]
    receipts = await asyncio.gather(*sends)

    # when the inbox is read in portions
    read: list[str] = []
    more = True
    while more:
        portion = await pool.fetch(RUN_B, max_deliveries=7)
        read += [delivery.message.message_id for delivery in portion.deliveries]
        more = portion.more

    # then every message is there once, in the order of its sequence
    in_order = sorted(receipts, key=lambda receipt: receipt.sequence)
    assert read == [receipt.message_id for receipt in in_order]
    assert len(set(read)) == 50


@on_both_engines
async def test_a_wake_carries_what_it_matched(pool: PoolClient) -> None:
    # given run-b waiting from where it joined
    cursor = (await pool.join(RUN_B)).cursor
    waiting = await pool.suspend(RUN_B, "w", cursor=cursor, timeout=seconds(60))

    # when a message comes for it
    await pool.send("k1", content_ref="ref-1")
    ended = await pool.wake("w")
    repeated = await pool.suspend(RUN_B, "w", cursor=cursor, timeout=seconds(60))

    # then the wake says which, and the repeat answers the same
    assert waiting.wake.state == pb.Wake.STATE_REGISTERED
    assert waiting.wake.HasField("deadline_time")
    assert ended.state == pb.Wake.STATE_TRIGGERED
    (event,) = ended.matched_events
    matched = (event.kind, event.message_id, event.sender_run_id)
    assert matched == ("message.delivered", "m-k1", RUN_A)
    assert (event.event_id, event.content_ref) == (f"event.{event.sequence}", "ref-1")
    assert ended.condition == waiting.wake.condition
    assert (repeated.deduplicated, repeated.wake.state) == (True, pb.Wake.STATE_TRIGGERED)
    facts = await refused(pool.wake("none"))
    assert (facts.code, facts.reason) == (grpc.StatusCode.NOT_FOUND, "WAKE_NOT_FOUND")


async def test_cursors_of_receipts_and_fetches_continue_a_wait(pool: PoolClient) -> None:
    # given a message that run-b has read
    sent = await pool.send("k1")
    fetched = await pool.fetch(RUN_B, message_ids=["m-k1"])

    # when it waits for the next one from either cursor
    by_receipt = await pool.suspend(RUN_B, "w1", cursor=sent.cursor)
    by_fetch = await pool.suspend(RUN_B, "w2", cursor=fetched.cursor)
    by_default = await pool.suspend(RUN_B, "w3")
    from_now = await pool.suspend(RUN_B, "w4", start=pb.WakeCondition.START_NOW)

    # then only the wait from the beginning matches the old one
    states = [each.wake.state for each in (by_receipt, by_fetch, by_default, from_now)]
    waits, fired = pb.Wake.STATE_REGISTERED, pb.Wake.STATE_TRIGGERED
    assert states == [waits, waits, fired, waits]


async def test_resume_policy_none_answers_no_matched_events(pool: PoolClient) -> None:
    # given a message that matches
    await pool.send("k1")

    # when a run waits for it with that policy
    answer = await pool.suspend(RUN_B, "w", resume_with=pb.RESUME_POLICY_NONE)

    # then the wake has ended without events
    assert answer.wake.state == pb.Wake.STATE_TRIGGERED
    assert list(answer.wake.matched_events) == []


async def test_a_wait_can_be_cancelled_once(pool: PoolClient) -> None:
    # given a wait
    await pool.suspend(RUN_B, "w")

    # when it is cancelled twice
    first, second = await pool.cancel("w"), await pool.cancel("w")

    # then the second changes nothing
    assert (first.changed, second.changed) == (True, False)
    assert first.wake.state == second.wake.state == pb.Wake.STATE_CANCELLED
    assert first.wake.end_reason == "cancelled"


@on_both_engines
async def test_odd_and_long_ids_are_kept_exactly(client: PoolClient) -> None:
    # given ids of every legal kind
    long_id = "ü" * 256
    await client.open(ODD_ID)
    for run_id in (ODD_ID, long_id):
        await client.join(run_id, pool_id=ODD_ID, agent_id=ODD_ID, topics=[ODD_ID])

    # when a message passes between them
    topic = pb.Address(topic=ODD_ID)
    sent = await client.send(
        ODD_ID, pool_id=ODD_ID, from_run_id=long_id, to=topic, message_id=ODD_ID
    )
    fetched = await client.fetch(ODD_ID, pool_id=ODD_ID, message_ids=[ODD_ID])

    # then both are recipients, and the topic is unchanged
    assert {each.run_id for each in sent.delivered_to} == {ODD_ID, long_id}
    assert fetched.deliveries[0].message.to.topic == ODD_ID


@on_both_engines
async def test_messages_expire_without_a_call(pool: PoolClient) -> None:
    # given a message that expires soon, and a wait for its end
    soon = Timestamp()
    soon.GetCurrentTime()
    soon.FromMilliseconds(soon.ToMilliseconds() + 1_000)
    await pool.send("k1", expire_time=soon)
    ended = pb.EventFilter(message_ids=["m-k1"], terminal_only=True)
    await pool.suspend(RUN_A, "w", ended)

    # when it has expired
    async with within_limit():
        while (await pool.wake("w")).state == pb.Wake.STATE_REGISTERED:  # noqa: ASYNC110
            await asyncio.sleep(0)

    # then the receipt says so, and the event of it ended the wait of its sender
    view = await pool.message("m-k1")
    assert view.receipt.state == pb.MESSAGE_STATE_EXPIRED
    assert (await pool.wake("w")).matched_events[0].kind == "message.expired"
