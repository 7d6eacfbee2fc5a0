"""Inboxes: leases, attempts, tokens and order."""

from __future__ import annotations

import pytest

from services.chassis.caller import Replay, Role
from services.pool.core import inboxes
from services.pool.core.errors import (
    DeliveryNotFoundError,
    IllegalTransitionError,
    NotAMemberError,
    RunNotOwnedError,
    StaleLeaseError,
)
from services.pool.core.inboxes import AckCommand, FetchCommand
from services.pool.core.model import Correlation, DeliveryState, InlineBody
from services.pool.core.results import Unfetched
from tests.support.clock import START
from tests.support.pool_desk import POOL, PoolDesk, as_, draft, keyed, policy, run, seconds


async def inbox(*keys: str, **more: object) -> PoolDesk:
    """run-b has a message from run-a per key."""
    desk = PoolDesk()
    await desk.open()
    await desk.join("run-a")
    await desk.join("run-b")
    for key in keys:
        await desk.send(draft(run("run-b"), key, **more))
    return desk


def ids(fetched: object) -> list[str]:
    return [each.delivery.message_id for each in fetched.parcels]  # type: ignore[attr-defined]


async def test_deliveries_are_leased_in_the_order_of_the_log() -> None:
    # given three messages
    desk = await inbox("3", "1", "2")

    # when two are fetched, and then the rest
    first = await desk.fetch("run-b", limit=2)
    second = await desk.fetch("run-b", limit=2)

    # then the order is that of their commits, and each is leased once
    assert (ids(first), first.more) == (["m-3", "m-1"], True)
    assert (ids(second), second.more) == (["m-2"], False)
    delivery = first.parcels[0].delivery
    assert (delivery.state, delivery.attempt) == (DeliveryState.LEASED, 1)
    assert delivery.due_time == START + seconds(30)
    assert (await desk.fetch("run-b")).parcels == ()


async def test_a_fetch_says_from_where_to_wait_on() -> None:
    # given two messages, delivered as records 6 and 8
    desk = await inbox("1", "2")

    # when one, then the other, then nothing is left
    partial = await desk.fetch("run-b", limit=1)
    rest = await desk.fetch("run-b", limit=1)
    await desk.join("run-c")
    empty = await desk.fetch("run-b")

    # then the cursor passes nothing that was not seen
    assert (partial.seen_sequence, rest.seen_sequence, empty.seen_sequence) == (6, 8, 9)


async def test_what_is_not_acknowledged_comes_back_as_the_next_attempt() -> None:
    # given a leased delivery
    desk = await inbox("1")
    first = (await desk.fetch("run-b", lease_s=30)).parcels[0].delivery

    # when the lease lapses
    desk.clock.advance(29)
    early = await desk.fetch("run-b")
    desk.clock.advance(1)
    second = (await desk.fetch("run-b")).parcels[0].delivery

    # then it is delivered again under another token
    assert early.parcels == ()
    assert second.attempt == 2
    assert second.lease_token != first.lease_token


async def test_an_acknowledged_delivery_never_comes_back() -> None:
    # given a leased delivery
    desk = await inbox("1")
    token = (await desk.fetch("run-b")).parcels[0].delivery.lease_token

    # when it is acknowledged, twice
    first = await desk.ack("run-b", "m-1", token)
    again = await desk.ack("run-b", "m-1", "any")
    desk.clock.advance(3600)

    # then the repeat is no error, and the inbox stays empty
    assert (first.changed, first.delivery.state) == (True, DeliveryState.ACKED)
    assert again.changed is False
    assert (await desk.fetch("run-b")).parcels == ()


async def test_a_lapsed_lease_is_good_until_somebody_else_has_it() -> None:
    # given two deliveries whose leases have lapsed
    desk = await inbox("1", "2")
    one, two = (parcel.delivery for parcel in (await desk.fetch("run-b")).parcels)
    desk.clock.advance(31)

    # when one is acknowledged, and the other after it was fetched again
    late = await desk.ack("run-b", "m-1", one.lease_token)
    await desk.fetch("run-b")
    with pytest.raises(StaleLeaseError) as refusal:
        await desk.ack("run-b", "m-2", two.lease_token)

    # then only the second is stale
    assert late.changed
    assert refusal.value.metadata == {"message_id": "m-2", "attempt": "2"}


