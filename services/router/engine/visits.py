"""The way of one call over the members of its target, up to the attempt whose answer it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from services.chassis.clock import Clock
from services.chassis.errors import DomainError, UnimplementedError
from services.chassis.ids import IdSource
from services.router.core.decision import (
    Attempt,
    AttemptKind,
    AttemptOutcome,
    RouteDecision,
    SkipReason,
    Sticky,
)
from services.router.core.errors import no_member_left, upstream_error
from services.router.core.failures import Failure, FailureClass, UpstreamError
from services.router.core.model import Adapter, Member
from services.router.core.ports import ProviderAdapter, TimeLeft, UpstreamCall
from services.router.core.request import InferCommand
from services.router.core.selection import next_member, set_aside
from services.router.core.switching import (
    Filtered,
    Move,
    Situation,
    Stay,
    Step,
    Surface,
    after_failure,
)
from services.router.engine.attempt import AttemptInProgress, limits_of
from services.router.engine.routing import Claim, Routing
from services.router.engine.tracing import (
    note_failover,
    start_attempt,
    start_route,
    traceparent_of,
)
from services.router.engine.watchdog import Watchdog

LONGEST_CALL_S = 3600.0


@dataclass(frozen=True, slots=True)
class Machinery:
    """What every call works with."""

    adapters: Mapping[type[Adapter], ProviderAdapter]
    routing: Routing
    watchdog: Watchdog
    clock: Clock
    ids: IdSource


class Visits:
    """One call's attempts: at most one visit per member, each with its repeats in place.

    Args:
        time_left: Seconds until the caller's deadline; None when there is none.
    """

    def __init__(
        self,
        machinery: Machinery,
        claim: Claim,
        command: InferCommand,
        registry_version: int,
        time_left: TimeLeft,
    ) -> None:
        self._machinery = machinery
        self._claim = claim
        self._command = command
        self._version = registry_version
        self._time_left = time_left
        clocks = claim.target.pool.clocks
        now, now_s = machinery.clock.now(), machinery.clock.monotonic_s()
        self._total_due_s = now_s + (clocks.total_s or LONGEST_CALL_S)
        self._chosen = machinery.routing.begin(claim, now)
        self._health = machinery.routing.health(claim.target, now)
        self._at = self._chosen.start
        self._visited: set[int] = set()
        self._records: list[Attempt] = []
        self._answering: Member | None = None
        self._cause: Failure | None = None
        # Of the attempt before, which the next one links to, and of what moved the session.
        self._before = self._moved_by = ""
        follows = self._chosen.follows
        self.route = start_route(
            self.decision, command.session, follows.traceparent if follows else ""
        )

    @property
    def decision(self) -> RouteDecision:
        """Where the answer comes from and why, as of now."""
        target, chosen, member = self._claim.target, self._chosen, self._answering
        moved = self._at != chosen.start and chosen.sticky is not Sticky.ANONYMOUS
        return RouteDecision(
            target_id=target.pool.id,
            pool=target.is_pool,
            pool_revision=target.revision,
            registry_version=self._version,
            home_member_id=target.members[chosen.home].id,
            sticky=Sticky.MOVED if moved else chosen.sticky,
            member_id=member.id if member else "",
            provider_id=member.provider.id if member else "",
            upstream_model=member.model.upstream_model if member else "",
            attempts=tuple(self._records),
            skipped=set_aside(chosen.order, chosen.home, self._health, self._visited),
        )

    async def until_committed(self) -> AttemptInProgress | None:
        """The attempt whose answer has begun; None when the provider refuses the content.

        Raises:
            DomainError: No attempt got that far.
        """
        kind, retries = AttemptKind.INITIAL, 0
        while True:
            attempt = self._start(kind)
            failure = await self._opened(attempt)
            if failure is None:
                return attempt
            match self._step(failure, retries):
                case Filtered():
                    self._answering = self._member
                    return None
                case Stay(delay_s):
                    await self._machinery.clock.sleep(delay_s)
                    kind, retries = AttemptKind.RETRY, retries + 1
                case Move():
                    self._move(failure)
                    kind, retries = AttemptKind.FAILOVER, 0
                case Surface(wanted_to_move):
                    raise self._error(failure, wanted_to_move=wanted_to_move)

    async def settle(
        self, attempt: AttemptInProgress, outcome: AttemptOutcome, failure: Failure | None = None
    ) -> None:
        """Close an attempt and remember how it came out; the first time counts."""
        if attempt.record.outcome is not AttemptOutcome.STREAMING:
            return
        routing, now = self._machinery.routing, self._machinery.clock.now()
        member = self._member
        if outcome is AttemptOutcome.SUCCEEDED:
            routing.answered(member, now)
        elif failure is not None:
            routing.failed(member, failure, now)
        try:
            await attempt.close(outcome, failure)
        finally:
            self._records[attempt.record.number - 1] = attempt.record

    @property
    def _member(self) -> Member:
        if self._at is None:
            raise self._nobody()
        return self._claim.target.members[self._at]

    def _start(self, kind: AttemptKind) -> AttemptInProgress:
        member, machinery = self._member, self._machinery
        record = Attempt(
            id=machinery.ids.new_id(),
            number=len(self._records) + 1,
            member_id=member.id,
            provider_id=member.provider.id,
            upstream_model=member.model.upstream_model,
            kind=kind,
            outcome=AttemptOutcome.STREAMING,
        )
        at_home = self._at == self._chosen.home
        span = start_attempt(self.route, record, member, is_home=at_home, before=self._before)
        limits = limits_of(self._claim.target.pool.clocks, member, self._total_due_s)
        self._records.append(record)
        return AttemptInProgress(record, span, limits, machinery.watchdog, machinery.clock)

    async def _opened(self, attempt: AttemptInProgress) -> Failure | None:
        """Bring the attempt to its commit point; answers why it did not get there."""
        member, key = self._member, self._claim.key
        adapter = self._machinery.adapters[type(member.provider.adapter)]
        cache_key = "" if key.anonymous else key.routing_key
        try:
            await attempt.open(adapter, UpstreamCall(member, self._command.prompt, cache_key))
        except UpstreamError as error:
            await self.settle(attempt, AttemptOutcome.FAILED, error.failure)
            self._before = traceparent_of(attempt.span)
            return error.failure
        except BaseException as error:
            await self.settle(attempt, *outcome_of(error))
            raise
        self._commit(attempt)
        return None

    def _commit(self, attempt: AttemptInProgress) -> None:
        assert self._at is not None, "only a started attempt commits"  # noqa: S101  # narrows the type
        self._records[attempt.record.number - 1] = attempt.record
        self._answering = self._member
        self._machinery.routing.committed(
            self._claim,
            self._chosen,
            self._at,
            self._cause,
            self._machinery.clock.now(),
            self._moved_by or traceparent_of(self.route),
        )

    def _step(self, failure: Failure, retries: int) -> Step:
        machinery, target = self._machinery, self._claim.target
        if self._at is not None:
            self._visited.add(self._at)
        self._health = machinery.routing.health(target, machinery.clock.now())
        limit = self._command.max_attempts
        can_repeat = limit is None or len(self._records) < limit
        situation = Situation(
            retries_done=retries,
            retries_allowed=target.pool.in_place_retries,
            can_move=can_repeat and self._next() is not None,
            can_repeat=can_repeat,
            time_left_s=self._seconds_left(),
        )
        return after_failure(failure, target.pool.switch, situation)

    def _move(self, failure: Failure) -> None:
        self._at = self._next()
        self._cause, self._moved_by = failure, self._before
        note_failover(self.route, self._records[-1], self._member.id)

    def _next(self) -> int | None:
        return next_member(self._chosen.order, self._health, self._visited)

    def _seconds_left(self) -> float:
        own_s = self._total_due_s - self._machinery.clock.monotonic_s()
        callers_s = self._time_left()
        return own_s if callers_s is None else min(own_s, callers_s)

    def _error(self, failure: Failure, *, wanted_to_move: bool) -> DomainError:
        target, clock = self._claim.target, self._machinery.clock
        limit = self._command.max_attempts
        limited = limit is not None and len(self._records) >= limit
        recovers_in_s = self._machinery.routing.recovers_in_s
        if wanted_to_move and not target.lone and not limited:
            return no_member_left(self.decision, recovers_in_s(target.members, clock.now()))
        return upstream_error(failure, self._member.id, recovers_in_s([self._member], clock.now()))

    def _nobody(self) -> DomainError:
        """Every member was set aside before the first attempt."""
        skipped = self.decision.skipped
        if all(skip.reason is SkipReason.INCAPABLE for skip in skipped):
            missing = ", ".join(sorted({skip.detail for skip in skipped}))
            return UnimplementedError(f"this version has no {missing}", missing=missing)
        now = self._machinery.clock.now()
        recovery_s = self._machinery.routing.recovers_in_s(self._claim.target.members, now)
        return no_member_left(self.decision, recovery_s)


def outcome_of(error: BaseException) -> tuple[AttemptOutcome, Failure]:
    """How an attempt came out that ended with anything but a provider's failure."""
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return AttemptOutcome.CANCELLED, Failure(FailureClass.CANCELLED)
    return AttemptOutcome.FAILED, Failure(FailureClass.SERVER_ERROR)
