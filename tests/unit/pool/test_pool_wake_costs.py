"""What waits cost: nothing where they cannot match, and no more than what their run is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.pool.core.events import Event, EventFilter, EventKind, Start, WakeState
from services.pool.core.filters import event_keys
from tests.support.pool_desk import PoolDesk, condition, draft, everyone

WAKE_KINDS = [kind for kind in EventKind if kind.family == "wake"]
TO_ALL = EventFilter(kinds=("message.delivered",))


@pytest.mark.parametrize("kind", WAKE_KINDS)
def test_events_about_wakes_look_for_no_wake(kind: EventKind) -> None:
    # given an event about a wake, which no filter can mean
    event = Event(kind=kind, sender_run_id="run-a", sender_agent_id="x", condition_id="c")

    # when it asks for the waits that may mean it, then there are none to load
    assert list(event_keys(event)) == []
    assert list(event_keys(replace(event, kind=EventKind.MESSAGE_FAILED))) != []


async def test_a_broadcast_leaves_each_waiting_run_its_own_name_only() -> None:
    # given three runs that wait for two messages, whoever they are for
    desk = PoolDesk()
    await desk.open()
    for run_id in ("run-a", "run-b", "run-c"):
        await desk.join(run_id)
        waits = condition(run_id, run_id, TO_ALL, after_matches=2, match_from=Start.NOW)
        await desk.suspend(waits)

    # when there are two for everyone but their sender
    await desk.send(draft(everyone(), "1"))
    await desk.send(draft(everyone(), "2"))

    # then nobody keeps who else got them, and each is told of those it got itself
    wakes = [await desk.wake(f"c-{run_id}") for run_id in ("run-a", "run-b", "run-c")]
    assert {wake.state for wake in wakes} == {WakeState.TRIGGERED}
    kept = [[event.recipient_run_ids for event in wake.matched] for wake in wakes]
    assert kept == [[(), ()], [("run-b",)] * 2, [("run-c",)] * 2]
    assert [ids for _, _, ids in desk.memory.outbox] == [(), ("m-1", "m-2"), ("m-1", "m-2")]
