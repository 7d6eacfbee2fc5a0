"""What operators see of the routing state."""

from __future__ import annotations

from services.chassis.caller import Caller
from services.chassis.clock import Clock
from services.chassis.slices import in_slices
from services.router.core.pins import PinQuery, page_of_pins
from services.router.core.ports import Snapshots, StatePage
from services.router.engine.inference import current_snapshot, find_target
from services.router.engine.routing_state import RoutingState


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
        records, now = self._routing.records(), self._clock.now()

        def page() -> StatePage:
            members = records.members(targets.values(), now) if query.after is None else []
            pins = page_of_pins(records.pins, caller.tenant, query, targets, now)
            return StatePage(self._instance_id, members, pins)

        return await in_slices(page)