@pytest.mark.parametrize("timers_run", [True, False])
async def test_an_expired_delivery_cannot_be_acknowledged(timers_run: bool) -> None:
    # given a leased delivery that expires, whether or not its timer has fired yet
    desk = await inbox("1", expire_time=START + seconds(10))
    token = (await desk.fetch("run-b")).parcels[0].delivery.lease_token
    desk.clock.advance(10)
    if timers_run:
        await desk.fire_due()

    # when its recipient says it has it
    with pytest.raises(IllegalTransitionError) as refusal:
        await desk.ack("run-b", "m-1", token)

    # then it is too late
    assert refusal.value.metadata["state"] == "expired"


async def test_naming_a_message_takes_its_lease_over() -> None:
    # given two leased deliveries
    desk = await inbox("1", "2")
    await desk.fetch("run-b")

    # when a successor of the reader asks for one by name
    again = await desk.fetch("run-b", "m-2")

    # then it has it at once, as the next attempt
    assert (ids(again), again.parcels[0].delivery.attempt) == (["m-2"], 2)
    assert again.seen_sequence == 8


async def test_what_cannot_be_fetched_is_named_with_its_state() -> None:
    # given one acknowledged, one expired before its timer came, one to somebody else
    desk = await inbox("1")
    token = (await desk.fetch("run-b")).parcels[0].delivery.lease_token
    await desk.ack("run-b", "m-1", token)
    await desk.send(draft(run("run-b"), "2", expire_time=START + seconds(5)))
    await desk.send(draft(run("run-a"), "3"))
    desk.clock.advance(5)

    # when they are asked for by name
    fetched = await desk.fetch("run-b", "m-1", "m-2", "m-3")

    # then none comes, and each has its reason
    assert fetched.parcels == ()
    assert fetched.unfetched == (
        Unfetched("m-1", DeliveryState.ACKED),
        Unfetched("m-2", DeliveryState.EXPIRED),
        Unfetched("m-3", None),
    )
    assert fetched.seen_sequence == 0


async def test_an_answer_holds_three_mebibytes_of_bodies() -> None:
    # given bodies of which an answer holds three
    big = InlineBody(b"x" * (inboxes.MAX_ANSWER_BYTES // 3), "text/plain")
    desk = await inbox("1", "2", "3", "4", content=big)

    # when they are fetched, whatever is due and by name
    named = await desk.fetch("run-b", "m-1", "m-2", "m-3", "m-4")
    desk.clock.advance(31)
    due = await desk.fetch("run-b")

    # then the rest waits for the next call
    assert (len(due.parcels), due.more) == (3, True)
    assert (len(named.parcels), named.more) == (3, True)
    assert named.unfetched == (Unfetched("m-4", DeliveryState.PENDING),)
    assert due.parcels[0].body == big


async def test_labels_and_policies_take_room_in_an_answer() -> None:
    # given 64 messages without a body, each with as long names as are allowed
    labels = tuple(Correlation(f"{n:0512d}", "v" * 512) for n in range(16))
    policies = tuple(policy(f"{n:0512d}", "1" * 512) for n in range(64))
    desk = PoolDesk()
    await desk.open()
    await desk.join("run-a")
    await desk.join("run-b", policies=policies)
    for n in range(64):
        await desk.send(draft(run("run-b"), f"{n}", correlation=labels, policy_refs=policies))

    # when all of them are fetched
    fetched = await desk.fetch("run-b", limit=64)

    # then the answer holds those that fit, 82,176 bytes each
    assert (len(fetched.parcels), fetched.more) == (38, True)


async def test_a_repeated_request_leases_nothing_twice() -> None:
    # given a fetch under a request id
    desk = await inbox("1")
    caller = keyed(desk.caller, "r-1")
    command = FetchCommand("run-b", 16, seconds(30))
    await desk.inboxes.fetch(caller, POOL, command)

    # when it is repeated after the lease has lapsed
    desk.clock.advance(31)
    again = await desk.inboxes.fetch(caller, POOL, command)

    # then the answer is the first one, and the delivery was leased once
    assert isinstance(again, Replay)
    assert [delivery.attempt for delivery in desk.memory.deliveries.values()] == [1]


async def test_only_the_recipient_reads_its_inbox() -> None:
    # given an inbox
    desk = await inbox("1")

    # when and then: strangers, other principals and others' messages are refused
    with pytest.raises(NotAMemberError):
        await desk.fetch("stranger")
    with pytest.raises(RunNotOwnedError):
        await desk.fetch("run-b", caller=as_("bob", Role.AGENT))
    token = (await desk.fetch("run-b")).parcels[0].delivery.lease_token
    with pytest.raises(RunNotOwnedError):
        await desk.inboxes.ack(as_("bob", Role.AGENT), POOL, AckCommand("run-b", "m-1", token))
    with pytest.raises(DeliveryNotFoundError):
        await desk.ack("run-a", "m-1", "token")
