"""Claiming runs and executing them: one task per run, never more than there are slots.

executor   claims when work is ready and a slot is free
keeper     renews the leases, passes cancels on, lets go of what is lost
sweeper    frees what dead servers held, ends what has passed its deadline
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context

from services.chassis.clock import Clock
from services.chassis.drain import Drain
from services.chassis.errors import DomainError
from services.chassis.notifier import Bell, Notifier
from services.runcontrol.core.claiming import RENEW_EVERY_S, SELF_FENCE_S
from services.runcontrol.core.execution import Claim, Execution
from services.runcontrol.core.model import Lease
from services.runcontrol.core.ports import CANCELS, READY, LeaseKey
from services.runcontrol.engine.deltas import done_within
from services.runcontrol.engine.run_loop import Control, RunLoop, Wish

# Back-offs end between two rings; they are rarely shorter than this.
POLL_S = 0.25
SWEEP_EVERY_S = 1.0
# A renewal that takes longer is too late to keep an owner from fencing itself.
RENEW_LIMIT_S = SELF_FENCE_S - RENEW_EVERY_S

log = logging.getLogger(__name__)


class Executor:
    """The runs this server executes."""

    def __init__(
        self,
        execution: Execution,
        loop: RunLoop,
        notifier: Notifier,
        clock: Clock,
        drain: Drain,
        max_concurrent_runs: int,
    ) -> None:
        self._execution = execution
        self._loop = loop
        self._notifier = notifier
        self._clock = clock
        self._drain = drain
        self._slots = max_concurrent_runs
        self._running: dict[LeaseKey, tuple[Control, asyncio.Task[None]]] = {}
        self._claiming = asyncio.Lock()
        self._renewed_s = clock.monotonic_s()

    @property
    def running(self) -> int:
        return len(self._running)

    async def claim_forever(self) -> None:
        """Claim whenever there may be work; returns when the server drains."""
        with self._notifier.bell(READY) as bell:
            while not self._drain.started:
                await self._claim()
                await self._rung(bell, POLL_S)

    async def _claim(self) -> None:
        async with self._claiming:
            free = self._slots - len(self._running)
            if free <= 0 or self._drain.started or self._lost_touch():
                return
            try:
                claims = await self._execution.claim(free)
            except DomainError as error:
                log.warning("nothing claimed", exc_info=error)
                return
            for claimed in claims:
                self._start(claimed)

    def _start(self, claimed: Claim) -> None:
        key = (claimed.run.tenant, claimed.run.thread_id, claimed.fence)
        control = Control()
        task = asyncio.get_running_loop().create_task(
            self._loop.drive(claimed, control), context=Context()
        )
        self._running[key] = (control, task)
        task.add_done_callback(lambda done: self._ended(key, done))
        if self._drain.started:
            control.ask(Wish.HAND_BACK)

    def _ended(self, key: LeaseKey, task: asyncio.Task[None]) -> None:
        del self._running[key]
        self._notifier.ring(READY)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("run task crashed", exc_info=error)

    async def keep_leases(self) -> None:
        """Renew in time, and look at once when a cancel was asked for."""
        with self._notifier.bell(CANCELS) as bell:
            while True:
                await self._renew()
                if self._lost_touch():
                    self._abandon(frozenset(self._running))
                await bell.wait(RENEW_EVERY_S)

    async def _renew(self) -> None:
        ours, began_s = frozenset(self._running), self._clock.monotonic_s()
        renewing = asyncio.ensure_future(self._execution.renew(ours))
        try:
            if await done_within(renewing, self._clock, RENEW_LIMIT_S):
                self._observe(ours, renewing.result())
                self._renewed_s = began_s
            else:
                log.warning("leases not renewed in time")
        except DomainError as error:
            log.warning("leases not renewed", exc_info=error)
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    def _observe(self, ours: frozenset[LeaseKey], leases: list[Lease]) -> None:
        """Pass cancels on; what has no lease any more is done, or somebody else's."""
        held = {(lease.tenant, lease.thread_id, lease.fence): lease for lease in leases}
        self._abandon(ours.difference(held))
        for key, lease in held.items():
            if lease.cancel_requested and key in self._running:
                self._running[key][0].ask(Wish.CANCEL)

    def _lost_touch(self) -> bool:
        """Whether our leases may have run out: then nothing more may be started."""
        return self._clock.monotonic_s() - self._renewed_s >= SELF_FENCE_S

    def _abandon(self, keys: frozenset[LeaseKey]) -> None:
        for key in keys & self._running.keys():
            self._running[key][0].ask(Wish.ABANDON)

    async def sweep(self) -> None:
        """Free lapsed leases and end overdue runs, for ever."""
        while True:
            try:
                await self._execution.reclaim_lapsed()
                await self._execution.expire_due()
            except DomainError as error:
                log.warning("sweep failed", exc_info=error)
            await self._clock.sleep(SWEEP_EVERY_S)

    async def hand_back(self) -> None:
        """Give every run back after its current commit; returns when none executes."""
        async with self._claiming:
            tasks = [task for _, task in self._running.values()]
            for control, _ in self._running.values():
                control.ask(Wish.HAND_BACK)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """End what still executes; its leases are reclaimed by the next start."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _rung(self, bell: Bell, timeout_s: float) -> None:
        waits = (
            asyncio.ensure_future(bell.wait(timeout_s)),
            asyncio.ensure_future(self._drain.wait()),
        )
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
