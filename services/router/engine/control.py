"""What operators see of the routing state, and change in it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from services.chassis.caller import Caller
from services.chassis.clock import Clock
from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.observe.metrics import Attributes
from services.chassis.slices import in_slices
from services.router.core.member_state import MemberState, member_state
from services.router.core.model import Member, Target
from services.router.core.pins import Pin, PinQuery, page_of_pins
from services.router.core.ports import Snapshots, StatePage
from services.router.core.session import SessionKey
from services.router.engine.breakers import breaker_key, circuit_attributes
from services.router.engine.inference import current_snapshot, find_target
from services.router.engine.routing_state import RoutingState

log = logging.getLogger(__name__)


class RoutingControl:
    """Implements ``ports.RoutingControl``; one per process.

    Args:
        instance_id: Names the process.
    """

    def __init__(
        self, snapshots: Snapshots, routing: RoutingState, clock: Clock, instance_id: str
    ) -> None:
        self._snapshots = snapshots
        self._routing = routing
        self._clock = clock
        self._instance_id = instance_id

    async def state(self, caller: Caller, query: PinQuery) -> StatePage:
        snapshot = current_snapshot(self._snapshots)
        targets = snapshot.targets
        if query.target_id:
            found = await find_target(snapshot, query.target_id)
            targets = {query.target_id: found}
        records, now = self._routing.records().copied(), self._clock.now()

        def page() -> StatePage:
            members = records.members(targets.values(), now) if query.after is None else []
            pins = page_of_pins(records.pins, caller.tenant, query, targets, now)
            return StatePage(self._instance_id, members, pins)

        return await in_slices(page)

    async def reset(self, caller: Caller, target_id: str, member_id: str) -> list[MemberState]:
        target = await find_target(current_snapshot(self._snapshots), target_id)
        members, now = _members(target, member_id), self._clock.now()
        for member in members:
            self._routing.shared.reset(target, member, caller.principal.name, now)
        _log("members reset", caller, target_id=target_id, member_ids=[each.id for each in members])
        return [self._state(target, each) for each in members]

    async def set_cordon(
        self, caller: Caller, target_id: str, member_id: str, *, cordoned: bool
    ) -> MemberState:
        target = await find_target(current_snapshot(self._snapshots), target_id)
        (member,) = _members(target, member_id)
        if cordoned and target.single_member:
            text = f"is the only member of {target.pool.id!r}: its sessions have nowhere to go"
            raise InvalidRequestError.of([Violation("member_id", text)])
        self._routing.shared.set_cordon(target, member, self._clock.now(), cordoned=cordoned)
        done = "member cordoned" if cordoned else "member uncordoned"
        _log(done, caller, target_id=target_id, member_id=member_id)
        return self._state(target, member)

    def _state(self, target: Target, member: Member) -> MemberState:
        record = self._routing.records().record(target, member)
        return member_state(target, member, record, self._clock.now())

    async def unpin(self, caller: Caller, pool_id: str, session: str) -> Pin | None:
        target = await find_target(current_snapshot(self._snapshots), pool_id)
        key = SessionKey(caller.tenant, session)
        pin = self._routing.unpin(key, target, self._clock.now())
        found = "" if pin is None else pin.member_id
        _log("session unpinned", caller, target_id=pool_id, session=session, member_id=found)
        return pin

    def circuits(self) -> Iterator[tuple[int, Attributes]]:
        """The circuits of today's members that have failed, for the metric."""
        snapshot, records, now = self._snapshots.current, self._routing.records(), self._clock.now()
        # The metrics are collected in a thread of their own.
        for key in list(records.breakers):
            target = snapshot.targets.get(key[0]) if snapshot else None
            if target is None:
                continue
            for member in target.members:
                if breaker_key(target, member) == key:
                    state = member_state(target, member, records.record(target, member), now)
                    yield 1, circuit_attributes(key, state.breaker)


def _members(target: Target, member_id: str) -> list[Member]:
    """Those to reset, sorted by id.

    Raises:
        InvalidRequestError: The target has no such member.
    """
    wanted = [each for each in target.members if member_id in {"", each.id}]
    if not wanted:
        text = f"is no member of {target.pool.id!r}"
        raise InvalidRequestError.of([Violation("member_id", text)])
    return sorted(wanted, key=lambda each: each.id)


def _log(text: str, caller: Caller, **facts: object) -> None:
    """Who changed what: the routing state has no other audit log."""
    who = {
        "principal": caller.principal.name,
        "on_behalf_of": caller.principal.on_behalf_of or "",
        "tenant": caller.tenant,
        "method": caller.method,
    }
    log.info(text, extra={**who, **facts})
