"""The state that routing keeps between calls: pins, quota deadlines, circuit breakers, quarantines,
cordons, incidents, and round-robin positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.router.core.cordon import cordon_key, is_cordoned, with_cordon
from services.router.core.decision import Skipped, SkipReason
from services.router.core.failures import PERMANENT, Failure, FailureClass
from services.router.core.incidents import IncidentKey, Incidents, may_move, switches_left
from services.router.core.member_state import MemberState, member_state
from services.router.core.model import HomeStrategy, Member, Target
from services.router.core.needs import missing
from services.router.core.pins import Pin, Pins, pin_ttl_s
from services.router.core.quarantine import Entry
from services.router.core.quota import QuotaDeadline, sets_aside
from services.router.core.quota_windows import QuotaWindow
from services.router.core.request import Needs
from services.router.core.routing_change import Switched
from services.router.core.selection import Selection, select, without_moving
from services.router.core.session import SessionKey
from services.router.core.shared_entry import Changes, Kind, Unheard
from services.router.core.shared_entry import Entry as SharedEntry
from services.router.engine.breakers import Breakers
from services.router.engine.quarantines import Admission, DigestOf, Quarantines
from services.router.engine.quotas import Quotas
from services.router.engine.routing_records import RoutingRecords
from services.router.engine.shared_health import SharedHealth


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """What a call is routed by: its target, its session, its run, and what its prompt needs."""

    target: Target
    key: SessionKey
    run_id: str
    needs: Needs = field(default_factory=Needs)

    @property
    def incident_key(self) -> IncidentKey:
        pool = self.target.pool
        return self.key.tenant, pool.id, self.target.revision, self.key.name


class RoutingState:
    """Synchronous, so that no call sees a half-made change of another; without I/O.

    Args:
        changes: Told of everything that changes, by calls, by operators and by ``merge``.

    Attributes:
        shared: What operators change, on all replicas.
    """

    def __init__(self, pins: Pins, digest_of: DigestOf, changes: Changes | None = None) -> None:
        self._pins = pins
        self._changes = changes or Unheard()
        self._positions: dict[tuple[str, str], int] = {}
        self._breakers = Breakers(changes=self._changes)
        self._quarantines = Quarantines(digest_of, changes=self._changes)
        self._quotas = Quotas(self._changes)
        self.shared = SharedHealth(self._breakers, self._quarantines, self._quotas, self._changes)
        self._incidents = Incidents()

    def health(self, request: RouteRequest, now: datetime) -> list[Skipped | None]:
        """Per member, why the call may not move to it now; None when it may."""
        target, needs = request.target, request.needs
        return [self._skip_reason(target, member, needs, now) for member in target.members]

    def _health_for(
        self, pin: Pin | None, request: RouteRequest, now: datetime
    ) -> list[Skipped | None]:
        """As ``health``; a cordon does not keep a session from the member it is pinned to."""
        found = self.health(request, now)
        for index, member in enumerate(request.target.members):
            skip = found[index]
            held = pin is not None and pin.member_id == member.id
            if held and skip is not None and skip.reason is SkipReason.CORDONED:
                found[index] = self._fault(request.target, member, now)
        return found

    def choose(self, request: RouteRequest, now: datetime) -> Selection:
        """Choose where a call starts; changes nothing.

        The session moves if its member is set aside and the pool's budget of moves allows it.
        """
        target, key = request.target, request.key
        pin = None if target.single_member else self._pins.look(key, target, now)
        health = self._health_for(pin, request, now)
        position = self._positions.get((target.pool.id, target.revision), 0)
        chosen = select(target, key, request.run_id, pin, health, position)
        if chosen.start is None or chosen.left is None:
            return chosen
        may_move = self.may_move(request, chosen.start, now)
        return chosen if may_move else without_moving(chosen, target, key)

    def choose_start(self, request: RouteRequest, now: datetime) -> Selection:
        """As ``choose``, for a call that is made: its session moves and its pin is used; a new
        session of a round-robin pool takes the next slot.
        """
        target, chosen = request.target, self.choose(request, now)
        if chosen.start is not None and not chosen.refused and not chosen.keeps_pin:
            self._record_start(request, chosen, chosen.start, now)
        if chosen.found_pin is not None:
            self._pins.touch(chosen.found_pin, now, request.run_id)
        elif target.pool.home is HomeStrategy.ROUND_ROBIN and not chosen.keeps_pin:
            self._advance(target)
            if not request.key.anonymous:
                # Nothing but its pin remembers a round-robin home.
                self._pins.put(self._pin(request, chosen.home, chosen.home, None, now, ""))
        return chosen

    def _record_start(
        self, request: RouteRequest, chosen: Selection, start: int, now: datetime
    ) -> None:
        if chosen.left is not None:
            skip = chosen.health[chosen.left]
            assert skip is not None, "it was left for it"  # noqa: S101  # narrows the type
            self.record_move(request, chosen.left, start, skip.reason, now)
        elif request.target.pool.switch.max_switches is not None:
            self._incidents.start(request.incident_key, request.target.members[start].id)

    def record_commit(
        self,
        request: RouteRequest,
        chosen: Selection,
        member: int,
        cause: Failure | None,
        now: datetime,
        traceparent: str,
    ) -> None:
        """Pin the session to ``member``, whose answer has begun, or unpin it if that is its home.

        Args:
            cause: The failure in this call that moved the session; None when there was none.
            traceparent: Of the span that moved the session, if it moved.
        """
        target, key = request.target, request.key
        if key.anonymous or target.single_member or chosen.keeps_pin:
            return
        pin = self._pins.find(key, target, now)
        if member == chosen.start and _changed_since(chosen, pin):
            return
        round_robin = target.pool.home is HomeStrategy.ROUND_ROBIN
        if pin is not None and pin.member_id == target.members[member].id:
            return
        if member == chosen.home and not round_robin:
            if pin is not None:
                self._pins.end(pin, now)
        else:
            reason = _why_moved(chosen) if cause is None else cause.kind
            self._pins.put(self._pin(request, member, chosen.home, reason, now, traceparent))

    def order(self, request: RouteRequest, chosen: Selection, now: datetime) -> Sequence[int]:
        """In which order a call fails over: first to where others of its session have moved."""
        members, pinned_to = request.target.members, self._pinned_to(request, now)
        return sorted(chosen.order, key=lambda index: members[index].id != pinned_to)

    def may_move(self, request: RouteRequest, to: int, now: datetime) -> bool:
        """Whether the pool's budget of moves lets the session go to member ``to``."""
        target = request.target
        limit = target.pool.switch.max_switches
        if limit is None:
            return True
        incident = self._incidents.find(request.incident_key)
        return may_move(incident, target.members[to].id, self._pinned_to(request, now), limit)

    def switches_left(self, request: RouteRequest) -> int | None:
        """How many moves the pool's budget leaves the session; None is unbounded."""
        incident = self._incidents.find(request.incident_key)
        return switches_left(incident, request.target.pool.switch.max_switches)

    def record_move(
        self,
        request: RouteRequest,
        left: int,
        to: int,
        reason: FailureClass | SkipReason,
        now: datetime,
    ) -> None:
        """Record that the session goes from one member to another, and charge the move to its
        budget if the pool has one.
        """
        target, key = request.target, request.key
        session = "" if key.anonymous else key.name
        members = target.members[left].id, target.members[to].id
        self._changes.tell(Switched(key.tenant, session, target.pool.id, *members, reason))
        if target.pool.switch.max_switches is not None:
            pinned_to = self._pinned_to(request, now)
            self._incidents.move(request.incident_key, target.members[to].id, pinned_to)

    def record_answer(self, request: RouteRequest) -> None:
        """End the incident of a session that got a complete answer."""
        if request.target.pool.switch.max_switches is not None:
            self._incidents.end(request.incident_key)

    def _pinned_to(self, request: RouteRequest, now: datetime) -> str:
        pin = self._pins.look(request.key, request.target, now)
        return "" if pin is None else pin.member_id

    def record_failure(self, member: Member, failure: Failure, now: datetime) -> None:
        """Set the quota deadline that a failure asks for, and keep what it tells of the limits."""
        self._quotas.refused(member, failure, now)

    def record_windows(self, member: Member, windows: Sequence[QuotaWindow], now: datetime) -> None:
        """Keep what an answer tells of the limits; set the member aside if nothing remains."""
        if windows:
            self._quotas.told(member, windows, now)

    def record_success(self, member: Member, now: datetime) -> None:
        """End the streak of refusals without a hint; a deadline that has not passed stays."""
        if self._deadline(member) is not None:
            self._quotas.answered(member, now)

    def unpin(self, key: SessionKey, target: Target, now: datetime) -> Pin | None:
        """End the pin of a session; None when it has none."""
        pin = self._pins.find(key, target, now)
        if pin is not None:
            self._pins.end(pin, now)
        return pin

    def forget(self, pins: Iterable[Pin]) -> None:
        """Forget pins that have expired, unless they were used since."""
        for pin in pins:
            self._pins.forget(pin)

    def merge(self, entry: SharedEntry[Any]) -> None:
        """Take in what another replica, or this process before its restart, has stored."""
        merge = self._pins.merge if entry.kind is Kind.PIN else self.shared.merge
        merge(entry)

    def records(self) -> RoutingRecords:
        """What is kept of members and sessions; it goes on changing."""
        return RoutingRecords(
            self._breakers.records(),
            self._quotas.deadlines.entries,
            self._quarantines.entries,
            self._quarantines.key,
            self._quotas.windows,
            self.shared.cordons.entries,
            self._pins.all(),
        )

    def member_states(self, target: Target, now: datetime) -> list[MemberState]:
        """What is kept of the members of a target, in the pool's order."""
        records = self.records()
        return [
            member_state(target, member, records.record(target, member), now)
            for member in target.members
        ]

    def admit(self, target: Target, member: Member, now: datetime, lease_s: float) -> Admission:
        """Let a call through to a member that ``health`` finds callable at the same instant.

        Args:
            lease_s: After so many seconds a probe without a result counts as abandoned.
        """
        circuit, entry = self._breakers.admit(target, member, now, lease_s), Entry(now)
        if self._quarantines.entries:
            entry = self._quarantines.admit(target, member, now, lease_s)
        digest = self._quarantines.digest(member) if member.provider.secrets else ""
        return Admission(circuit, entry, digest, circuit.probe or entry.lease is not None)

    def may_repeat(
        self, target: Target, member: Member, admission: Admission, now: datetime
    ) -> bool:
        """Whether the circuit of the member has not opened since the call was let through."""
        return self._breakers.holds(target, member, admission.circuit, now)

    def record_result(
        self,
        target: Target,
        member: Member,
        admission: Admission,
        failure: FailureClass | None,
        now: datetime,
    ) -> None:
        """Tell circuit and quarantine how a call has ended on a member, its retries included."""
        self._breakers.record(target, member, admission.circuit, failure, now)
        if failure in PERMANENT or self._quarantines.entries:
            self._quarantines.record(target, member, admission, failure, now)

    def recovers_in_s(
        self, target: Target, members: Sequence[Member], now: datetime
    ) -> float | None:
        """Seconds until the first of the members may be called again; None when nothing is known
        to keep any of them.
        """
        left_s = (self._set_aside_s(target, member, now) for member in members)
        return min((s for s in left_s if s > 0), default=None)

    def _set_aside_s(self, target: Target, member: Member, now: datetime) -> float:
        """Seconds until neither quota deadline, circuit nor quarantine keeps the member."""
        quota_s = self._quotas.left_s(member, now)
        circuit_s = self._breakers.recovers_in_s(target, member, now) or 0.0
        return max(quota_s, circuit_s, self._quarantines.recovers_in_s(target, member, now) or 0.0)

    def _skip_reason(
        self, target: Target, member: Member, needs: Needs, now: datetime
    ) -> Skipped | None:
        if lacked := missing(needs, member):
            return Skipped(member.id, SkipReason.INCAPABLE, detail=", ".join(lacked))
        skip = self._fault(target, member, now)
        cordons = self.shared.cordons.entries
        if cordons and is_cordoned(target, cordons.get(cordon_key(target, member))):
            return with_cordon(member, skip)
        return skip

    def _fault(self, target: Target, member: Member, now: datetime) -> Skipped | None:
        """Why the member cannot be called by any session."""
        if self._quarantines.entries and (aside := self._quarantines.skip(target, member, now)):
            return aside
        circuit = self._breakers.skip(target, member, now)
        deadline = self._deadline(member)
        if (
            (circuit is not None and circuit.moves)
            or target.single_member
            or deadline is None
            or not sets_aside(deadline, target.pool.switch, now)
        ):
            return circuit
        return Skipped(member.id, SkipReason.QUOTA_DEADLINE, until=deadline.until)

    def _deadline(self, member: Member) -> QuotaDeadline | None:
        entry = self._quotas.deadlines.entries.get(member.quota_key)
        return None if entry is None else entry.value

    def _advance(self, target: Target) -> None:
        """Take the slot of a round-robin pool that is next."""
        pool = target.pool.id, target.revision
        position = self._positions.get(pool, 0)
        if position == 0:
            # A new revision starts at 0; the positions of older ones are dropped.
            self._positions = {p: n for p, n in self._positions.items() if p[0] != target.pool.id}
        self._positions[pool] = position + 1

    @staticmethod
    def _pin(
        request: RouteRequest,
        member: int,
        home: int,
        reason: FailureClass | SkipReason | None,
        now: datetime,
        traceparent: str,
    ) -> Pin:
        target = request.target
        return Pin(
            tenant=request.key.tenant,
            pool_id=target.pool.id,
            session=request.key.name,
            revision=target.revision,
            member_id=target.members[member].id,
            home_member_id=target.members[home].id,
            reason=reason,
            run_id=request.run_id,
            moved_at=now,
            used_at=now,
            ttl_s=pin_ttl_s(target, target.members[member]),
            traceparent=traceparent,
            stored=target.pool.home is not HomeStrategy.ROUND_ROBIN,
        )


def _why_moved(chosen: Selection) -> SkipReason | None:
    """Why the member was set aside that the session left before the call."""
    skip = chosen.health[chosen.home if chosen.left is None else chosen.left]
    return None if skip is None else skip.reason


def _changed_since(chosen: Selection, pin: Pin | None) -> bool:
    """Whether the session was unpinned, or another call has moved it, since this one chose its
    start: that stays.
    """
    if pin is None:
        return chosen.found_pin is not None
    if pin.member_id == pin.home_member_id:
        return False
    return chosen.found_pin is None or chosen.found_pin.moved_at != pin.moved_at
