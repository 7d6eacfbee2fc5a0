"""What the router remembers between calls: pins, quota deadlines, whose turn it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.router.core.decision import Skipped, SkipReason
from services.router.core.failures import QUOTA, Failure
from services.router.core.model import HomeStrategy, Member, Target, Unsupported
from services.router.core.pins import Pin, Pins, pin_ttl_s
from services.router.core.quota import QuotaDeadline, after_answer, after_refusal, sets_aside
from services.router.core.selection import Selection, select
from services.router.core.session import SessionKey

# Deadlines are few (one per account and model), yet a registry may change for years.
_MAX_DEADLINES = 10_000


@dataclass(frozen=True, slots=True)
class Claim:
    """Who is routed where: a session, its run and its target."""

    target: Target
    key: SessionKey
    run_id: str


class Routing:
    """Synchronous and free of I/O: calls of one process take turns on the event loop."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins
        self._deadlines: dict[tuple[str, str, str], QuotaDeadline] = {}
        self._turns: dict[tuple[str, str], int] = {}

    def health(self, target: Target, now: datetime) -> list[Skipped | None]:
        """Per member, why it cannot be called now; looking changes nothing."""
        return [self._set_aside(target, member, now) for member in target.members]

    def begin(self, claim: Claim, now: datetime) -> Selection:
        """Choose where a call starts; a session that is new takes its turn."""
        target, key = claim.target, claim.key
        pin = None if target.lone else self._pins.find(key, target, now)
        health = self.health(target, now)
        in_turn = target.pool.home is HomeStrategy.ROUND_ROBIN and pin is None
        turn = self._take_turn(target) if in_turn else 0
        chosen = select(target, key, claim.run_id, pin, health, turn)
        if pin is not None:
            self._pins.use(pin, now, claim.run_id)
        elif in_turn and not key.anonymous:
            # A home given in turn is known from nowhere else: it is held from the start.
            self._pins.hold(self._pin(claim, chosen.home, chosen.home, None, now, ""))
        return chosen

    def committed(
        self,
        claim: Claim,
        chosen: Selection,
        member: int,
        cause: Failure | None,
        now: datetime,
        traceparent: str,
    ) -> None:
        """The answer of ``member`` has begun: the session is now where it is.

        Args:
            cause: What moved the session in this call; None when it was moved before it or not
                at all.
            traceparent: Of the span that moved it, if it moved.
        """
        target, key = claim.target, claim.key
        if key.anonymous or target.lone:
            return
        pin = self._pins.find(key, target, now)
        if member == chosen.start and _moved_since(chosen, pin):
            # A call that ran alongside has left this member: it knows more than we do.
            return
        in_turn = target.pool.home is HomeStrategy.ROUND_ROBIN
        if member == chosen.home and not in_turn:
            if pin is not None:
                self._pins.drop(pin)
            return
        if pin is None or pin.member_id != target.members[member].id:
            self._pins.hold(self._pin(claim, member, chosen.home, cause, now, traceparent))

    def failed(self, member: Member, failure: Failure, now: datetime) -> None:
        """Note a failure for the calls to come."""
        if failure.kind in QUOTA:
            before = self._deadlines.get(member.quota_key)
            after = after_refusal(before, failure.retry_after_s, now)
            self._forget_old(now)
            self._deadlines[member.quota_key] = after

    def answered(self, member: Member, now: datetime) -> None:
        """Note a complete answer for the calls to come."""
        before = self._deadlines.get(member.quota_key)
        if before is not None and after_answer(before, now) is None:
            del self._deadlines[member.quota_key]

    def recovers_in_s(self, members: Sequence[Member], now: datetime) -> float | None:
        """Seconds until the first of the members may be asked again; None when nothing is known."""
        known = (self._deadlines.get(member.quota_key) for member in members)
        left_s = [(d.until - now).total_seconds() for d in known if d is not None]
        return min((s for s in left_s if s > 0), default=None)

    def _set_aside(self, target: Target, member: Member, now: datetime) -> Skipped | None:
        if isinstance(member.provider.adapter, Unsupported):
            missing = f"adapter {member.provider.adapter.name}"
            return Skipped(member.id, SkipReason.INCAPABLE, detail=missing)
        deadline = self._deadlines.get(member.quota_key)
        if target.lone or deadline is None or not sets_aside(deadline, target.pool.switch, now):
            return None
        return Skipped(member.id, SkipReason.QUOTA_DEADLINE, until=deadline.until)

    def _take_turn(self, target: Target) -> int:
        place = target.pool.id, target.revision
        turn = self._turns.get(place, 0)
        if turn == 0:
            # A new revision starts over; the turns of older ones are of no use any more.
            self._turns = {p: t for p, t in self._turns.items() if p[0] != target.pool.id}
        self._turns[place] = turn + 1
        return turn

    def _forget_old(self, now: datetime) -> None:
        if len(self._deadlines) >= _MAX_DEADLINES:
            self._deadlines = {k: d for k, d in self._deadlines.items() if d.until > now}

    @staticmethod
    def _pin(
        claim: Claim,
        member: int,
        home: int,
        cause: Failure | None,
        now: datetime,
        traceparent: str,
    ) -> Pin:
        target = claim.target
        return Pin(
            tenant=claim.key.tenant,
            pool_id=target.pool.id,
            session=claim.key.name,
            revision=target.revision,
            member_id=target.members[member].id,
            home_member_id=target.members[home].id,
            reason=None if cause is None else cause.kind,
            run_id=claim.run_id,
            moved_at=now,
            used_at=now,
            ttl_s=pin_ttl_s(target, target.members[member]),
            traceparent=traceparent,
            stored=target.pool.home is not HomeStrategy.ROUND_ROBIN,
        )


def _moved_since(chosen: Selection, pin: Pin | None) -> bool:
    """Whether another call has moved the session since this one chose where to start."""
    if pin is None or pin.member_id == pin.home_member_id:
        return False
    return chosen.follows is None or chosen.follows.moved_at != pin.moved_at
