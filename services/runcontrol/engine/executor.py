"""The loops of a server that executes runs: one task per run, as many as there are slots.

claim_forever   claims runs while slots are free
keep_leases     renews the leases, passes cancels on, stops runs whose lease is lost
sweep           ends attempts whose lease has lapsed, and runs and tickets whose time has run out
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context

from services.chassis.clock import Clock
from services.chassis.drain import Drain
from services.chassis.errors import DomainError
from services.chassis.follow.notifier import Notifier, Signal
from services.runcontrol.core.claiming import RENEW_EVERY_S, SELF_FENCE_S
from services.runcontrol.core.execution import Claim, Execution
from services.runcontrol.core.model import Lease
from services.runcontrol.core.ports import CANCELS, LAPSED, READY, LeaseKey
from services.runcontrol.engine.deltas import done_within
from services.runcontrol.engine.run_loop import Control, RunLoop, StopRequest
from services.runcontrol.engine.slots import Slots

# No notification says that a back-off has ended, so claims are tried at this interval too.
POLL_S = 0.25
SWEEP_EVERY_S = 1.0
# A claimed run starts before more than so many others are claimed.
CLAIMS_AT_ONCE = 8
# A renewal that takes longer ends after the time at which an owner fences itself.
RENEW_LIMIT_S = SELF_FENCE_S - RENEW_EVERY_S

log = logging.getLogger(__name__)


class Executor:
    """The runs that this server executes."""

    def __init__(
        self,
        execution: Execution,
        loop: RunLoop,
        notifier: Notifier,
        clock: Clock,
        drain: Drain,
        slots: Slots,
    ) -> None:
        self._execution = execution
        self._loop = loop
        self._notifier = notifier
        self._clock = clock
        self._drain = drain
        self._slots = slots
        self._running: dict[LeaseKey, tuple[Control, asyncio.Task[None]]] = {}
        self._claiming = asyncio.Lock()
        self._renewed_s = clock.monotonic_s()

    @property
    def running(self) -> int:
        return len(self._running)

    async def claim_forever(self) -> None:
        """Claim when a thread has become ready, and every 250 ms; return when the server drains."""
        with self._notifier.signal(READY) as signal:
            while not self._drain.started:
                await self._claim()
                await self._wait(signal, POLL_S)

    async def _claim(self) -> None:
        async with self._claiming:
            while (wanted := self._claimable()) > 0:
                try:
                    claims = await self._execution.claim(wanted)
                except DomainError as error:
                    log.warning("nothing claimed", exc_info=error)
                    return
                for claimed in claims:
                    self._start(claimed)
                if len(claims) < wanted:
                    return

    def _claimable(self) -> int:
        """How many runs to claim now."""
        if self._drain.started or self._leases_may_be_lost():
            return 0
        return min(self._slots.free, CLAIMS_AT_ONCE)

    def _start(self, claimed: Claim) -> None:
        key = (claimed.run.tenant, claimed.run.thread_id, claimed.fence)
        control = Control()
        task = asyncio.get_running_loop().create_task(
            self._loop.drive(claimed, control), context=Context()
        )
        self._running[key] = (control, task)
        self._slots.executing += 1
        task.add_done_callback(lambda done: self._ended(key, done))
        if self._drain.started:
            control.stop(StopRequest.HAND_BACK)

    def _ended(self, key: LeaseKey, task: asyncio.Task[None]) -> None:
        del self._running[key]
        self._slots.executing -= 1
        self._notifier.notify(READY)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("run task crashed", exc_info=error)

    async def keep_leases(self) -> None:
        """Renew the leases every 5 s, and at once when a cancel was requested; never return."""
        with self._notifier.signal(CANCELS) as signal:
            while True:
                await self._renew()
                if self._leases_may_be_lost():
                    self._abandon(frozenset(self._running))
                await signal.wait(RENEW_EVERY_S)

    async def _renew(self) -> None:
        held, began_s = frozenset(self._running), self._clock.monotonic_s()
        renewing = asyncio.ensure_future(self._execution.renew(held))
        try:
            if await done_within(renewing, self._clock, RENEW_LIMIT_S):
                self._apply_renewal(held, renewing.result())
                self._renewed_s = began_s
            else:
                log.warning("leases not renewed in time")
        except DomainError as error:
            log.warning("leases not renewed", exc_info=error)
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    def _apply_renewal(self, held: frozenset[LeaseKey], leases: list[Lease]) -> None:
        """Pass cancels on, and stop the runs whose lease was not extended."""
        extended = {(lease.tenant, lease.thread_id, lease.fence): lease for lease in leases}
        self._abandon(held.difference(extended))
        for key, lease in extended.items():
            if lease.cancel_requested and key in self._running:
                self._running[key][0].stop(StopRequest.CANCEL)

    def _leases_may_be_lost(self) -> bool:
        """Whether no renewal has succeeded for 10 s; then no run may be started or go on."""
        return self._clock.monotonic_s() - self._renewed_s >= SELF_FENCE_S

    def _abandon(self, keys: frozenset[LeaseKey]) -> None:
        for key in keys & self._running.keys():
            self._running[key][0].stop(StopRequest.ABANDON)

    async def sweep(self) -> None:
        """End lapsed attempts, overdue runs and expired tickets every second; never return.

        Attempts of a server that was found dead are ended at once.
        """
        with self._notifier.signal(LAPSED) as signal:
            while True:
                try:
                    await self._execution.reclaim_lapsed(frozenset(self._running))
                    await self._execution.expire_due()
                    await self._execution.expire_tickets()
                except DomainError as error:
                    log.warning("sweep failed", exc_info=error)
                await signal.wait(SWEEP_EVERY_S)

    async def hand_back(self) -> None:
        """Put every run back into its queue after its current commit; return when none executes."""
        async with self._claiming:
            tasks = [task for _, task in self._running.values()]
            for control, _ in self._running.values():
                control.stop(StopRequest.HAND_BACK)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Cancel the tasks of runs that still execute; their leases lapse."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait(self, signal: Signal, timeout_s: float) -> None:
        """Return when notified, when the server drains, or after ``timeout_s``."""
        waits = (
            asyncio.ensure_future(signal.wait(timeout_s)),
            asyncio.ensure_future(self._drain.wait()),
        )
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
