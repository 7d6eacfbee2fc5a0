"""A watcher of the registry that checks that each change follows the last."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1.registry_service_pb2 import (
    GetSnapshotRequest,
    WatchSnapshotRequest,
    WatchSnapshotResponse,
)
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.chassis.calls.streaming import streaming

EOF: object = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it
# Kind and id.
Name = tuple[str, str]


class Follower:
    """What one watcher has received so far.

    Attributes:
        resources: Without their meta, which tells when and by whom.
        spans: From which version to which each complete change led.
        items: How many resources each of these changes told of.
        states: What it had at each version that it stopped at.
        frames: How many messages with parts of changes there were.
        received_bytes: How much they weighed.
    """

    def __init__(self) -> None:
        self.version = 0
        self.incarnation = ""
        self.lineage = ""
        self.resources: dict[Name, pb.Resource] = {}
        self.spans: list[tuple[int, int]] = []
        self.items: list[int] = []
        self.states: dict[int, dict[Name, pb.Resource]] = {}
        self.frames = 0
        self.received_bytes = 0
        self._parts: list[WatchSnapshotResponse] = []

    def take(self, frame: WatchSnapshotResponse) -> bool:
        """Whether ``frame`` completed a change."""
        if frame.HasField("heartbeat") or frame.HasField("reconnect"):
            return False
        if frame.part == 0:  # it interrupts a change whose version is no longer kept
            self._parts = []
        assert frame.part == len(self._parts), "a part is missing"
        self._parts.append(frame)
        self.frames += 1
        self.received_bytes += frame.ByteSize()
        if frame.last_part:
            parts, self._parts = self._parts, []
            self._apply(parts)
        return frame.last_part

    def broken_off(self) -> None:
        """The watch ended: parts of a change that is not complete are worth nothing."""
        self._parts = []

    def _apply(self, parts: list[WatchSnapshotResponse]) -> None:
        first = parts[0]
        assert {(p.from_version, p.to_version, p.incarnation) for p in parts} == {
            (first.from_version, first.to_version, first.incarnation)
        }
        if first.from_version == 0:
            self.resources = {}
        else:
            assert first.from_version == self.version, "a change of something else"
            assert first.incarnation == self.incarnation
        items = [item for part in parts for item in part.items]
        for item in items:
            if item.HasField("removed"):
                kind = pb.ResourceKind.Name(item.removed.kind).removeprefix("RESOURCE_KIND_")
                # Whoever has not got it learns nothing by its removal.
                del self.resources[kind.lower(), item.removed.id]
            else:
                self.resources[name_of(item.upserted)] = bare(item.upserted)
        self.version, self.incarnation = first.to_version, first.incarnation
        self.lineage = first.lineage
        self.spans.append((first.from_version, first.to_version))
        self.items.append(len(items))
        self.states[self.version] = dict(self.resources)

    async def follow(self, call: Any, until_version: int) -> None:
        """Read ``call`` until the change that leads to ``until_version`` is complete."""
        while self.version < until_version:
            frame = await call.read()
            assert frame is not EOF, "the watch ended"
            self.take(frame)


def name_of(resource: pb.Resource) -> Name:
    arm = resource.WhichOneof("resource") or ""
    return arm, getattr(resource, arm).id


def bare(resource: pb.Resource) -> pb.Resource:
    copy = pb.Resource()
    copy.CopyFrom(resource)
    copy.ClearField("meta")
    return copy


@asynccontextmanager
async def watch(stub: RegistryServiceStub, follower: Follower) -> AsyncIterator[Any]:
    """An open watch from where ``follower`` is."""
    request = WatchSnapshotRequest(
        after_version=follower.version,
        incarnation=follower.incarnation,
        lineage=follower.lineage,
    )
    async with streaming(stub.WatchSnapshot(request)) as call:
        yield call


async def snapshot_of(stub: RegistryServiceStub, version: int | None = None) -> Follower:
    """What ``GetSnapshot`` says, in the form of a follower; the current version by default."""
    found = Follower()
    async with streaming(stub.GetSnapshot(GetSnapshotRequest(version=version))) as call:
        async for part in call:
            found.version, found.incarnation = part.version, part.incarnation
            found.resources.update({name_of(each): bare(each) for each in part.resources})
    return found
