"""Last good copies in memory."""

from __future__ import annotations

from services.chassis.errors import StoreUnavailableError
from services.chassis.store.kept_snapshot import Kept, KeptChange


class MemoryKept:
    """``KeptSnapshot`` without a database.

    Attributes:
        failing: Refuses to save.
        broken: Raises what no store should, once.
    """

    def __init__(self) -> None:
        self.kept: Kept | None = None
        self.saved: list[KeptChange] = []
        self.failing = False
        self.broken = False

    async def load(self) -> Kept | None:
        return self.kept

    async def save(self, change: KeptChange) -> None:
        if self.failing:
            raise StoreUnavailableError("no room")
        if self.broken:
            self.broken = False
            raise ValueError("a defect")
        self.saved.append(change)
        before = {} if change.whole or self.kept is None else self.kept.resources
        removed = set(change.removed)
        resources = {
            k: body for k, body in {**before, **change.upserts}.items() if k not in removed
        }
        self.kept = Kept(change.version, change.incarnation, resources)
