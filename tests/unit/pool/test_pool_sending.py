"""Sending: rules 16 to 33, receipts, contracts and what time does to messages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.chassis.caller import Role
from services.chassis.errors import IdempotencyConflictError
from services.pool.core.errors import (
    ContractUnsatisfiableError,
    MessageNotFoundError,
    NotAMemberError,
    RunNotOwnedError,
)
from services.pool.core.model import (
    Address,
    Cardinality,
    Correlation,
    DeliveryState,
    Exclusion,
    InlineBody,
    MessageState,
    PoolConfig,
    ResponseContract,
    TargetKind,
    Undelivered,
)
from tests.support.clock import START
from tests.support.pool_desk import (
    POOL,
    PoolDesk,
    agent,
    as_,
    draft,
    everyone,
    policy,
    run,
    seconds,
    topic,
)


async def three() -> PoolDesk:
    """run-a and run-b of agent x, run-c of agent y on the topic t."""
    desk = PoolDesk()
    await desk.open()
    await desk.join("run-a", "x")
    await desk.join("run-b", "x")
    await desk.join("run-c", "y", "t")
    return desk


def recipients(sent_to: object) -> list[str]:
    return [each.run_id for each in sent_to.record.receipt.delivered_to]  # type: ignore[attr-defined]


async def test_a_message_to_a_run_is_accepted_and_delivered_in_one_commit() -> None:
    # given a pool with its members
    desk = await three()

    # when one writes to another
    sent = await desk.send(draft(run("run-c"), "k1"))

    # then there are two records, and the receipt names the place of the second
    receipt = sent.record.receipt
    assert (receipt.state, receipt.sequence) == (MessageState.DELIVERED, 7)
    assert recipients(sent) == ["run-c"]
    assert desk.kinds()[-2:] == ["message.accepted", "message.delivered"]
    assert [e.recipient_run_ids for _, e, _, _ in desk.memory.log[-2:]] == [("run-c",)] * 2
    assert desk.memory.rung[-1] == POOL


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        (run("run-c"), ["run-c"]),
        (run("run-a"), ["run-a"]),
        (agent("x"), ["run-a", "run-b"]),
        (topic("t"), ["run-c"]),
        (everyone(), ["run-b", "run-c"]),
    ],
    ids=["run", "self", "agent", "topic", "pool"],
)
async def test_recipients_are_resolved_by_target_sorted_and_without_the_broadcaster(
    to: Address, expected: list[str]
) -> None:
    # given run-a as the sender
    desk = await three()

    # when it addresses some of the pool
    sent = await desk.send(draft(to, "k1"))

    # then these get it
    assert recipients(sent) == expected


async def test_loopback_broadcasts_include_the_sender() -> None:
    # given a pool that includes senders
    desk = PoolDesk()
    await desk.open(PoolConfig(include_sender_in_pool_broadcast=True))
    await desk.join("run-a")

    # when the only member broadcasts
    sent = await desk.send(draft(everyone(), "k1"))

    # then it hears itself
    assert recipients(sent) == ["run-a"]


@pytest.mark.parametrize(
    ("to", "reason", "excluded"),
    [
        (
            run("nobody"),
            Undelivered.NO_SUCH_MEMBER,
            [Exclusion("nobody", "", Undelivered.NO_SUCH_MEMBER)],
        ),
        (
            agent("nobody"),
            Undelivered.NO_SUCH_MEMBER,
            [Exclusion("", "nobody", Undelivered.NO_SUCH_MEMBER)],
        ),
        (topic("unknown"), Undelivered.NO_TOPIC_MEMBERS, []),
        (everyone("another"), Undelivered.FOREIGN_POOL, []),
        (
            Address(TargetKind.AGENT, "x", Cardinality.EXACTLY_ONE),
            Undelivered.AMBIGUOUS_RECIPIENT,
            [
                Exclusion("run-a", "x", Undelivered.AMBIGUOUS_RECIPIENT),
                Exclusion("run-b", "x", Undelivered.AMBIGUOUS_RECIPIENT),
            ],
        ),
    ],
)
async def test_a_message_that_reaches_nobody_is_a_failed_receipt_with_the_reason(
    to: Address, reason: Undelivered, excluded: list[Exclusion]
) -> None:
    # given a pool
    desk = await three()

    # when an address means nobody
    receipt = (await desk.send(draft(to, "k1"))).record.receipt

    # then the receipt says why, in one record
    assert (receipt.state, receipt.failure) == (MessageState.FAILED, reason)
    assert (list(receipt.excluded), receipt.excluded_count) == (excluded, len(excluded))
    assert receipt.delivered_to == ()
    assert desk.kinds()[-2:] == ["member.joined", "message.failed"]
    assert desk.memory.deliveries == {}


async def test_one_of_one_is_exactly_one() -> None:
    # given one member of agent y
    desk = await three()

    # when exactly one is asked for
    sent = await desk.send(draft(Address(TargetKind.AGENT, "y", Cardinality.EXACTLY_ONE), "k1"))

    # then it is delivered
    assert recipients(sent) == ["run-c"]


async def test_a_sole_member_that_broadcasts_is_told_that_it_is_excluded() -> None:
    # given a pool of one
    desk = PoolDesk()
    await desk.open()
    await desk.join("run-a", "x")

    # when it broadcasts
    receipt = (await desk.send(draft(everyone(), "k1"))).record.receipt

    # then the reason is that it is the sender
    assert receipt.failure is Undelivered.SENDER_EXCLUDED
    assert receipt.excluded == (Exclusion("run-a", "x", Undelivered.SENDER_EXCLUDED),)


async def test_recipients_hold_every_policy_of_the_message() -> None:
    # given members that hold none, an old version, and the policy itself
    desk = PoolDesk()
    await desk.open(PoolConfig(required_policy_refs=(policy("p", "2"),)))
    await desk.join("run-a", "x")
    await desk.join("run-b", "x", policies=(policy("p", "1"),))
    await desk.join("run-c", "x", policies=(policy("p", "2"), policy("q")))

    # when a message carries it
    delivered = await desk.send(draft(everyone(), "k1", policy_refs=(policy("p", "2"),)))
    mismatch = await desk.send(draft(run("run-b"), "k2", policy_refs=(policy("p", "2"),)))
    missing = await desk.send(draft(run("run-c"), "k3", policy_refs=(policy("p", "1"),)))

    # then only its holder gets it, and each other reason is told
    receipt = delivered.record.receipt
    assert recipients(delivered) == ["run-c"]
    assert [each.reason for each in receipt.excluded] == [
        Undelivered.SENDER_EXCLUDED,
        Undelivered.RECIPIENT_POLICY_MISMATCH,
    ]
    assert mismatch.record.receipt.failure is Undelivered.RECIPIENT_POLICY_MISMATCH
    assert missing.record.receipt.failure is Undelivered.POLICY_REQUIRED_MISSING
    assert missing.record.receipt.excluded == (
        Exclusion("run-c", "x", Undelivered.POLICY_REQUIRED_MISSING),
    )


async def test_a_receipt_lists_a_hundred_exclusions_and_counts_all() -> None:
    # given a hundred and one members without the policy
    desk = PoolDesk()
    await desk.open()
    for number in range(101):
        await desk.join(f"run-{number:03}", "x")

    # when a message asks for it
    sent = await desk.send(draft(agent("x"), "k1", "run-000", policy_refs=(policy("p"),)))

    # then the list is cut, the count is not
    receipt = sent.record.receipt
    assert (len(receipt.excluded), receipt.excluded_count) == (100, 101)


async def test_later_members_do_not_get_earlier_messages() -> None:
    # given a broadcast
    desk = await three()
    await desk.send(draft(everyone(), "k1"))

    # when a run joins after it
    await desk.join("run-z")

    # then its inbox is empty
    assert (await desk.fetch("run-z")).parcels == ()


async def test_a_sender_that_is_not_a_member_is_an_error_and_leaves_no_record() -> None:
    # given a stranger whose message has expired besides
    desk = await three()
    before = desk.kinds()

    # when it sends
    with pytest.raises(NotAMemberError):
        await desk.send(draft(run("run-a"), "k1", "stranger", expire_time=START))

    # then nothing is recorded
    assert desk.kinds() == before


async def test_sending_as_a_run_of_another_principal_is_denied() -> None:
    # given run-a, joined by the local principal
    desk = await three()

    # when bob sends as it
    with pytest.raises(RunNotOwnedError):
        await desk.send(draft(run("run-b"), "k1"), caller=as_("bob", Role.AGENT))

    # then nothing is sent
    assert desk.memory.messages == {}


async def test_a_repeated_key_answers_the_current_receipt_before_every_other_check() -> None:
    # given a message that was answered since
    desk = await three()
    asking = draft(run("run-b"), "k1", contract=ResponseContract(1))
    await desk.send(asking)
    await desk.respond("run-b", "m-k1", "k2")
    before = desk.kinds()

    # when it is sent again, by somebody who may not
    again = await desk.send(asking, caller=as_("bob", Role.AGENT))

    # then the receipt is the current one, and nothing is recorded
    assert again.deduplicated
    assert again.record.receipt.state is MessageState.RESPONDED
    assert [reply.responder_run_id for reply in again.replies] == ["run-b"]
    assert desk.kinds() == before


async def test_the_same_key_with_other_content_is_a_conflict() -> None:
    # given a message
    desk = await three()
    first = draft(run("run-b"), "k1")
    await desk.send(first)

    # when the key comes back with anything else changed
    for other in (
        draft(run("run-c"), "k1"),
        draft(run("run-b"), "k1", content=InlineBody(b"x", "text/plain")),
        draft(run("run-b"), "k1", correlation=(Correlation("a", "b"),)),
        draft(run("run-b"), "k1", contract=ResponseContract(1, seconds(1))),
        draft(run("run-b"), "k1", expire_time=START),
        draft(run("run-b"), "k1", "run-c"),
    ):
        with pytest.raises(IdempotencyConflictError) as refusal:
            await desk.send(other)

        # then it is refused by name
        assert refusal.value.metadata == {"what": "idempotency_key", "id": "k1"}


async def test_the_same_id_under_another_key_is_a_conflict() -> None:
    # given a message m-1
    desk = await three()
    await desk.send(draft(run("run-b"), "k1", message_id="m-1"))

    # when another key brings the id again
    with pytest.raises(IdempotencyConflictError) as refusal:
        await desk.send(draft(run("run-b"), "k2", message_id="m-1"))

    # then it is refused
    assert refusal.value.metadata["what"] == "message_id"


async def test_the_server_makes_an_id_where_none_is_given() -> None:
    # given two messages without ids
    desk = await three()

    # when they are sent
    first = await desk.send(draft(run("run-b"), "k1", message_id=""))
    second = await desk.send(draft(run("run-b"), "k2", message_id=""))

    # then each has its own
    assert first.record.message.message_id != second.record.message.message_id


async def test_an_expired_message_is_a_receipt_and_expiry_wins_over_failure() -> None:
    # given a message to nobody whose time is up at this very moment
    desk = await three()

    # when it is sent
    receipt = (await desk.send(draft(run("nobody"), "k1", expire_time=START))).record.receipt

    # then it has expired, in one record
    assert (receipt.state, receipt.failure) == (MessageState.EXPIRED, Undelivered.EXPIRED)
    assert desk.kinds()[-1] == "message.expired"
    assert desk.kinds().count("message.expired") == 1


async def test_unacknowledged_deliveries_expire_and_with_them_the_message() -> None:
    # given a message to two that is good for ten seconds, with a contract
    desk = await three()
    await desk.send(
        draft(
            everyone(),
            "k1",
            expire_time=START + seconds(10),
            contract=ResponseContract(2, seconds(60)),
        )
    )

    # when the time passes
    desk.clock.advance(10)
    fetched = await desk.fetch("run-b")
    fired = await desk.fire_due()

    # then nobody gets it any more, the sender sees it, and the contract has ended with it
    assert (fetched.parcels, fired) == ((), 1)
    assert (await desk.receipt("m-k1")).state is MessageState.EXPIRED
    assert {d.state for d in desk.memory.deliveries.values()} == {DeliveryState.EXPIRED}
    assert desk.memory.timers == {}


async def test_a_message_that_somebody_has_does_not_expire() -> None:
    # given a message to two, acknowledged by one
    desk = await three()
    await desk.send(draft(everyone(), "k1", expire_time=START + seconds(10)))
    (parcel,) = (await desk.fetch("run-b")).parcels
    await desk.ack("run-b", "m-k1", parcel.delivery.lease_token)

    # when the time passes
    desk.clock.advance(10)
    await desk.fire_due()

    # then only the other delivery ends
    assert (await desk.receipt("m-k1")).state is MessageState.DELIVERED
    states = {d.run_id: d.state for d in desk.memory.deliveries.values()}
    assert states == {"run-b": DeliveryState.ACKED, "run-c": DeliveryState.EXPIRED}


async def test_more_answers_than_recipients_cannot_be_asked_for() -> None:
    # given two possible recipients
    desk = await three()
    before = desk.kinds()

    # when three answers are expected
    with pytest.raises(ContractUnsatisfiableError) as refusal:
        await desk.send(draft(everyone(), "k1", contract=ResponseContract(3)))

    # then nothing was written
    assert (refusal.value.metadata["expected"], refusal.value.metadata["recipients"]) == ("3", "2")
    assert desk.kinds() == before


async def test_a_contract_of_a_message_that_reaches_nobody_is_still_a_receipt() -> None:
    # given a contract
    desk = await three()

    # when nobody is there
    sent = await desk.send(draft(run("nobody"), "k1", contract=ResponseContract(1)))

    # then that is what the receipt says
    assert sent.record.receipt.state is MessageState.FAILED


async def test_a_contract_with_a_zero_timeout_ends_with_its_delivery() -> None:
    # given a contract that waits for nothing
    desk = await three()

    # when it is sent
    sent = await desk.send(draft(run("run-b"), "k1", contract=ResponseContract(1, seconds(0))))

    # then it was delivered and has timed out
    assert sent.record.receipt.state is MessageState.TIMED_OUT
    assert desk.kinds()[-3:] == ["message.accepted", "message.delivered", "message.timed_out"]
    assert len((await desk.fetch("run-b")).parcels) == 1


async def test_bodies_are_kept_apart_and_their_digest_stays_with_the_message() -> None:
    # given a body
    desk = await three()

    # when it is sent
    await desk.send(draft(run("run-b"), "k1", content=InlineBody(b"hello", "text/plain")))

    # then the message knows its size and digest, and the log never the text
    view = await desk.messages.get(desk.caller, POOL, "m-k1")
    assert view.body == InlineBody(b"hello", "text/plain")
    assert (view.record.message.body_bytes, view.record.message.content_ref) == (5, "")
    assert view.record.message.body_sha256.startswith("2cf24dba5fb0a30e")
    assert "hello" not in repr(desk.memory.log)


async def test_an_unknown_message_is_not_found() -> None:
    # given a pool without messages
    desk = await three()

    # when one is looked up, then there is none
    with pytest.raises(MessageNotFoundError):
        await desk.receipt("m-1")


async def test_a_message_lists_its_first_thousand_deliveries() -> None:
    # given a message to more members than that
    desk = PoolDesk()
    await desk.open()
    first = (await desk.join("run-a")).member
    for number in range(1_001):
        other = replace(first, run_id=f"run-{number:04d}")
        desk.memory.members[POOL, other.run_id] = other
    await desk.send(draft(everyone(), "1"))

    # when it is read
    view = await desk.messages.get(desk.caller, POOL, "m-1")

    # then the list ends where the contract says, the receipt does not
    assert len(view.deliveries) == 1_000
    assert len(view.record.receipt.delivered_to) == 1_001
