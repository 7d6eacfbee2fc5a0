"""Inboxes: leases, attempts, tokens and order."""

from __future__ import annotations

import pytest

from services.chassis.caller import Replay
from services.pool.core import errors, inboxes
from services.pool.core.inboxes import AckCommand, FetchCommand
from services.pool.core.model import Correlation, DeliveryState, InlineBody
from services.pool.core.results import Fetched, Unfetched
from tests.support.callers import keyed
from tests.support.clock import START
from tests.support.pool_service import BOB, POOL, PoolService, draft, policy, refused, run, seconds


async def inbox(*keys: str, **more: object) -> PoolService:
    """run-b has a message from run-a per key."""
    service = await PoolService().opened("run-a", "run-b")
    for key in keys:
        await service.send(draft(run("run-b"), key, **more))
    return service


def ids(fetched: Fetched) -> list[str]:
    return [each.delivery.message_id for each in fetched.deliveries]


async def test_deliveries_are_leased_in_the_order_of_the_log() -> None:
    # given three messages
    service = await inbox("3", "1", "2")

    # when two are fetched, and then the rest
    first = await service.fetch("run-b", limit=2)
    second = await service.fetch("run-b", limit=2)

    # then the order is that of their commits, and each is leased once
    assert (ids(first), first.more) == (["m-3", "m-1"], True)
    assert (ids(second), second.more) == (["m-2"], False)
    delivery = first.deliveries[0].delivery
    assert (delivery.state, delivery.attempt) == (DeliveryState.LEASED, 1)
    assert delivery.due_time == START + seconds(30)
    assert (await service.fetch("run-b")).deliveries == ()


async def test_a_fetch_returns_the_sequence_after_which_to_wait() -> None:
    # given two messages, delivered as records 6 and 8
    service = await inbox("1", "2")

    # when one, then the other, then nothing is left
    partial = await service.fetch("run-b", limit=1)
    rest = await service.fetch("run-b", limit=1)
    await service.join("run-c")
    empty = await service.fetch("run-b")

    # then the sequence never passes a message that was not fetched
    assert (partial.seen_sequence, rest.seen_sequence, empty.seen_sequence) == (6, 8, 9)


async def test_what_is_not_acknowledged_comes_back_as_the_next_attempt() -> None:
    # given a leased delivery
    service = await inbox("1")
    first = (await service.fetch("run-b", lease_s=30)).deliveries[0].delivery

    # when the lease lapses
    service.clock.advance(29)
    early = await service.fetch("run-b")
    service.clock.advance(1)
    second = (await service.fetch("run-b")).deliveries[0].delivery

    # then it is delivered again under another token
    assert early.deliveries == ()
    assert second.attempt == 2
    assert second.lease_token != first.lease_token


async def test_an_acknowledged_delivery_never_comes_back() -> None:
    # given a leased delivery
    service = await inbox("1")
    token = (await service.fetch("run-b")).deliveries[0].delivery.lease_token

    # when it is acknowledged, twice
    first = await service.ack("run-b", "m-1", token)
    again = await service.ack("run-b", "m-1", "any")
    service.clock.advance(3600)

    # then the repeat is no error, and the inbox stays empty
    assert (first.changed, first.delivery.state) == (True, DeliveryState.ACKED)
    assert again.changed is False
    assert (await service.fetch("run-b")).deliveries == ()


async def test_the_token_of_a_lapsed_lease_is_valid_until_the_next_fetch() -> None:
    # given two deliveries whose leases have lapsed
    service = await inbox("1", "2")
    one, two = (each.delivery for each in (await service.fetch("run-b")).deliveries)
    service.clock.advance(31)

    # when one is acknowledged, and the other after it was fetched again
    late = await service.ack("run-b", "m-1", one.lease_token)
    await service.fetch("run-b")
    refusal = await refused(errors.StaleLeaseError, service.ack("run-b", "m-2", two.lease_token))

    # then only the second is stale
    assert late.changed
    assert refusal.metadata == {"message_id": "m-2", "attempt": "2"}


@pytest.mark.parametrize("timers_run", [True, False])
async def test_an_expired_delivery_cannot_be_acknowledged(timers_run: bool) -> None:
    # given a leased delivery that expires, whether or not its timer has fired yet
    service = await inbox("1", expire_time=START + seconds(10))
    token = (await service.fetch("run-b")).deliveries[0].delivery.lease_token
    service.clock.advance(10)
    if timers_run:
        await service.fire_due()

    # when its recipient acknowledges it
    refusal = await refused(errors.IllegalTransitionError, service.ack("run-b", "m-1", token))

    # then it is refused as expired
    assert refusal.metadata["state"] == "expired"


