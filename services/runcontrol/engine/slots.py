"""Slots for runs: those of the process, and those of each target for runs that wait for it.

A run that waits for the first token of a model takes a slot of the model, so that a provider that
stalls holds up its own runs and no others. A run for which the model has no slot keeps that of the
process for a moment, since most models answer, and backs off then.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.chassis.clock import Clock
from services.runcontrol.core.inference import InferenceError
from services.runcontrol.core.retrying import Failure, RetryClass
from services.runcontrol.engine.deltas import done_within

# How long a run waits for a slot of its target before it gives that of the process to others.
PATIENCE_S = 5.0


class Slots:
    """The slots of a process.

    Attributes:
        executing: How many runs this process executes, waiting ones included.
    """

    def __init__(
        self, most: int, most_per_target: int, clock: Clock, freed: Callable[[], None]
    ) -> None:
        """Args:
        most: How many runs may execute, those that wait for a first token not counted.
        most_per_target: How many may wait for the first token of one target.
        freed: Called when a run may be claimed although none could be before.
        """
        self._most = most
        self._most_per_target = most_per_target
        self._clock = clock
        self._freed = freed
        self._waiting: Counter[str] = Counter()
        self._next: defaultdict[str, deque[asyncio.Future[None]]] = defaultdict(deque)
        self.executing = 0

    @property
    def free(self) -> int:
        """How many more runs may be claimed; 0 or less when none may."""
        return self._most - self.executing + self._waiting.total()

    @asynccontextmanager
    async def waiting_for(self, target_id: str) -> AsyncIterator[Callable[[], None]]:
        """Wait for a target's first token during the block, or until the function is called.

        Raises:
            InferenceError: TARGET_BUSY, as many runs wait for it as may; the attempt is repeated.
        """
        await self._take(target_id)
        waits = True

        def end() -> None:
            nonlocal waits
            if waits:
                waits = False
                self._pass_on(target_id)

        try:
            yield end
        finally:
            end()

    async def _take(self, target_id: str) -> None:
        if self._waiting[target_id] < self._most_per_target:
            self._begin(target_id)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next[target_id].append(turn)
        try:
            if await done_within(turn, self._clock, PATIENCE_S):
                return
        except asyncio.CancelledError:
            if turn.done():
                self._pass_on(target_id)
            raise
        finally:
            # One that has had its turn is not among them any more.
            if not turn.done():
                self._next[target_id].remove(turn)
        text = f"{self._most_per_target} runs wait for the first token of {target_id!r}"
        raise InferenceError(Failure(RetryClass.THROTTLED, "TARGET_BUSY", text))

    def _begin(self, target_id: str) -> None:
        was_full = self.free <= 0
        self._waiting[target_id] += 1
        if was_full:
            self._freed()

    def _pass_on(self, target_id: str) -> None:
        """End the wait of a run; the one that is next takes its slot."""
        self._waiting[target_id] -= 1
        if self._next[target_id]:
            self._next[target_id].popleft().set_result(None)
            self._begin(target_id)
            return
        del self._next[target_id]
        if not self._waiting[target_id]:
            del self._waiting[target_id]
