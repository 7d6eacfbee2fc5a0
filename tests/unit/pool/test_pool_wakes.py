"""Wakes: matches, cursors, deadlines, cancels, keys, what they keep; every wake ends once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.chassis.errors import IdempotencyConflictError
from services.pool.core import errors, waking
from services.pool.core.events import EventFilter, Start, WakeDelivery, WakeState
from services.pool.core.model import Correlation, PoolConfig, ResponseContract
from tests.support.clock import START
from tests.support.pool_service import (
    BOB,
    POOL,
    PoolService,
    caller_as,
    condition,
    draft,
    everyone,
    policy,
    refused,
    run,
    seconds,
    topic,
)

DELIVERED = EventFilter(kinds=("message.delivered",))
TO_B = replace(DELIVERED, recipient_run_ids=("run-b",))
MARKED = (Correlation("job", "7"),)


@pytest.fixture
async def service() -> PoolService:
    """run-a and run-b; the log ends at 4."""
    service = await PoolService().opened()
    await service.join("run-a", "x")
    await service.join("run-b", "y", "t")
    return service


def sent(service: PoolService) -> list[tuple[str, WakeState, tuple[str, ...]]]:
    """What the outbox holds for run control."""
    return [(w.condition.condition_id, w.state, ids) for _, w, ids in service.memory.outbox]


async def test_a_wait_stays_registered_while_nothing_matches(service: PoolService) -> None:
    # given a pool, when a run waits for a message to it
    to_me = EventFilter(recipient_run_ids=("run-b",))
    wake = await service.suspend(condition("run-b", "w"))
    waiting = await service.suspend(condition("run-b", "v", to_me, match_from=Start.NOW))

    # then the first has matched the log, the second is registered and not enqueued
    assert wake.state is WakeState.TRIGGERED
    assert (waiting.state, waiting.registered_sequence) == (WakeState.REGISTERED, 7)
    assert (await service.wake("c-v")) == waiting
    assert [each[0] for each in sent(service)] == ["c-w"]
    assert (await service.pools.get(service.caller, POOL)).open_wakes == 1


async def test_a_message_wakes_its_recipient_after_its_own_records(service: PoolService) -> None:
    # given run-b waiting for a message to it
    await service.suspend(condition("run-b", "w", TO_B))

    # when run-a writes to it
    await service.send(draft(run("run-b"), "k1"), caller=caller_as("local", trace="00-cause"))

    # then delivered precedes triggered, and the outbox row names the message
    assert service.kinds()[-3:] == ["message.accepted", "message.delivered", "wake.triggered"]
    wake = await service.wake("c-w")
    assert (wake.state, wake.ended_sequence, wake.seen_sequence) == (WakeState.TRIGGERED, 8, 7)
    assert [(event.sequence, event.event_id) for event in wake.matched] == [(7, "event.7")]
    assert (wake.cause_traceparent, wake.delivery) == ("00-cause", WakeDelivery.QUEUED)
    assert sent(service) == [("c-w", WakeState.TRIGGERED, ("m-k1",))]
    assert (await service.pools.get(service.caller, POOL)).open_wakes == 0


async def test_an_ended_wake_is_not_triggered_again(service: PoolService) -> None:
    # given a wake that a message has fired
    await service.suspend(condition("run-b", "w", TO_B))
    await service.send(draft(run("run-b"), "k1"))

    # when another message matches
    await service.send(draft(run("run-b"), "k2"))

    # then nothing more is enqueued
    assert len(sent(service)) == 1
    assert service.kinds().count("wake.triggered") == 1


async def test_an_event_before_the_registration_triggers_at_once(service: PoolService) -> None:
    # given a message
    await service.send(draft(run("run-b"), "k1"))

    # when its recipient starts to wait for it
    wake = await service.suspend(condition("run-b", "w", TO_B))

    # then registered and triggered are recorded, and the cursor is that of the match
    assert service.kinds()[-2:] == ["wake.registered", "wake.triggered"]
    assert (wake.state, wake.matched[0].message_id) == (WakeState.TRIGGERED, "m-k1")
    assert wake.seen_sequence == 6
    assert service.memory.timers == {}


@pytest.mark.parametrize("cursor", [6, Start.NOW])
async def test_events_up_to_the_cursor_do_not_count(
    service: PoolService, cursor: int | Start
) -> None:
    # given a message whose records end at 6
    await service.send(draft(run("run-b"), "k1"))

    # when its recipient waits from there on
    wake = await service.suspend(condition("run-b", "w", DELIVERED, match_from=cursor))

    # then it waits for the next one
    assert wake.state is WakeState.REGISTERED
    await service.send(draft(run("run-b"), "k2"))
    assert (await service.wake("c-w")).state is WakeState.TRIGGERED


@pytest.mark.parametrize(
    ("more", "matched"),
    [({"match_from": 6}, ["m-k2"]), ({"after_matches": 2}, ["m-k1", "m-k2"])],
    ids=["the first after the cursor", "the first of a threshold"],
)
async def test_recorded_messages_end_a_wait(
    service: PoolService, more: dict[str, int], matched: list[str]
) -> None:
    # given three messages, delivered as records 6, 8 and 10
    for key in ("k1", "k2", "k3"):
        await service.send(draft(run("run-b"), key))

    # when some of them are waited for
    wake = await service.suspend(condition("run-b", "w", DELIVERED, **more))

    # then the first that count are kept
    assert [event.message_id for event in wake.matched] == matched


@pytest.mark.parametrize("cursor", [5, 99])
async def test_a_cursor_beyond_the_head_is_out_of_range(service: PoolService, cursor: int) -> None:
    # given a log that ends at 4, when a wait starts after a sequence that was never written
    wait = service.suspend(condition("run-b", "w", match_from=cursor))
    refusal = await refused(errors.CursorOutOfRangeError, wait)

    # then the bounds are named, and nothing is registered
    assert (refusal.metadata["oldest"], refusal.metadata["head"]) == ("1", "4")
    assert service.memory.wakes == {}


async def test_a_zero_timeout_ends_before_the_log_is_searched(service: PoolService) -> None:
    # given a message that would match
    await service.send(draft(run("run-b"), "k1"))

    # when the wait has no time
    wake = await service.suspend(condition("run-b", "w", timeout=seconds(0)))

    # then it has timed out
    assert (wake.state, wake.matched) == (WakeState.TIMED_OUT, ())
    assert service.kinds()[-2:] == ["wake.registered", "wake.timed_out"]
    assert sent(service) == [("c-w", WakeState.TIMED_OUT, ())]


async def test_a_wait_times_out_when_its_timer_fires(service: PoolService) -> None:
    # given a wait of ten seconds
    wake = await service.suspend(condition("run-b", "w", DELIVERED, timeout=seconds(10)))
    assert wake.deadline == START + seconds(10)

    # when they pass
    service.clock.advance(9)
    early = await service.fire_due()
    service.clock.advance(1)
    fired = await service.fire_due()

    # then it is enqueued once, and no timer is left
    assert (early, fired, await service.fire_due()) == (0, 1, 0)
    assert sent(service) == [("c-w", WakeState.TIMED_OUT, ())]
    assert (await service.wake("c-w")).cause_traceparent == ""


async def test_a_match_at_the_deadline_loses_to_the_timeout(service: PoolService) -> None:
    # given a wait whose time is up, and whose timer is a moment late
    await service.suspend(condition("run-b", "w", DELIVERED, timeout=seconds(10)))
    service.clock.advance(10)

    # when a message comes first, and then the timer
    await service.send(draft(run("run-b"), "k1"))
    waiting = await service.wake("c-w")
    await service.fire_due()

    # then the wait has timed out although the message came first
    assert waiting.state is WakeState.REGISTERED
    assert (await service.wake("c-w")).state is WakeState.TIMED_OUT


async def test_a_timer_that_comes_after_the_match_changes_nothing(service: PoolService) -> None:
    # given a timer read before a message ends the wait
    await service.suspend(condition("run-b", "w", DELIVERED, timeout=seconds(10)))
    (due,) = await service.store.due_timers(10)
    await service.send(draft(run("run-b"), "k1"))

    # when it fires all the same
    service.clock.advance(10)
    await service.timers.fire(due)

    # then the wake stays triggered
    assert sent(service) == [("c-w", WakeState.TRIGGERED, ("m-k1",))]


async def test_cancel_ends_a_wait_and_leaves_an_ended_one_as_it_is(service: PoolService) -> None:
    # given one wait that waits, and one that has been fired
    await service.suspend(condition("run-b", "w", DELIVERED, timeout=seconds(10)))
    await service.suspend(condition("run-b", "v", timeout=seconds(0)))

    # when both are cancelled
    cancelled = await service.wakes.cancel(caller_as("local", trace="00-c"), POOL, "c-w")
    ended = await service.wakes.cancel(service.caller, POOL, "c-v")

    # then only the first changes, and its timer is gone
    assert (cancelled.changed, cancelled.wake.state) == (True, WakeState.CANCELLED)  # type: ignore[union-attr]
    assert (cancelled.wake.end_reason, cancelled.wake.cause_traceparent) == ("cancelled", "00-c")  # type: ignore[union-attr]
    assert (ended.changed, ended.wake.state) == (False, WakeState.TIMED_OUT)  # type: ignore[union-attr]
    assert service.memory.timers == {}
    assert service.kinds().count("wake.cancelled") == 1


async def test_an_ended_wake_stays_as_it_ended(service: PoolService) -> None:
    # given a wake that timed out
    wake = await service.suspend(condition("run-b", "w", timeout=seconds(0)))

    # when something else would end it
    again = waking.end(wake, WakeState.CANCELLED, "late", "", START)

    # then it does not, and it has no timer
    assert again is wake
    assert waking.timer_of(wake) is None


async def test_a_match_of_any_filter_counts(service: PoolService) -> None:
    # given a wait for a topic or a correlation
    either = EventFilter(topics=("other",)), replace(DELIVERED, correlation=MARKED)
    await service.suspend(condition("run-a", "w", *either))

    # when the second one comes
    await service.send(draft(topic("t"), "k1", correlation=(Correlation("job", "8"),)))
    before = await service.wake("c-w")
    await service.send(draft(topic("t"), "k2", correlation=MARKED))

    # then that is what ends it
    assert before.state is WakeState.REGISTERED
    assert [e.message_id for e in (await service.wake("c-w")).matched] == ["m-k2"]


async def test_a_threshold_counts_earlier_and_later_matches(service: PoolService) -> None:
    # given one message before the wait for three, seen by two filters at once
    await service.send(draft(run("run-b"), "k1"))
    both = DELIVERED, replace(DELIVERED, message_ids=("m-k1",))
    waiting = await service.suspend(condition("run-b", "w", *both, after_matches=3))

    # when more follow
    await service.send(draft(run("run-b"), "k2"))
    almost = await service.wake("c-w")
    await service.send(draft(run("run-a"), "k3"))

    # then the third match ends it, and each event counts once
    assert (waiting.state, len(waiting.matched)) == (WakeState.REGISTERED, 1)
    assert (almost.state, len(almost.matched)) == (WakeState.REGISTERED, 2)
    assert sent(service) == [("c-w", WakeState.TRIGGERED, ("m-k1", "m-k2"))]


@pytest.mark.slow
async def test_a_long_log_is_searched_in_pages(service: PoolService) -> None:
    # given messages as records 5 to 266, a marked one as 257, and pages that begin at 1 and 257
    for number in range(131):
        labels = MARKED if number == 126 else ()
        await service.send(draft(run("run-b"), f"k{number}", correlation=labels))

    # when some are waited for: by what no index has, by what is not there, by what begins a page
    by_agent = EventFilter(sender_agent_ids=("x",), message_ids=("m-k130",))
    first_of_page = EventFilter(kinds=("message.accepted",), correlation=MARKED)
    filters = (by_agent, EventFilter(terminal_only=True), first_of_page)
    waits = [condition("run-b", f"w{number}", each) for number, each in enumerate(filters)]
    wakes = [await service.suspend(each) for each in waits]

    # then they are found, and what is not there is not
    matched = [[event.sequence for event in wake.matched] for wake in wakes]
    assert matched == [[265], [], [257]]
    assert wakes[1].state is WakeState.REGISTERED


async def test_a_reply_triggers_the_wakes_that_wait_for_it(service: PoolService) -> None:
    # given run-a waiting for an answer to its question
    await service.send(draft(run("run-b"), "k1", contract=ResponseContract(1)))
    answer = replace(DELIVERED, reply_to=("m-k1",))
    end = EventFilter(terminal_only=True, message_ids=("m-k1",))
    await service.suspend(condition("run-a", "w", answer))
    await service.suspend(condition("run-a", "v", end))

    # when it comes
    await service.respond("run-b", "m-k1", "a1", message_id="m-a1")

    # then the wait for the answer names it, the wait for the end has no message to fetch
    triggered = WakeState.TRIGGERED
    assert sent(service) == [("c-w", triggered, ("m-a1",)), ("c-v", triggered, ())]


async def test_events_about_wakes_match_no_wake(service: PoolService) -> None:
    # given a wait for everything
    await service.suspend(condition("run-b", "w", match_from=Start.NOW))

    # when other waits are registered, time out and are cancelled
    await service.suspend(condition("run-a", "v", timeout=seconds(0)))
    await service.suspend(condition("run-a", "u", match_from=Start.NOW))
    await service.wakes.cancel(service.caller, POOL, "c-u")
    wakes_only = await service.suspend(condition("run-a", "x", EventFilter(kinds=("wake.*",))))

    # then it stays registered, and recorded events about wakes do not count either
    assert (await service.wake("c-w")).state is WakeState.REGISTERED
    assert wakes_only.state is WakeState.REGISTERED


async def test_own_messages_and_joins_match(service: PoolService) -> None:
    # given a wait for one's own messages, and one for new members
    mine = EventFilter(sender_run_ids=("run-a",), kinds=("message.*",))
    joins = EventFilter(kinds=("member.joined",), sender_run_ids=("run-c",))
    await service.suspend(condition("run-a", "w", mine, match_from=Start.NOW))
    await service.suspend(condition("run-a", "v", joins, match_from=Start.NOW))

    # when run-a writes and run-c joins
    await service.send(draft(run("run-b"), "k1"))
    await service.join("run-c")

    # then both are fired
    triggered = WakeState.TRIGGERED
    assert [each[:2] for each in sent(service)] == [("c-w", triggered), ("c-v", triggered)]


async def test_only_events_of_observable_members_count() -> None:
    # given a pool whose policy run-b does not hold
    service = await PoolService().opened(config=PoolConfig(policy_refs=(policy("p"),)))
    await service.join("run-a", policies=(policy("p"),))
    await service.join("run-b")
    await service.suspend(condition("run-a", "w", DELIVERED))

    # when run-b writes, and then run-a
    await service.send(draft(run("run-a"), "k1", "run-b"))
    unseen = await service.wake("c-w")
    past = await service.suspend(condition("run-a", "v", DELIVERED))
    await service.send(draft(run("run-b"), "k2", "run-a"))

    # then only the second message is seen
    assert (unseen.state, past.state) == (WakeState.REGISTERED, WakeState.REGISTERED)
    assert [e.message_id for e in (await service.wake("c-w")).matched] == ["m-k2"]


async def test_the_key_of_a_wait_answers_the_current_wake(service: PoolService) -> None:
    # given a wait that has ended
    waited = condition("run-b", "w", DELIVERED)
    await service.suspend(waited)
    await service.send(draft(run("run-b"), "k1"))
    before = service.kinds()

    # when it is registered again, with other content, and under another key
    again = await service.wakes.suspend_until(service.caller, POOL, waited)
    conflicts = [
        await refused(IdempotencyConflictError, service.suspend(other))
        for other in (
            replace(waited, timeout=seconds(1)),
            replace(waited, idempotency_key="other"),
        )
    ]

    # then it is as it is now, and nothing is recorded
    assert again.deduplicated  # type: ignore[union-attr]
    assert again.wake.state is WakeState.TRIGGERED  # type: ignore[union-attr]
    assert [each.metadata["what"] for each in conflicts] == ["idempotency_key", "condition_id"]
    assert service.kinds() == before


async def test_runs_and_principals_that_may_not_wait_are_refused(service: PoolService) -> None:
    # given a pool
    await service.suspend(condition("run-b", "w", DELIVERED))

    # when and then: runs that are no members, other principals and unknown waits are refused
    await refused(errors.NotAMemberError, service.suspend(condition("run-z", "s")))
    await refused(errors.RunNotOwnedError, service.suspend(condition("run-b", "s"), caller=BOB))
    await refused(errors.RunNotOwnedError, service.wakes.cancel(BOB, POOL, "c-w"))
    await refused(errors.WakeNotFoundError, service.wakes.cancel(service.caller, POOL, "c-none"))
    await refused(errors.WakeNotFoundError, service.wake("c-none"))


async def test_events_of_one_pool_match_no_wake_of_another(service: PoolService) -> None:
    # given a run in two pools, waiting in one
    await service.open(pool_id="pool-2")
    await service.join("run-a", "x", pool_id="pool-2")
    await service.suspend(condition("run-a", "w", DELIVERED, match_from=Start.NOW))

    # when something happens in the other
    await service.send(draft(run("run-a"), "k1"), pool_id="pool-2")

    # then it stays registered
    assert (await service.wake("c-w")).state is WakeState.REGISTERED


async def test_the_outcome_of_a_delivery_is_stored(service: PoolService) -> None:
    # given three waits that ended
    for key in ("w", "v", "u"):
        await service.suspend(condition("run-b", key, timeout=seconds(0)))
    tx = service.store.of()  # type: ignore[attr-defined]

    # when run control accepts one, finds the second run finished, and refuses the third
    service.settlement.delivered(tx, "default", POOL, "c-w", WakeDelivery.ACCEPTED)
    service.settlement.delivered(tx, "default", POOL, "c-v", WakeDelivery.RUN_FINISHED)
    service.settlement.refused(tx, "default", POOL, "c-u", "RUN_NOT_FOUND")

    # then the wakes say so, and the third has failed
    assert (await service.wake("c-w")).delivery is WakeDelivery.ACCEPTED
    assert (await service.wake("c-v")).delivery is WakeDelivery.RUN_FINISHED
    failed = await service.wake("c-u")
    assert (failed.state, failed.end_reason) == (WakeState.FAILED, "RUN_NOT_FOUND")
    assert failed.delivery is WakeDelivery.REFUSED
    assert (service.kinds()[-1], len(service.kinds())) == ("wake.failed", failed.ended_sequence)
    assert (await service.pools.get(service.caller, POOL)).open_wakes == 0


async def test_one_event_triggers_wakes_in_order_of_registration(service: PoolService) -> None:
    # given two waits for a broadcast
    await service.suspend(condition("run-b", "z", DELIVERED))
    await service.suspend(condition("run-a", "a", DELIVERED))

    # when it comes
    await service.send(draft(everyone(), "k1"))

    # then both are fired, the older first
    assert [each[0] for each in sent(service)] == ["c-z", "c-a"]


async def test_recorded_events_of_members_without_the_pools_policies_do_not_count() -> None:
    # given messages of a member that lacks the pool's policy, and then of one that holds it
    service = await PoolService().opened("run-a", config=PoolConfig(policy_refs=(policy("p"),)))
    await service.join("run-b", policies=(policy("p"),))
    await service.send(draft(everyone(), "hidden", "run-a"))
    await service.send(draft(everyone(), "seen", "run-b"))

    # when a run waits for one message, and another for two
    one = await service.suspend(condition("run-b", "w", DELIVERED))
    two = await service.suspend(condition("run-b", "v", DELIVERED, after_matches=2))

    # then only the second message has counted
    assert [event.message_id for event in one.matched] == ["m-seen"]
    assert (two.state, len(two.matched)) == (WakeState.REGISTERED, 1)


async def test_a_wake_keeps_no_recipient_of_a_broadcast_but_its_own_run() -> None:
    # given three runs that wait for two messages, whoever they are for
    service = await PoolService().opened("run-a", "run-b", "run-c")
    for run_id in ("run-a", "run-b", "run-c"):
        waits = condition(run_id, run_id, DELIVERED, after_matches=2, match_from=Start.NOW)
        await service.suspend(waits)

    # when there are two for everyone but their sender
    await service.send(draft(everyone(), "1"))
    await service.send(draft(everyone(), "2"))

    # then each wake keeps its own run as recipient, and lists the messages delivered to it
    wakes = [await service.wake(f"c-{run_id}") for run_id in ("run-a", "run-b", "run-c")]
    assert {wake.state for wake in wakes} == {WakeState.TRIGGERED}
    kept = [[event.recipient_run_ids for event in wake.matched] for wake in wakes]
    assert kept == [[(), ()], [("run-b",)] * 2, [("run-c",)] * 2]
    assert [ids for _, _, ids in service.memory.outbox] == [(), ("m-1", "m-2"), ("m-1", "m-2")]