async def test_naming_a_message_takes_its_lease_over() -> None:
    # given two leased deliveries
    service = await inbox("1", "2")
    await service.fetch("run-b")

    # when one is fetched by name
    again = await service.fetch("run-b", "m-2")

    # then it is leased again, as the next attempt
    assert (ids(again), again.deliveries[0].delivery.attempt) == (["m-2"], 2)
    assert again.seen_sequence == 8


async def test_what_cannot_be_fetched_is_named_with_its_state() -> None:
    # given one acknowledged, one expired before its timer came, one to somebody else
    service = await inbox("1")
    token = (await service.fetch("run-b")).deliveries[0].delivery.lease_token
    await service.ack("run-b", "m-1", token)
    await service.send(draft(run("run-b"), "2", expire_time=START + seconds(5)))
    await service.send(draft(run("run-a"), "3"))
    service.clock.advance(5)

    # when they are asked for by name
    fetched = await service.fetch("run-b", "m-1", "m-2", "m-3")

    # then none is fetched, and each is listed with its state
    assert fetched.deliveries == ()
    assert fetched.unfetched == (
        Unfetched("m-1", DeliveryState.ACKED),
        Unfetched("m-2", DeliveryState.EXPIRED),
        Unfetched("m-3", None),
    )
    assert fetched.seen_sequence == 0


async def test_an_answer_holds_three_mebibytes_of_bodies() -> None:
    # given bodies of which an answer holds three
    big = InlineBody(b"x" * (inboxes.MAX_ANSWER_BYTES // 3), "text/plain")
    service = await inbox("1", "2", "3", "4", content=big)

    # when they are fetched, whatever is due and by name
    named = await service.fetch("run-b", "m-1", "m-2", "m-3", "m-4")
    service.clock.advance(31)
    due = await service.fetch("run-b")

    # then the rest waits for the next call
    assert (len(due.deliveries), due.more) == (3, True)
    assert (len(named.deliveries), named.more) == (3, True)
    assert named.unfetched == (Unfetched("m-4", DeliveryState.PENDING),)
    assert due.deliveries[0].body == big


async def test_correlation_and_policies_count_towards_the_size_of_an_answer() -> None:
    # given 64 messages without a body, each with as long names as are allowed
    labels = tuple(Correlation(f"{n:0512d}", "v" * 512) for n in range(16))
    policies = tuple(policy(f"{n:0512d}", "1" * 512) for n in range(64))
    service = await PoolService().opened("run-a")
    await service.join("run-b", policies=policies)
    for n in range(64):
        await service.send(draft(run("run-b"), f"{n}", correlation=labels, policy_refs=policies))

    # when all of them are fetched
    fetched = await service.fetch("run-b", limit=64)

    # then the answer holds those that fit, 82,176 bytes each
    assert (len(fetched.deliveries), fetched.more) == (38, True)


async def test_a_repeated_request_leases_nothing_twice() -> None:
    # given a fetch under a request id
    service = await inbox("1")
    caller = keyed(service.caller, "r-1")
    command = FetchCommand("run-b", 16, seconds(30))
    await service.inboxes.fetch(caller, POOL, command)

    # when it is repeated after the lease has lapsed
    service.clock.advance(31)
    again = await service.inboxes.fetch(caller, POOL, command)

    # then the answer is the first one, and the delivery was leased once
    assert isinstance(again, Replay)
    assert [delivery.attempt for delivery in service.memory.deliveries.values()] == [1]


async def test_only_the_recipient_reads_its_inbox() -> None:
    # given an inbox
    service = await inbox("1")

    # when and then: who is no member, other principals and others' messages are refused
    await refused(errors.NotAMemberError, service.fetch("run-z"))
    await refused(errors.RunNotOwnedError, service.fetch("run-b", caller=BOB))
    token = (await service.fetch("run-b")).deliveries[0].delivery.lease_token
    ack = AckCommand("run-b", "m-1", token)
    await refused(errors.RunNotOwnedError, service.inboxes.ack(BOB, POOL, ack))
    await refused(errors.DeliveryNotFoundError, service.ack("run-a", "m-1", "token"))
