"""Waits: rules 38 to 50, and every race has one winner."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.chassis.caller import Role
from services.chassis.errors import IdempotencyConflictError
from services.pool.core import waking
from services.pool.core.errors import (
    CursorOutOfRangeError,
    NotAMemberError,
    RunNotOwnedError,
    WakeNotFoundError,
)
from services.pool.core.events import EventFilter, Start, WakeDelivery, WakeState
from services.pool.core.model import Correlation, PoolConfig, ResponseContract
from tests.support.clock import START
from tests.support.pool_desk import (
    POOL,
    PoolDesk,
    as_,
    condition,
    draft,
    everyone,
    policy,
    run,
    seconds,
    topic,
)

DELIVERED = EventFilter(kinds=("message.delivered",))


async def pair() -> PoolDesk:
    """run-a and run-b; the log ends at 4."""
    desk = PoolDesk()
    await desk.open()
    await desk.join("run-a", "x")
    await desk.join("run-b", "y", "t")
    return desk


def told(desk: PoolDesk) -> list[tuple[str, WakeState, tuple[str, ...]]]:
    """What the outbox holds for run control."""
    return [(w.condition.condition_id, w.state, ids) for _, w, ids in desk.memory.outbox]


async def test_a_wait_is_registered_and_stays_so_while_nothing_matches() -> None:
    # given a pool
    desk = await pair()

    # when a run waits for a message to it
    to_me = EventFilter(recipient_run_ids=("run-b",))
    wake = await desk.suspend(condition("run-b", "w"))
    waiting = await desk.suspend(condition("run-b", "v", to_me, match_from=Start.NOW))

    # then the first has matched the past, the second waits and nobody is told about it
    assert wake.state is WakeState.TRIGGERED
    assert (waiting.state, waiting.registered_sequence) == (WakeState.REGISTERED, 7)
    assert (await desk.wake("c-v")) == waiting
    assert [each[0] for each in told(desk)] == ["c-w"]
    assert (await desk.pools.get(desk.caller, POOL)).open_wakes == 1


async def test_a_message_wakes_its_recipient_after_its_own_records() -> None:
    # given run-b waiting for a message to it
    desk = await pair()
    to_me = replace(DELIVERED, recipient_run_ids=("run-b",))
    await desk.suspend(condition("run-b", "w", to_me))

    # when run-a writes to it
    caller = as_("local", trace="00-cause")
    await desk.send(draft(run("run-b"), "k1"), caller=caller)

    # then delivered precedes triggered, and run control is told which message it was
    assert desk.kinds()[-3:] == ["message.accepted", "message.delivered", "wake.triggered"]
    wake = await desk.wake("c-w")
    assert (wake.state, wake.ended_sequence, wake.seen_sequence) == (WakeState.TRIGGERED, 8, 7)
    assert [(event.sequence, event.event_id) for event in wake.matched] == [(7, "event.7")]
    assert (wake.cause_traceparent, wake.delivery) == ("00-cause", WakeDelivery.QUEUED)
    assert told(desk) == [("c-w", WakeState.TRIGGERED, ("m-k1",))]
    assert (await desk.pools.get(desk.caller, POOL)).open_wakes == 0


async def test_a_fired_wake_fires_once() -> None:
    # given a wake that a message has fired
    desk = await pair()
    await desk.suspend(condition("run-b", "w", replace(DELIVERED, recipient_run_ids=("run-b",))))
    await desk.send(draft(run("run-b"), "k1"))

    # when another message matches
    await desk.send(draft(run("run-b"), "k2"))

    # then nothing more is said
    assert len(told(desk)) == 1
    assert desk.kinds().count("wake.triggered") == 1


async def test_an_event_before_the_registration_triggers_at_once() -> None:
    # given a message
    desk = await pair()
    await desk.send(draft(run("run-b"), "k1"))

    # when its recipient starts to wait for it
    wake = await desk.suspend(
        condition("run-b", "w", replace(DELIVERED, recipient_run_ids=("run-b",)))
    )

    # then registered and triggered are recorded, and the cursor is that of the match
    assert desk.kinds()[-2:] == ["wake.registered", "wake.triggered"]
    assert (wake.state, wake.matched[0].message_id) == (WakeState.TRIGGERED, "m-k1")
    assert wake.seen_sequence == 6
    assert desk.memory.timers == {}


@pytest.mark.parametrize("cursor", [6, Start.NOW])
async def test_events_up_to_the_cursor_do_not_count(cursor: int | Start) -> None:
    # given a message whose records end at 6
    desk = await pair()
    await desk.send(draft(run("run-b"), "k1"))

    # when its recipient waits from there on
    wake = await desk.suspend(condition("run-b", "w", DELIVERED, match_from=cursor))

    # then it waits for the next one
    assert wake.state is WakeState.REGISTERED
    await desk.send(draft(run("run-b"), "k2"))
    assert (await desk.wake("c-w")).state is WakeState.TRIGGERED


async def test_an_event_between_cursor_and_registration_counts() -> None:
    # given messages after the cursor
    desk = await pair()
    await desk.send(draft(run("run-b"), "k1"))
    await desk.send(draft(run("run-b"), "k2"))

    # when a wait begins after the first
    wake = await desk.suspend(condition("run-b", "w", DELIVERED, match_from=6))

    # then the second one ends it
    assert [event.message_id for event in wake.matched] == ["m-k2"]


@pytest.mark.parametrize("cursor", [5, 99])
async def test_a_cursor_beyond_the_head_is_out_of_range(cursor: int) -> None:
    # given a log that ends at 4
    desk = await pair()

    # when a wait begins after what never was
    with pytest.raises(CursorOutOfRangeError) as refusal:
        await desk.suspend(condition("run-b", "w", match_from=cursor))

    # then the borders are told, and nothing is registered
    assert (refusal.value.metadata["oldest"], refusal.value.metadata["head"]) == ("1", "4")
    assert desk.memory.wakes == {}


async def test_a_zero_timeout_ends_before_the_past_is_consulted() -> None:
    # given a message that would match
    desk = await pair()
    await desk.send(draft(run("run-b"), "k1"))

    # when the wait has no time
    wake = await desk.suspend(condition("run-b", "w", timeout=seconds(0)))

    # then it has timed out
    assert (wake.state, wake.matched) == (WakeState.TIMED_OUT, ())
    assert desk.kinds()[-2:] == ["wake.registered", "wake.timed_out"]
    assert told(desk) == [("c-w", WakeState.TIMED_OUT, ())]


async def test_a_wait_times_out_when_its_timer_fires() -> None:
    # given a wait of ten seconds
    desk = await pair()
    wake = await desk.suspend(condition("run-b", "w", DELIVERED, timeout=seconds(10)))
    assert wake.deadline == START + seconds(10)

    # when they pass
    desk.clock.advance(9)
    early = await desk.fire_due()
    desk.clock.advance(1)
    fired = await desk.fire_due()

    # then run control is told, once, and no timer is left
    assert (early, fired, await desk.fire_due()) == (0, 1, 0)
    assert told(desk) == [("c-w", WakeState.TIMED_OUT, ())]
    assert (await desk.wake("c-w")).cause_traceparent == ""


async def test_a_match_at_the_deadline_loses_to_the_timeout() -> None:
    # given a wait whose time is up, and whose timer is a moment late
    desk = await pair()
    await desk.suspend(condition("run-b", "w", DELIVERED, timeout=seconds(10)))
    desk.clock.advance(10)

    # when a message comes first, and then the timer
    await desk.send(draft(run("run-b"), "k1"))
    waiting = await desk.wake("c-w")
    await desk.fire_due()

    # then the wait has timed out, whoever came first
    assert waiting.state is WakeState.REGISTERED
    assert (await desk.wake("c-w")).state is WakeState.TIMED_OUT


async def test_a_timer_that_comes_after_the_match_changes_nothing() -> None:
    # given a timer read before a message ends the wait
    desk = await pair()
    await desk.suspend(condition("run-b", "w", DELIVERED, timeout=seconds(10)))
    (due,) = await desk.store.due_timers(10)
    await desk.send(draft(run("run-b"), "k1"))

    # when it fires all the same
    desk.clock.advance(10)
    await desk.timers.fire(due)

    # then the match has won
    assert told(desk) == [("c-w", WakeState.TRIGGERED, ("m-k1",))]


async def test_cancel_ends_a_wait_and_leaves_an_ended_one_as_it_is() -> None:
    # given one wait that waits, and one that has been fired
    desk = await pair()
    await desk.suspend(condition("run-b", "w", DELIVERED, timeout=seconds(10)))
    await desk.suspend(condition("run-b", "v", timeout=seconds(0)))

    # when both are cancelled
    cancelled = await desk.wakes.cancel(as_("local", trace="00-c"), POOL, "c-w")
    ended = await desk.wakes.cancel(desk.caller, POOL, "c-v")

    # then only the first changes, and its timer is gone
    assert (cancelled.changed, cancelled.wake.state) == (True, WakeState.CANCELLED)  # type: ignore[union-attr]
    assert (cancelled.wake.end_reason, cancelled.wake.cause_traceparent) == ("cancelled", "00-c")  # type: ignore[union-attr]
    assert (ended.changed, ended.wake.state) == (False, WakeState.TIMED_OUT)  # type: ignore[union-attr]
    assert desk.memory.timers == {}
    assert desk.kinds().count("wake.cancelled") == 1


async def test_an_ended_wake_stays_as_it_ended() -> None:
    # given a wake that timed out
    desk = await pair()
    wake = await desk.suspend(condition("run-b", "w", timeout=seconds(0)))

    # when something else would end it
    again = waking.end(wake, WakeState.CANCELLED, "late", "", START)

    # then it does not, and it has no timer
    assert again is wake
    assert waking.timer_of(wake) is None


async def test_any_of_several_filters_will_do() -> None:
    # given a wait for a topic or a correlation
    desk = await pair()
    either = (
        EventFilter(topics=("other",)),
        EventFilter(correlation=(Correlation("job", "7"),), kinds=("message.delivered",)),
    )
    await desk.suspend(condition("run-a", "w", *either))

    # when the second one comes
    await desk.send(draft(topic("t"), "k1", correlation=(Correlation("job", "8"),)))
    before = await desk.wake("c-w")
    await desk.send(draft(topic("t"), "k2", correlation=(Correlation("job", "7"),)))

    # then that is what ends it
    assert before.state is WakeState.REGISTERED
    assert [e.message_id for e in (await desk.wake("c-w")).matched] == ["m-k2"]


async def test_a_threshold_counts_matches_of_past_and_future() -> None:
    # given one message before the wait for three, seen by two filters at once
    desk = await pair()
    await desk.send(draft(run("run-b"), "k1"))
    both = (DELIVERED, EventFilter(message_ids=("m-k1",), kinds=("message.delivered",)))
    waiting = await desk.suspend(condition("run-b", "w", *both, after_matches=3))

    # when more follow
    await desk.send(draft(run("run-b"), "k2"))
    almost = await desk.wake("c-w")
    await desk.send(draft(run("run-a"), "k3"))

    # then the third match ends it, and each event counts once
    assert (waiting.state, len(waiting.matched)) == (WakeState.REGISTERED, 1)
    assert (almost.state, len(almost.matched)) == (WakeState.REGISTERED, 2)
    assert told(desk) == [("c-w", WakeState.TRIGGERED, ("m-k1", "m-k2"))]


async def test_a_threshold_within_the_past_takes_the_first_matches() -> None:
    # given three messages
    desk = await pair()
    for key in ("k1", "k2", "k3"):
        await desk.send(draft(run("run-b"), key))

    # when two are waited for
    wake = await desk.suspend(condition("run-b", "w", DELIVERED, after_matches=2))

    # then the first two are it
    assert [event.message_id for event in wake.matched] == ["m-k1", "m-k2"]


async def test_a_long_past_is_searched_in_pages() -> None:
    # given more records than a page holds, the match among the last
    desk = await pair()
    for number in range(130):
        await desk.send(draft(run("run-b"), f"k{number}"))
    await desk.send(draft(run("run-a"), "last"))

    # when it is waited for by what the log cannot be searched by
    wake = await desk.suspend(
        condition("run-b", "w", EventFilter(sender_agent_ids=("x",), message_ids=("m-last",)))
    )
    other = await desk.suspend(condition("run-b", "v", EventFilter(terminal_only=True)))

    # then it is found, and what is not there is not
    assert [event.message_id for event in wake.matched] == ["m-last"]
    assert other.state is WakeState.REGISTERED


async def test_the_first_record_of_a_page_is_not_skipped() -> None:
    # given a log whose pages begin at 1, 257 and so on, and a message accepted as record 257
    desk = await pair()
    for number in range(126):
        await desk.send(draft(run("run-b"), f"k{number}"))
    marked = (Correlation("job", "7"),)
    await desk.send(draft(run("run-b"), "marked", correlation=marked))

    # when it is waited for
    accepted = EventFilter(kinds=("message.accepted",), correlation=marked)
    wake = await desk.suspend(condition("run-b", "w", accepted))

    # then it is found
    assert [event.sequence for event in wake.matched] == [257]


async def test_a_reply_wakes_who_waits_for_it() -> None:
    # given run-a waiting for an answer to its question
    desk = await pair()
    await desk.send(draft(run("run-b"), "k1", contract=ResponseContract(1)))
    answer = replace(DELIVERED, reply_to=("m-k1",))
    await desk.suspend(condition("run-a", "w", answer))
    await desk.suspend(
        condition("run-a", "v", EventFilter(terminal_only=True, message_ids=("m-k1",)))
    )

    # when it comes
    await desk.respond("run-b", "m-k1", "a1", message_id="m-a1")

    # then the wait for the answer names it, the wait for the end has no message to fetch
    assert told(desk) == [("c-w", WakeState.TRIGGERED, ("m-a1",)), ("c-v", WakeState.TRIGGERED, ())]


async def test_wake_events_wake_nobody() -> None:
    # given a wait for everything
    desk = await pair()
    await desk.suspend(condition("run-b", "w", match_from=Start.NOW))

    # when other waits are registered, time out and are cancelled
    await desk.suspend(condition("run-a", "v", timeout=seconds(0)))
    await desk.suspend(condition("run-a", "u", match_from=Start.NOW))
    await desk.wakes.cancel(desk.caller, POOL, "c-u")
    wakes_only = await desk.suspend(condition("run-a", "x", EventFilter(kinds=("wake.*",))))

    # then it still waits, and the past of waits does not count either
    assert (await desk.wake("c-w")).state is WakeState.REGISTERED
    assert wakes_only.state is WakeState.REGISTERED


async def test_a_run_can_wake_itself_and_membership_wakes_too() -> None:
    # given a wait for one's own messages, and one for new members
    desk = await pair()
    mine = EventFilter(sender_run_ids=("run-a",), kinds=("message.*",))
    joins = EventFilter(kinds=("member.joined",), sender_run_ids=("run-c",))
    await desk.suspend(condition("run-a", "w", mine, match_from=Start.NOW))
    await desk.suspend(condition("run-a", "v", joins, match_from=Start.NOW))

    # when run-a writes and run-c joins
    await desk.send(draft(run("run-b"), "k1"))
    await desk.join("run-c")

    # then both are fired
    assert [each[:2] for each in told(desk)] == [
        ("c-w", WakeState.TRIGGERED),
        ("c-v", WakeState.TRIGGERED),
    ]


async def test_only_events_of_observable_members_count() -> None:
    # given a pool whose policy run-b does not hold
    desk = PoolDesk()
    await desk.open(PoolConfig(policy_refs=(policy("p"),)))
    await desk.join("run-a", policies=(policy("p"),))
    await desk.join("run-b")
    await desk.suspend(condition("run-a", "w", DELIVERED))

    # when run-b writes, and then run-a
    await desk.send(draft(run("run-a"), "k1", "run-b"))
    unseen = await desk.wake("c-w")
    past = await desk.suspend(condition("run-a", "v", DELIVERED))
    await desk.send(draft(run("run-b"), "k2", "run-a"))

    # then only the second message is seen
    assert (unseen.state, past.state) == (WakeState.REGISTERED, WakeState.REGISTERED)
    assert [e.message_id for e in (await desk.wake("c-w")).matched] == ["m-k2"]


async def test_the_key_of_a_wait_answers_the_current_wake() -> None:
    # given a wait that has ended
    desk = await pair()
    waited = condition("run-b", "w", DELIVERED)
    await desk.suspend(waited)
    await desk.send(draft(run("run-b"), "k1"))
    before = desk.kinds()

    # when it is registered again, with other content, and under another key
    again = await desk.wakes.suspend_until(desk.caller, POOL, waited)
    with pytest.raises(IdempotencyConflictError) as other_content:
        await desk.suspend(condition("run-b", "w", DELIVERED, timeout=seconds(1)))
    with pytest.raises(IdempotencyConflictError) as other_key:
        await desk.suspend(replace(waited, idempotency_key="other"))

    # then it is as it is now, and nothing is recorded
    assert again.deduplicated  # type: ignore[union-attr]
    assert again.wake.state is WakeState.TRIGGERED  # type: ignore[union-attr]
    assert other_content.value.metadata["what"] == "idempotency_key"
    assert other_key.value.metadata["what"] == "condition_id"
    assert desk.kinds() == before


async def test_who_may_not_wait() -> None:
    # given a pool
    desk = await pair()
    await desk.suspend(condition("run-b", "w", DELIVERED))
    bob = as_("bob", Role.AGENT)

    # when and then: strangers, other principals and unknown waits are refused
    with pytest.raises(NotAMemberError):
        await desk.suspend(condition("stranger", "s"))
    with pytest.raises(RunNotOwnedError):
        await desk.suspend(condition("run-b", "s"), caller=bob)
    with pytest.raises(RunNotOwnedError):
        await desk.wakes.cancel(bob, POOL, "c-w")
    with pytest.raises(WakeNotFoundError):
        await desk.wakes.cancel(desk.caller, POOL, "c-none")
    with pytest.raises(WakeNotFoundError):
        await desk.wake("c-none")


async def test_two_pools_do_not_hear_each_other() -> None:
    # given a run in two pools, waiting in one
    desk = await pair()
    await desk.open(pool_id="pool-2")
    await desk.join("run-a", "x", pool_id="pool-2")
    await desk.suspend(condition("run-a", "w", DELIVERED, match_from=Start.NOW))

    # when something happens in the other
    await desk.send(draft(run("run-a"), "k1"), pool_id="pool-2")

    # then it goes on waiting
    assert (await desk.wake("c-w")).state is WakeState.REGISTERED


async def test_what_run_control_made_of_it_is_kept() -> None:
    # given three waits that ended
    desk = await pair()
    for key in ("w", "v", "u"):
        await desk.suspend(condition("run-b", key, timeout=seconds(0)))
    tx = desk.store.of()  # type: ignore[attr-defined]

    # when run control takes one, finds the run of another over, and does not know the third
    desk.telling.told(tx, "default", POOL, "c-w", WakeDelivery.ACCEPTED)
    desk.telling.told(tx, "default", POOL, "c-v", WakeDelivery.RUN_FINISHED)
    desk.telling.refused(tx, "default", POOL, "c-u", "RUN_NOT_FOUND")

    # then the wakes say so, and the third has failed
    assert (await desk.wake("c-w")).delivery is WakeDelivery.ACCEPTED
    assert (await desk.wake("c-v")).delivery is WakeDelivery.RUN_FINISHED
    failed = await desk.wake("c-u")
    assert (failed.state, failed.end_reason) == (WakeState.FAILED, "RUN_NOT_FOUND")
    assert failed.delivery is WakeDelivery.REFUSED
    assert (desk.kinds()[-1], len(desk.kinds())) == ("wake.failed", failed.ended_sequence)
    assert (await desk.pools.get(desk.caller, POOL)).open_wakes == 0


async def test_one_event_fires_every_wait_for_it_in_the_order_of_registration() -> None:
    # given two waits for a broadcast
    desk = await pair()
    await desk.suspend(condition("run-b", "z", DELIVERED))
    await desk.suspend(condition("run-a", "a", DELIVERED))

    # when it comes
    await desk.send(draft(everyone(), "k1"))

    # then both are fired, the older first
    assert [each[0] for each in told(desk)] == ["c-z", "c-a"]
