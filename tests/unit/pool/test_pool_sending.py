"""Sending: recipients, receipts, keys, contracts, expiry, time-outs and limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.chassis.errors import IdempotencyConflictError
from services.pool.core import errors
from services.pool.core.limits import MAX_MEDIA_TYPE_BYTES, draft_violations
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
    Undelivered,
)
from services.pool.core.results import Sent
from tests.support.clock import START
from tests.support.pool_service import (
    BOB,
    POOL,
    PoolService,
    agent,
    draft,
    everyone,
    policy,
    refused,
    run,
    seconds,
    topic,
)

HELLO = InlineBody(b"hello", "text/plain")
JOB = (Correlation("job", "7"),)
BY_KEY = {"what": "idempotency_key", "id": "k1"}


@pytest.fixture
async def service() -> PoolService:
    """run-a and run-b of agent x, run-c of agent y on the topic t."""
    service = await PoolService().opened()
    await service.join("run-a", "x")
    await service.join("run-b", "x")
    await service.join("run-c", "y", "t")
    return service


def recipients(sent: Sent) -> list[str]:
    return [each.run_id for each in sent.record.receipt.delivered_to]


async def test_a_message_is_accepted_and_delivered_in_one_commit(service: PoolService) -> None:
    # given a pool with its members, when one writes to another
    sent = await service.send(draft(run("run-c"), "k1"))

    # then there are two records, and the receipt names the place of the second
    receipt = sent.record.receipt
    assert (receipt.state, receipt.sequence) == (MessageState.DELIVERED, 7)
    assert recipients(sent) == ["run-c"]
    assert service.kinds()[-2:] == ["message.accepted", "message.delivered"]
    assert [e.recipient_run_ids for _, e, _, _ in service.memory.log[-2:]] == [("run-c",)] * 2
    assert service.memory.notified[-1] == POOL


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        (run("run-c"), ["run-c"]),
        (run("run-a"), ["run-a"]),
        (agent("x"), ["run-a", "run-b"]),
        (topic("t"), ["run-c"]),
        (everyone(), ["run-b", "run-c"]),
        (agent("y", Cardinality.EXACTLY_ONE), ["run-c"]),
    ],
    ids=["run", "self", "agent", "topic", "pool", "exactly one of one"],
)
async def test_recipients_are_resolved_by_target_sorted_and_without_the_broadcaster(
    service: PoolService, to: Address, expected: list[str]
) -> None:
    # given run-a as the sender, when it addresses some of the pool
    sent = await service.send(draft(to, "k1"))

    # then these get it
    assert recipients(sent) == expected


async def test_loopback_broadcasts_include_the_sender() -> None:
    # given a pool that includes senders
    loopback = PoolConfig(include_sender_in_pool_broadcast=True)
    service = await PoolService().opened("run-a", config=loopback)

    # when the only member broadcasts
    sent = await service.send(draft(everyone(), "k1"))

    # then the message is delivered to its sender
    assert recipients(sent) == ["run-a"]


@pytest.mark.parametrize("contract", [None, ResponseContract(1)], ids=["", "contract"])
@pytest.mark.parametrize(
    ("to", "reason", "excluded"),
    [
        (run("nobody"), Undelivered.NO_SUCH_MEMBER, [("nobody", "")]),
        (agent("nobody"), Undelivered.NO_SUCH_MEMBER, [("", "nobody")]),
        (topic("unknown"), Undelivered.NO_TOPIC_MEMBERS, []),
        (everyone("another"), Undelivered.FOREIGN_POOL, []),
        (
            agent("x", Cardinality.EXACTLY_ONE),
            Undelivered.AMBIGUOUS_RECIPIENT,
            [("run-a", "x"), ("run-b", "x")],
        ),
    ],
    ids=["run", "agent", "topic", "pool", "exactly one of two"],
)
async def test_a_message_that_reaches_nobody_is_a_failed_receipt_with_the_reason(
    service: PoolService,
    to: Address,
    reason: Undelivered,
    excluded: list[tuple[str, str]],
    contract: ResponseContract | None,
) -> None:
    # given a pool, when an address has no recipient, whether or not an answer is wanted
    receipt = (await service.send(draft(to, "k1", contract=contract))).record.receipt

    # then the receipt says why, in one record
    assert (receipt.state, receipt.failure) == (MessageState.FAILED, reason)
    assert list(receipt.excluded) == [Exclusion(*member, reason) for member in excluded]
    assert receipt.excluded_count == len(excluded)
    assert receipt.delivered_to == ()
    assert service.kinds()[-2:] == ["member.joined", "message.failed"]
    assert service.memory.deliveries == {}


async def test_a_broadcast_of_a_sole_member_fails_with_sender_excluded() -> None:
    # given a pool of one
    service = await PoolService().opened()
    await service.join("run-a", "x")

    # when it broadcasts
    receipt = (await service.send(draft(everyone(), "k1"))).record.receipt

    # then the reason is that it is the sender
    assert receipt.failure is Undelivered.SENDER_EXCLUDED
    assert receipt.excluded == (Exclusion("run-a", "x", Undelivered.SENDER_EXCLUDED),)


async def test_recipients_hold_every_policy_of_the_message() -> None:
    # given members that hold none, an old version, and the policy itself
    old, new = (policy("p", "1"),), (policy("p", "2"),)
    service = await PoolService().opened(config=PoolConfig(required_policy_refs=new))
    await service.join("run-a", "x")
    await service.join("run-b", "x", policies=old)
    await service.join("run-c", "x", policies=(*new, policy("q")))

    # when a message carries it
    delivered = await service.send(draft(everyone(), "k1", policy_refs=new))
    mismatch = (await service.send(draft(run("run-b"), "k2", policy_refs=new))).record.receipt
    missing = (await service.send(draft(run("run-c"), "k3", policy_refs=old))).record.receipt

    # then only its holder is a recipient, and each receipt has the reasons
    lacks, required = Undelivered.RECIPIENT_POLICY_MISMATCH, Undelivered.POLICY_REQUIRED_MISSING
    assert recipients(delivered) == ["run-c"]
    reasons = [each.reason for each in delivered.record.receipt.excluded]
    assert reasons == [Undelivered.SENDER_EXCLUDED, lacks]
    assert mismatch.failure is lacks
    assert missing.failure is required
    assert missing.excluded == (Exclusion("run-c", "x", required),)


async def test_a_receipt_lists_a_hundred_exclusions_and_counts_all() -> None:
    # given a hundred and one members without the policy
    service = await PoolService().opened()
    for number in range(101):
        await service.join(f"run-{number:03}", "x")

    # when a message asks for it
    sent = await service.send(draft(agent("x"), "k1", "run-000", policy_refs=(policy("p"),)))

    # then the list is cut, the count is not
    receipt = sent.record.receipt
    assert (len(receipt.excluded), receipt.excluded_count) == (100, 101)


async def test_later_members_do_not_get_earlier_messages(service: PoolService) -> None:
    # given a broadcast
    await service.send(draft(everyone(), "k1"))

    # when a run joins after it
    await service.join("run-z")

    # then its inbox is empty
    assert (await service.fetch("run-z")).deliveries == ()


async def test_a_sender_that_is_no_member_leaves_no_record(service: PoolService) -> None:
    # given a run that is no member, whose message has expired besides
    before = service.kinds()

    # when it sends
    expired = draft(run("run-a"), "k1", "run-z", expire_time=START)
    await refused(errors.NotAMemberError, service.send(expired))

    # then nothing is recorded
    assert service.kinds() == before


async def test_sending_as_a_run_of_another_principal_is_denied(service: PoolService) -> None:
    # given run-a, joined by the local principal, when bob sends as it
    await refused(errors.RunNotOwnedError, service.send(draft(run("run-b"), "k1"), caller=BOB))

    # then nothing is sent
    assert service.memory.messages == {}


async def test_a_repeated_key_is_answered_before_every_other_check(service: PoolService) -> None:
    # given a message that was answered since
    asking = draft(run("run-b"), "k1", contract=ResponseContract(1))
    await service.send(asking)
    await service.respond("run-b", "m-k1", "k2")
    before = service.kinds()

    # when it is sent again, by somebody who may not
    again = await service.send(asking, caller=BOB)

    # then the receipt is the current one, and nothing is recorded
    assert again.deduplicated
    assert again.record.receipt.state is MessageState.RESPONDED
    assert [reply.responder_run_id for reply in again.replies] == ["run-b"]
    assert service.kinds() == before


@pytest.mark.parametrize(
    ("change", "conflict"),
    [
        ({"to": run("run-c")}, BY_KEY),
        ({"content": HELLO}, BY_KEY),
        ({"correlation": JOB}, BY_KEY),
        ({"contract": ResponseContract(1, seconds(1))}, BY_KEY),
        ({"expire_time": START}, BY_KEY),
        ({"from_run_id": "run-c"}, BY_KEY),
        ({"idempotency_key": "k2"}, {"what": "message_id", "id": "m-k1"}),
    ],
    ids=lambda change: next(iter(change)),
)
async def test_a_key_or_an_id_that_comes_back_with_anything_changed_is_a_conflict(
    service: PoolService, change: dict[str, object], conflict: dict[str, str]
) -> None:
    # given a message
    first = draft(run("run-b"), "k1")
    await service.send(first)

    # when its key comes back with anything else changed, or its id under another key
    other = replace(first, **change)
    refusal = await refused(IdempotencyConflictError, service.send(other))

    # then it is refused by name
    assert refusal.metadata == conflict


async def test_the_server_makes_an_id_where_none_is_given(service: PoolService) -> None:
    # given two messages without ids, when they are sent
    first = await service.send(draft(run("run-b"), "k1", message_id=""))
    second = await service.send(draft(run("run-b"), "k2", message_id=""))

    # then each has its own
    assert first.record.message.message_id != second.record.message.message_id


async def test_an_expired_message_is_a_receipt_even_if_it_fails_too(service: PoolService) -> None:
    # given a message to nobody whose time is up at this very moment, when it is sent
    receipt = (await service.send(draft(run("nobody"), "k1", expire_time=START))).record.receipt

    # then it has expired, in one record
    assert (receipt.state, receipt.failure) == (MessageState.EXPIRED, Undelivered.EXPIRED)
    assert service.kinds()[-1] == "message.expired"
    assert service.kinds().count("message.expired") == 1


async def test_unacknowledged_deliveries_and_their_message_expire(service: PoolService) -> None:
    # given a message to two that is good for ten seconds, with a contract
    contract = ResponseContract(2, seconds(60))
    await service.send(draft(everyone(), "k1", expire_time=START + seconds(10), contract=contract))

    # when the time passes
    service.clock.advance(10)
    fetched = await service.fetch("run-b")
    fired = await service.fire_due()

    # then message and deliveries have expired, and no timer of the contract is left
    assert (fetched.deliveries, fired) == ((), 1)
    assert (await service.receipt("m-k1")).state is MessageState.EXPIRED
    assert {d.state for d in service.memory.deliveries.values()} == {DeliveryState.EXPIRED}
    assert service.memory.timers == {}


async def test_a_message_that_was_acknowledged_does_not_expire(service: PoolService) -> None:
    # given a message to two, acknowledged by one
    await service.send(draft(everyone(), "k1", expire_time=START + seconds(10)))
    (fetched,) = (await service.fetch("run-b")).deliveries
    await service.ack("run-b", "m-k1", fetched.delivery.lease_token)

    # when the time passes
    service.clock.advance(10)
    await service.fire_due()

    # then only the other delivery ends
    assert (await service.receipt("m-k1")).state is MessageState.DELIVERED
    states = {d.run_id: d.state for d in service.memory.deliveries.values()}
    assert states == {"run-b": DeliveryState.ACKED, "run-c": DeliveryState.EXPIRED}


async def test_more_answers_than_recipients_cannot_be_asked_for(service: PoolService) -> None:
    # given two possible recipients
    before = service.kinds()

    # when three answers are expected
    asking = draft(everyone(), "k1", contract=ResponseContract(3))
    refusal = await refused(errors.ContractUnsatisfiableError, service.send(asking))

    # then nothing was written
    assert (refusal.metadata["expected"], refusal.metadata["recipients"]) == ("3", "2")
    assert service.kinds() == before


async def test_a_contract_with_a_zero_timeout_ends_with_its_delivery(service: PoolService) -> None:
    # given a contract that waits for nothing, when it is sent
    sent = await service.send(draft(run("run-b"), "k1", contract=ResponseContract(1, seconds(0))))

    # then it was delivered and has timed out
    assert sent.record.receipt.state is MessageState.TIMED_OUT
    assert service.kinds()[-3:] == ["message.accepted", "message.delivered", "message.timed_out"]
    assert len((await service.fetch("run-b")).deliveries) == 1


async def test_a_body_is_kept_apart_from_the_message_with_its_digest(service: PoolService) -> None:
    # given a body, when it is sent
    await service.send(draft(run("run-b"), "k1", content=HELLO))

    # then the message knows its size and digest, and the log never the text
    view = await service.messages.get(service.caller, POOL, "m-k1")
    assert view.body == HELLO
    assert (view.record.message.body_bytes, view.record.message.content_ref) == (5, "")
    assert view.record.message.body_sha256.startswith("2cf24dba5fb0a30e")
    assert "hello" not in repr(service.memory.log)


async def test_an_unknown_message_is_not_found(service: PoolService) -> None:
    # given a pool without messages, when one is looked up, then there is none
    await refused(errors.MessageNotFoundError, service.receipt("m-1"))


async def test_a_message_lists_its_first_thousand_deliveries() -> None:
    # given a message to more members than that
    service = await PoolService().opened("run-a")
    first = service.memory.members[POOL, "run-a"]
    for run_id in (f"run-{number:04d}" for number in range(1_001)):
        service.memory.members[POOL, run_id] = replace(first, run_id=run_id)
    await service.send(draft(everyone(), "1"))

    # when it is read
    view = await service.messages.get(service.caller, POOL, "m-1")

    # then the list is cut, the receipt is not
    assert len(view.deliveries) == 1_000
    assert len(view.record.receipt.delivered_to) == 1_001


@pytest.mark.parametrize(
    ("media_type", "description"),
    [
        ("text/plain\n", "must not contain control characters"),
        ("", f"must be 1 to {MAX_MEDIA_TYPE_BYTES} bytes"),
        ("x" * 256, f"must be 1 to {MAX_MEDIA_TYPE_BYTES} bytes"),
    ],
)
def test_a_media_type_is_a_short_printable_text(media_type: str, description: str) -> None:
    body = InlineBody(b"hello", media_type)
    found = list(draft_violations(draft(run("run-b"), "k", content=body), "message"))
    assert [each.description for each in found] == [description]
