"""``runyard watch registry``: its changes as they are published."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

import grpc

from runyard.registry.v1 import registry_pb2
from runyard.registry.v1 import registry_service_pb2 as pb
from services.chassis.calls.streaming import streaming
from services.chassis.clock import Clock, SystemClock
from services.cli.manifests.kinds import id_of, kind_of, named
from services.cli.talk.clients import Clients
from services.cli.talk.outage import GIVE_UP_FIRST_S, Outage, may_recover


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one resource, as ``provider/north``; without content when it is gone."""

    action: str
    name: str
    resource: registry_pb2.Resource | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """The changes from one version to another.

    Attributes:
        from_version: 0 for the first, which is everything that there is.
    """

    from_version: int
    to_version: int
    incarnation: str
    happened: tuple[Change, ...]


@dataclass
class Watching:
    """The registry from now on, across reconnects, restarts and a new database.

    Attributes:
        on_outage: Called once per outage of the registry.
    """

    stubs: Clients
    clock: Clock = field(default_factory=SystemClock)
    on_outage: Callable[[], None] = lambda: None
    version: int = 0
    incarnation: str = ""
    _hashes: dict[str, str] = field(default_factory=dict)

    async def steps(self) -> AsyncIterator[Step]:
        """Every step once and in order; has no end of its own.

        Raises:
            CliError: The registry refuses, or was not there when this began.
        """
        away = Outage(self.clock)
        while True:
            try:
                async for step in self._once(away):
                    yield step
            except grpc.aio.AioRpcError as error:
                if away.begins() and may_recover(error):
                    self.on_outage()
                # Wait for a registry that answered before; another may not be running.
                waited_enough = not self.version and away.lasted_s() >= GIVE_UP_FIRST_S
                if not may_recover(error) or waited_enough:
                    async with self.stubs.talking_to("registry"):
                        raise
                await away.pause()

    async def _once(self, away: Outage) -> AsyncIterator[Step]:
        request = pb.WatchSnapshotRequest(after_version=self.version, incarnation=self.incarnation)
        items: list[pb.SnapshotItem] = []
        async with streaming(self.stubs.registry.WatchSnapshot(request)) as call:
            async for frame in call:
                away.over()
                if frame.HasField("heartbeat") or frame.HasField("reconnect"):
                    continue
                # After a lost connection a change is sent again from its first part.
                items = [*(items if frame.part else ()), *frame.items]
                if frame.last_part:
                    yield self._taken(frame, items)

    def _taken(self, frame: pb.WatchSnapshotResponse, items: Iterable[pb.SnapshotItem]) -> Step:
        first = not self.version
        happened = list(self._changes(items))
        if not frame.from_version and not first:
            there = {one.name for one in happened}
            gone = sorted(self._hashes.keys() - there)
            happened = [one for one in happened if one.action != "unchanged"]
            happened += [Change("removed", name) for name in gone]
        for one in happened:
            if one.resource is None:
                self._hashes.pop(one.name, None)
            else:
                self._hashes[one.name] = one.resource.meta.content_hash
        before = 0 if first else self.version
        self.version, self.incarnation = frame.to_version, frame.incarnation
        return Step(before, frame.to_version, frame.incarnation, tuple(happened))

    def _changes(self, items: Iterable[pb.SnapshotItem]) -> Iterable[Change]:
        for item in items:
            if item.HasField("removed"):
                yield Change("removed", named(item.removed))
                continue
            resource = item.upserted
            kind = kind_of(resource)
            name = f"{kind.member if kind else '?'}/{id_of(resource)}"
            known = self._hashes.get(name)
            same = known == resource.meta.content_hash
            action = "created" if known is None else "unchanged" if same else "updated"
            yield Change(action, name, resource)
