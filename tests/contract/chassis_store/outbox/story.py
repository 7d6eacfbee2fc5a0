"""A little of everything that an outbox does, to be interrupted at each of its steps."""

from __future__ import annotations

import asyncio

from services.chassis.outbox import LeaseTuning, RowState, SenderTuning
from tests.contract.chassis_store.outbox.desk import REFUSE, Desk, counts, states

TUNING = SenderTuning(
    lanes=4,
    rows_per_turn=2,
    longest_pause_s=2.0,
    poll_s=1.0,
    lease=LeaseTuning(lease_s=6.0, skew_s=2.0, jitter_s=0.5),
)

# In the order of their puts.
LANES = {"a": ["a1", "a2", "a3"], "b": ["b1", "b2"], "c": ["c1", "c2"], "e": ["e1", "e2"]}
ENDED = {
    "a1: answer to a1": 1,
    "a2: answer to a2": 1,
    "a3: answer to a3": 1,
    "b1: UNKNOWN_RUN": 1,
    "b2: answer to b2": 1,
    "c1: answer to c1": 1,
    "c2: answer to c2": 1,
    "e1: answer to e1": 1,
    "e2: answer to e2": 1,
}


async def put_all(putter: Desk) -> None:
    for lane in "abc":
        await putter.put(*(f"{lane}/{id_}" for id_ in LANES[lane]))


async def happens(sender: Desk, putter: Desk) -> None:
    """A failure, a refusal, a delivery that takes four seconds, a stop in the middle of one."""
    receiver = sender.receiver
    receiver.gates = {"c1": asyncio.Event(), "e1": asyncio.Event()}
    receiver.scripts["a1"] = [OSError("unreachable")]
    receiver.scripts["b1"] = [REFUSE, REFUSE, REFUSE]
    sender.start()
    await sender.quiet()
    for _ in range(4):
        await sender.after(1)
    receiver.gates["c1"].set()
    await sender.quiet()
    await putter.put("e/e1", "e/e2")
    await sender.quiet()
    await sender.stop()
    receiver.gates.clear()


async def ends_well(sender: Desk) -> None:
    """Whatever happened before: a next run delivers all, and each answer is settled once."""
    sender.view.away = False
    sender.start()
    await sender.quiet()
    for _ in range(4):
        await sender.after(3)
    await sender.stop()
    assert await counts(sender.store) == ENDED
    assert set((await states(sender)).values()) == {RowState.DELIVERED, RowState.DEAD}


def arrived_in_order(arrivals: dict[str, list[str]]) -> None:
    for lane, ids in LANES.items():
        assert list(dict.fromkeys(arrivals.get(lane, []))) == ids
