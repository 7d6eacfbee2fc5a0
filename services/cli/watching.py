"""``runyard watch registry``: its changes as they are published."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict

from runyard.registry.v1 import registry_pb2
from runyard.registry.v1 import registry_service_pb2 as pb
from services.chassis.clock import Clock, SystemClock
from services.chassis.streaming import streaming
from services.cli.clients import Clients
from services.cli.command import clients, run
from services.cli.following import GIVE_UP_FIRST_S, Away, is_passing
from services.cli.kinds import id_of, kind_of, named
from services.cli.options import EndpointOption, OutputOption
from services.cli.summaries import summary
from services.cli.terminal import Output, Terminal


@dataclass(frozen=True, slots=True)
class Happened:
    """One change of one resource, as ``provider/north``; without content when it is gone."""

    action: str
    name: str
    resource: registry_pb2.Resource | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What led from one version to another, all of it at once.

    Attributes:
        from_version: 0 for the first, which is everything that there is.
    """

    from_version: int
    to_version: int
    incarnation: str
    happened: tuple[Happened, ...]


@dataclass
class Watching:
    """The registry from now on, through reconnects, restarts and even a new database.

    Attributes:
        told_away: Called when the registry goes away, once until it is back.
    """

    found: Clients
    clock: Clock = field(default_factory=SystemClock)
    told_away: Callable[[], None] = lambda: None
    version: int = 0
    incarnation: str = ""
    _hashes: dict[str, str] = field(default_factory=dict)

    async def steps(self) -> AsyncIterator[Step]:
        """Every step once and in order; has no end of its own.

        Raises:
            CliError: The registry refuses, or was not there when this began.
        """
        away = Away(self.clock)
        while True:
            try:
                async for step in self._once(away):
                    yield step
            except grpc.aio.AioRpcError as error:
                if away.begins() and is_passing(error):
                    self.told_away()
                # One that was there comes back; one that never was has perhaps not been started.
                waited_enough = not self.version and away.lasted_s() >= GIVE_UP_FIRST_S
                if not is_passing(error) or waited_enough:
                    with self.found.talking_to("registry"):
                        raise
                await away.pause()

    async def _once(self, away: Away) -> AsyncIterator[Step]:
        request = pb.WatchSnapshotRequest(after_version=self.version, incarnation=self.incarnation)
        items: list[pb.SnapshotItem] = []
        async with streaming(self.found.registry.WatchSnapshot(request)) as call:
            async for frame in call:
                away.over()
                if frame.HasField("heartbeat") or frame.HasField("reconnect"):
                    continue
                # A change that a lost connection cut in two begins anew.
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
            happened += [Happened("removed", name) for name in gone]
        for one in happened:
            if one.resource is None:
                self._hashes.pop(one.name, None)
            else:
                self._hashes[one.name] = one.resource.meta.content_hash
        before = 0 if first else self.version
        self.version, self.incarnation = frame.to_version, frame.incarnation
        return Step(before, frame.to_version, frame.incarnation, tuple(happened))

    def _changes(self, items: Iterable[pb.SnapshotItem]) -> Iterable[Happened]:
        for item in items:
            if item.HasField("removed"):
                yield Happened("removed", named(item.removed))
                continue
            resource = item.upserted
            kind = kind_of(resource)
            name = f"{kind.member if kind else '?'}/{id_of(resource)}"
            known = self._hashes.get(name)
            same = known == resource.meta.content_hash
            action = "created" if known is None else "unchanged" if same else "updated"
            yield Happened(action, name, resource)


def watch_registry(
    endpoint: EndpointOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Follow the registry's changes live, through restarts of its server, until Ctrl-C.

    In json the first value has everything that there is, from_version 0; the others have what
    changed since the one before.

    Example: runyard watch registry
    """

    async def work(terminal: Terminal) -> None:
        async with clients("watch", endpoint) as found:
            watching = Watching(found)
            watching.told_away = lambda: terminal.line(
                ("the registry is away, trying again until it is back", "yellow")
            )
            async for step in watching.steps():
                show_step(step, terminal)

    run(output, work)


_MARKS: Mapping[str, tuple[str, str]] = {
    "created": ("+", "green"),
    "updated": ("~", "yellow"),
    "removed": ("-", "red"),
}


def show_step(step: Step, terminal: Terminal) -> None:
    terminal.data(_json(step))
    if not step.from_version:
        terminal.line(
            ("version ", ""), (str(step.to_version), "bold"), f": {len(step.happened)} resource(s)"
        )
        return
    terminal.line("version ", (str(step.to_version), "bold"))
    for one in step.happened:
        mark, style = _MARKS.get(one.action, ("=", "dim"))
        told = f"  {summary(one.resource)}" if one.resource is not None else ""
        terminal.line("  ", (f"{mark} {one.name}", style), f" {one.action}", (told, "dim"))


def _json(step: Step) -> dict[str, Any]:
    return {
        "from_version": str(step.from_version),
        "to_version": str(step.to_version),
        "incarnation": step.incarnation,
        "changes": [
            {
                "action": one.action,
                "resource": one.name,
                **(
                    {"content": MessageToDict(one.resource, preserving_proto_field_name=True)}
                    if one.resource is not None
                    else {}
                ),
            }
            for one in step.happened
        ],
    }
