"""One call: its attempts on the members of the target, up to one whose answer is relayed, and on to
another one when that answer breaks off and may start over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.chassis.clock import Clock
from services.chassis.errors import DomainError
from services.chassis.ids import IdSource
from services.router.core.decision import (
    Attempt,
    AttemptKind,
    AttemptOutcome,
    RouteDecision,
    Sticky,
)
from services.router.core.errors import (
    MemberFailedError,
    NoMemberLeftError,
    StreamInterruptedError,
)
from services.router.core.failures import Failure, UpstreamError
from services.router.core.limits import LONGEST_CALL_S
from services.router.core.model import Adapter, Member, MidStream
from services.router.core.ports import LookAtSecrets, ProviderAdapter, TimeLeft, UpstreamCall
from services.router.core.request import InferCommand
from services.router.core.selection import (
    capable_members,
    limit_reached,
    next_member,
    planned_decision,
    skipped_members,
)
from services.router.core.switching import (
    FailOver,
    Remaining,
    RetryInPlace,
    ReturnError,
    ReturnRefusal,
    Step,
    WaitInPlace,
    next_step,
    starts_over,
)
from services.router.engine.attempt import (
    AttemptInProgress,
    Watchdog,
    log_failure,
    outcome_of,
    timeouts_of,
)
from services.router.engine.quarantines import Admission
from services.router.engine.refusals import refusal
from services.router.engine.retries import Retries
from services.router.engine.routing_state import RouteRequest, RoutingState
from services.router.engine.tracing import (
    measure_overhead,
    record_failover,
    start_attempt,
    start_route,
    traceparent_of,
)

_NEVER_MOVES = frozenset({Sticky.ANONYMOUS, Sticky.THIS_CALL_ONLY})
# Beyond the end of its call, a probe of a circuit counts as abandoned.
PROBE_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class InferenceDependencies:
    """What all calls of the process share."""

    adapters: Mapping[type[Adapter], ProviderAdapter]
    routing: RoutingState
    retries: Retries
    watchdog: Watchdog
    clock: Clock
    ids: IdSource
    look: LookAtSecrets


class RoutedCall:
    """The attempts of one call: every member at most once, each with its retries in place.

    Args:
        time_left: Seconds until the caller's deadline; None when there is none.
    """

    def __init__(
        self,
        dependencies: InferenceDependencies,
        request: RouteRequest,
        command: InferCommand,
        registry_version: int,
        time_left: TimeLeft,
    ) -> None:
        self._dependencies = dependencies
        self._request = request
        self._command = command
        self._time_left = time_left
        dependencies.retries.calls += 1
        clocks = request.target.pool.clocks
        now, now_s = dependencies.clock.now(), dependencies.clock.monotonic_s()
        self._total_due_s = now_s + (clocks.total_s or LONGEST_CALL_S)
        self._began_s, self._paused_s = now_s, 0.0
        self._chosen = dependencies.routing.choose_start(request, now)
        self._planned = planned_decision(
            request.target, registry_version, request.key, self._chosen
        )
        self._health, self._health_at = self._chosen.health, now
        self._current = self._chosen.start
        # To the current member, until the result of the call on it is recorded.
        self._admission: Admission | None = None
        self._tried: set[int] = set()
        # For hints; whether a limit of the current member was waited for.
        self._wait_left_s, self._waited = command.max_wait_s, False
        self._attempts: list[Attempt] = []
        # The last step was bounded by ``max_attempts`` or by the budget of moves.
        self._limited = False
        self._answered_by: Member | None = None
        self._moving_failure: Failure | None = None
        # Traceparents of the last attempt and of the one that moved the session.
        self._last_attempt = self._moved_by = ""
        pin = self._chosen.found_pin
        self.route = start_route(self.decision, command.session, pin.traceparent if pin else "")

    @property
    def decision(self) -> RouteDecision:
        """The decision so far."""
        chosen, planned, member = self._chosen, self._planned, self._answered_by
        if self._current != chosen.start and chosen.sticky not in _NEVER_MOVES:
            planned = replace(planned, sticky=Sticky.MOVED, moved_at=None, move_reason=None)
        return replace(
            planned,
            member_id=member.id if member else "",
            provider_id=member.provider.id if member else "",
            upstream_model=member.model.upstream_model if member else "",
            attempts=tuple(self._attempts),
            skipped=skipped_members(chosen.order, chosen.home, self._health, self._tried),
        )

    async def committed_attempt(self) -> AttemptInProgress | None:
        """Make attempts until the answer of one has begun; None when the content is refused.

        Raises:
            DomainError: No attempt reached its commit point.
        """
        if self._chosen.refused:
            routing, now = self._dependencies.routing, self._health_at
            raise refusal(routing, self._request, self._chosen, self.decision, now)
        self._enter()
        return await self._attempts_until_commit(AttemptKind.INITIAL)

    async def restarted_attempt(
        self, broken: AttemptInProgress, failure: Failure
    ) -> AttemptInProgress | None:
        """Start the answer over on another member, after ``broken``, which is settled, has broken
        off; None when the content is refused.

        Raises:
            DomainError: It does not start over, or no other member could begin it.
        """
        policy = self._request.target.pool
        left = self._remaining(retries=0)
        restarts = (self._command.mid_stream or policy.mid_stream) is MidStream.RESTART
        if restarts and starts_over(failure, policy.switch):
            if left.can_fail_over:
                self._last_attempt = traceparent_of(broken.span)
                self._fail_over(failure)
                return await self._attempts_until_commit(AttemptKind.FAILOVER)
            if self._limited:
                self._health = limit_reached(self._request.target, self._health)
        raise StreamInterruptedError.of(failure, broken.member.id)

    async def settle(
        self, attempt: AttemptInProgress, outcome: AttemptOutcome, failure: Failure | None = None
    ) -> None:
        """Close an attempt, which ends the call on its member; only the first outcome counts."""
        if attempt.record.outcome is AttemptOutcome.STREAMING:
            self._leave(failure)
            await self._close(attempt, outcome, failure)
            log_failure(attempt.record, goes_on=False)

    async def _attempts_until_commit(self, kind: AttemptKind) -> AttemptInProgress | None:
        try:
            return await self._first_committed(kind)
        except BaseException as error:
            # A cancel while no attempt is open; else its result is recorded already.
            self._leave(outcome_of(error)[1])
            raise

    async def _first_committed(self, kind: AttemptKind) -> AttemptInProgress | None:
        retries = 0
        while True:
            attempt = self._start(kind)
            failure = await self._open(attempt)
            if failure is None:
                return attempt
            match await self._step_after(failure, retries):
                case ReturnRefusal():
                    self._leave(failure)
                    self._dependencies.routing.record_answer(self._request)
                    self._answered_by = self._member
                    return None
                case RetryInPlace():
                    kind, retries = AttemptKind.RETRY, retries + 1
                    self._wait_left_s -= failure.retry_after_s or 0.0
                case WaitInPlace(delay_s):
                    kind, self._waited = AttemptKind.RETRY, True
                    self._wait_left_s -= delay_s
                case FailOver():
                    self._fail_over(failure)
                    kind, retries = AttemptKind.FAILOVER, 0
                case ReturnError(no_member_left):
                    self._leave(failure)
                    raise self._error(failure, no_member_left=no_member_left)

    async def _step_after(self, failure: Failure, retries: int) -> Step:
        """The next step, after the pause when that is another request to the member.

        There is none when the budget of the process is spent, or the circuit opens in the pause.
        """
        switch, failed = self._request.target.pool.switch, self._attempts[-1]
        step = next_step(failure, switch, self._remaining(retries))
        repeats = isinstance(step, RetryInPlace | WaitInPlace)
        if repeats and not self._dependencies.retries.take():
            step = next_step(failure, switch, replace(self._remaining(retries), can_repeat=False))
        log_failure(failed, goes_on=isinstance(step, RetryInPlace | WaitInPlace | FailOver))
        if isinstance(step, RetryInPlace | WaitInPlace):
            clock = self._dependencies.clock
            paused_at_s = clock.monotonic_s()
            await clock.sleep(step.delay_s)
            self._paused_s += clock.monotonic_s() - paused_at_s
            if not self._may_repeat():
                remaining = replace(self._remaining(retries), can_repeat=False)
                return next_step(failure, switch, remaining)
        return step

    def _enter(self) -> None:
        """Be let through to the current member, which is healthy."""
        target, routing = self._request.target, self._dependencies.routing
        lease_s = self._time_left_s() + PROBE_GRACE_S
        self._admission = routing.admit(target, self._member, self._health_at, lease_s)

    def _leave(self, failure: Failure | None) -> None:
        """Record how the call has ended on the current member; the first result counts."""
        admission, self._admission = self._admission, None
        if admission is not None:
            kind = None if failure is None else failure.kind
            now = self._dependencies.clock.now()
            self._dependencies.routing.record_result(
                self._request.target, self._member, admission, kind, now
            )

    def _may_repeat(self) -> bool:
        routing, now = self._dependencies.routing, self._dependencies.clock.now()
        given = self._admission
        return given is None or routing.may_repeat(self._request.target, self._member, given, now)

    async def _close(
        self, attempt: AttemptInProgress, outcome: AttemptOutcome, failure: Failure | None
    ) -> None:
        routing, now = self._dependencies.routing, self._dependencies.clock.now()
        member = attempt.member
        if outcome is AttemptOutcome.SUCCEEDED:
            routing.record_success(member, now)
            routing.record_answer(self._request)
        elif failure is not None:
            routing.record_failure(member, failure, now)
        try:
            await attempt.close(outcome, failure)
        finally:
            self._attempts[attempt.record.number - 1] = attempt.record

    @property
    def _member(self) -> Member:
        assert self._current is not None, "a refused call has no attempts"  # noqa: S101  # narrows the type
        return self._request.target.members[self._current]

    def _start(self, kind: AttemptKind) -> AttemptInProgress:
        member, dependencies = self._member, self._dependencies
        record = Attempt(
            id=dependencies.ids.new_id(),
            number=len(self._attempts) + 1,
            member_id=member.id,
            provider_id=member.provider.id,
            upstream_model=member.model.upstream_model,
            kind=kind,
            outcome=AttemptOutcome.STREAMING,
            probe=self._admission is not None and self._admission.probe,
        )
        at_home = self._current == self._chosen.home
        span = start_attempt(self.route, record, member, is_home=at_home, before=self._last_attempt)
        began_s = dependencies.clock.monotonic_s() if self._command.collected else None
        clocks = self._request.target.pool.clocks
        timeouts = timeouts_of(clocks, member, self._total_due_s, began_s)
        self._attempts.append(record)
        return AttemptInProgress(
            member, record, span, timeouts, dependencies.watchdog, dependencies.clock
        )

    async def _open(self, attempt: AttemptInProgress) -> Failure | None:
        """Bring the attempt to its commit point; returns the failure that prevented it, if any."""
        member, key = attempt.member, self._request.key
        adapter = self._dependencies.adapters[type(member.provider.adapter)]
        cache_key = "" if key.anonymous else key.routing_key
        try:
            await attempt.open(adapter, UpstreamCall(member, self._command.prompt, cache_key))
        except UpstreamError as error:
            self._record_windows(attempt)
            await self._close(attempt, AttemptOutcome.FAILED, error.failure)
            self._last_attempt = traceparent_of(attempt.span)
            return error.failure
        except BaseException as error:
            await self.settle(attempt, *outcome_of(error))
            raise
        self._commit(attempt)
        return None

    def _commit(self, attempt: AttemptInProgress) -> None:
        assert self._current is not None, "only a started attempt commits"  # noqa: S101  # narrows the type
        self._attempts[attempt.record.number - 1] = attempt.record
        if self._answered_by is None:
            elsewhere_s = self._paused_s + sum(each.elapsed_s for each in self._attempts)
            took_s = self._dependencies.clock.monotonic_s() - self._began_s
            measure_overhead(self._request.target.pool.id, took_s - elsewhere_s)
        self._answered_by = self._member
        self._record_windows(attempt)
        self._dependencies.routing.record_commit(
            self._request,
            self._chosen,
            self._current,
            self._moving_failure,
            self._dependencies.clock.now(),
            self._moved_by or traceparent_of(self.route),
        )

    def _record_windows(self, attempt: AttemptInProgress) -> None:
        now, windows = self._dependencies.clock.now(), attempt.opened.windows
        self._dependencies.routing.record_windows(self._member, windows, now)

    def _remaining(self, retries: int) -> Remaining:
        """What the call may do now that it is done with the current member."""
        dependencies, target = self._dependencies, self._request.target
        if self._current is not None:
            self._tried.add(self._current)
        self._health_at = dependencies.clock.now()
        self._health = dependencies.routing.health(self._request, self._health_at)
        limit = self._command.max_attempts
        attempts_left = limit is None or len(self._attempts) < limit
        may_repeat, candidate = self._may_repeat(), self._next()
        may_move = candidate is None or dependencies.routing.may_move(
            self._request, candidate, self._health_at
        )
        self._limited = not attempts_left or not may_move
        return Remaining(
            retries_done=retries,
            retries_allowed=target.pool.in_place_retries,
            can_fail_over=candidate is not None and not self._limited,
            can_repeat=attempts_left and may_repeat,
            wait_left_s=self._wait_left_s,
            waited=self._waited,
            time_left_s=self._time_left_s(),
            circuit_opened=not may_repeat,
            draw=dependencies.retries.draw(),
        )

    def _fail_over(self, failure: Failure) -> None:
        self._leave(failure)
        left, self._current, self._waited = self._current, self._next(), False
        if left is not None and self._current is not None:
            record_move = self._dependencies.routing.record_move
            record_move(self._request, left, self._current, failure.kind, self._health_at)
        self._enter()
        self._moving_failure, self._moved_by = failure, self._last_attempt
        record_failover(self.route, self._attempts[-1], self._member.id)

    def _next(self) -> int | None:
        order = self._dependencies.routing.order(self._request, self._chosen, self._health_at)
        return next_member(order, self._health, self._tried)

    def _time_left_s(self) -> float:
        total_s = self._total_due_s - self._dependencies.clock.monotonic_s()
        deadline_s = self._time_left()
        return total_s if deadline_s is None else min(total_s, deadline_s)

    def _error(self, failure: Failure, *, no_member_left: bool) -> DomainError:
        target, clock = self._request.target, self._dependencies.clock
        if no_member_left and self._limited:
            self._health = limit_reached(target, self._health)
        recovers_in_s = self._dependencies.routing.recovers_in_s
        if no_member_left and not target.single_member and not self._limited:
            capable = capable_members(target, self._health)
            recovery_s = recovers_in_s(target, capable, clock.now())
            return NoMemberLeftError.of(self.decision, recovery_s)
        recovery_s = recovers_in_s(target, [self._member], clock.now())
        return MemberFailedError.of(failure, self._member.id, recovery_s)
