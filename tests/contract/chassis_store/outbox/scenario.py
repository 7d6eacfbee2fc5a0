"""A scenario with everything that an outbox does, to be interrupted at each of its steps."""

from __future__ import annotations

import asyncio

from services.chassis.outbox.claims import LeaseTuning
from services.chassis.outbox.sender import SenderTuning
from services.chassis.outbox.statements import RowState
from tests.contract.chassis_store.outbox.senders import REFUSE, Sender

TUNING = SenderTuning(
    lanes=4,
    rows_per_turn=2,
    longest_pause_s=2.0,
    poll_s=1.0,
    lease=LeaseTuning(lease_s=6.0, skew_s=2.0, jitter_s=0.5),
)

# In the order of their puts.
LANES = {"a": ["a1", "a2", "a3"], "b": ["b1", "b2"], "c": ["c1", "c2"], "e": ["e1", "e2"]}
ENDED = {f"{id_}: answer to {id_}": 1 for ids in LANES.values() for id_ in ids if id_ != "b1"}
ENDED["b1: UNKNOWN_RUN"] = 1


async def put_all(putter: Sender) -> None:
    for lane in "abc":
        await putter.put(*(f"{lane}/{id_}" for id_ in LANES[lane]))


async def run(sender: Sender, putter: Sender) -> None:
    """A failure, a refusal, a delivery that takes four seconds, a stop in the middle of one."""
    receiver = sender.receiver
    receiver.gates = {"c1": asyncio.Event(), "e1": asyncio.Event()}
    receiver.scripts["a1"] = [OSError("unreachable")]
    receiver.scripts["b1"] = [REFUSE, REFUSE, REFUSE]
    await sender.run()
    for _ in range(4):
        await sender.after(1)
    receiver.gates["c1"].set()
    await sender.quiet()
    await putter.put("e/e1", "e/e2")
    await sender.quiet()
    await sender.stop()
    receiver.gates.clear()


async def finish(sender: Sender) -> None:
    """Whatever happened before: a next run delivers all, and each answer is settled once."""
    sender.view.away = False
    await sender.run()
    for _ in range(4):
        await sender.after(3)
    await sender.stop()
    assert await sender.counts() == ENDED
    assert set((await sender.states()).values()) == {RowState.DELIVERED, RowState.DEAD}


def assert_arrived_in_order(arrivals: dict[str, list[str]]) -> None:
    for lane, ids in LANES.items():
        assert list(dict.fromkeys(arrivals.get(lane, []))) == ids
