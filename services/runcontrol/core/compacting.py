"""Deleting deltas that nobody needs: a later event repeats them, or makes them void."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from services.chassis.clock import Clock
from services.chassis.each_row import each_row
from services.runcontrol.core.events import Covered
from services.runcontrol.core.ports import Store

# Of one look, and of one transaction: others wait meanwhile.
RANGES = 200
DELTAS_AT_ONCE = 200
# Of one round: other upkeep waits meanwhile.
LOOKS = 50


class Compaction:
    """Deletes the deltas of a range once it has been covered for a while.

    Args:
        keep_s: Seconds for which those who follow a run can still read them.
    """

    def __init__(self, store: Store, clock: Clock, keep_s: float) -> None:
        self._store = store
        self._clock = clock
        self._keep = timedelta(seconds=keep_s)

    async def compact(self) -> int:
        """Delete what is due, a bounded number in one transaction; return how many deltas.

        After 50 looks the rest is left to the next round.
        """
        until = self._clock.now() - self._keep
        dropped = 0
        for _ in range(LOOKS):
            found = await self._store.write(lambda tx: tx.covered(until, RANGES))
            newly = sum(await each_row(found, self._drop, _range_named))
            dropped += newly
            if len(found) < RANGES or not newly:
                break
        return dropped

    async def _drop(self, of: Covered) -> int:
        dropped = 0
        while True:
            slice_of = await self._store.write(
                partial(lambda tx, of: tx.drop_deltas(of, DELTAS_AT_ONCE), of=of)
            )
            dropped += slice_of or 0
            if slice_of != DELTAS_AT_ONCE:
                return dropped


def _range_named(of: Covered) -> dict[str, object]:
    return {"run_id": of.run_id, "work": "compaction"}
