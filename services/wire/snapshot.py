"""Following the registry: an immutable snapshot in memory, a last good copy in the own store.

    registry ──WatchSnapshot──► parts ─► net change ─► build ─► current
                                                  └──► kept ─► current, after a restart

The consumer never waits for the registry: while that is away, what was last seen holds. A change
becomes visible as a whole or not at all.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import grpc

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.chassis.calls.streaming import streaming
from services.chassis.clock import Clock
from services.chassis.errors import DomainError, ErrorKind, Retry
from services.chassis.failpoints import failpoint
from services.chassis.follow.rereading import DrainSignal
from services.chassis.store.kept_snapshot import KeptChange, KeptSnapshot, Key

S = TypeVar("S")
Resources: TypeAlias = Mapping[Key, pb.Resource]
Build: TypeAlias = Callable[[Resources, int, str], S]

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
# The registry is usually there: whoever was too early should not be late.
BEHIND_RETRY_S = 0.5

_ARMS = {
    "provider": pb.RESOURCE_KIND_PROVIDER,
    "model": pb.RESOURCE_KIND_MODEL,
    "model_pool": pb.RESOURCE_KIND_MODEL_POOL,
    "agent": pb.RESOURCE_KIND_AGENT,
    "tool": pb.RESOURCE_KIND_TOOL,
}

# A snapshot is built, and the one before is still shown; its copy is kept afterwards.
_SWAP = failpoint("snapshot.swap")

log = logging.getLogger(__name__)


class SnapshotBehindError(DomainError):
    """The version asked for has not arrived, or there is no snapshot at all."""

    kind = ErrorKind.UNAVAILABLE
    reason = "SNAPSHOT_BEHIND"
    retry = Retry.RETRYABLE

    @classmethod
    def of(
        cls, wanted: int, current: int, wanted_incarnation: str, current_incarnation: str
    ) -> SnapshotBehindError:
        """``wanted_incarnation`` is empty if any would do."""
        text = f"registry version {wanted} has not arrived, {current} is the newest here"
        if wanted_incarnation not in ("", current_incarnation):
            here = f"of incarnation {current_incarnation}" if current_incarnation else "of none"
            text = (
                f"the registry's incarnation {wanted_incarnation} has not arrived, this is {here}"
            )
        error = cls(text, retry_after_s=BEHIND_RETRY_S, wanted=str(wanted), current=str(current))
        if wanted_incarnation:
            error.metadata["wanted_incarnation"] = wanted_incarnation
            error.metadata["current_incarnation"] = current_incarnation
        return error


class BrokenWatchError(Exception):
    """Frames that do not follow from each other: what has been put together is worth nothing."""


class SnapshotConsumer(Generic[S]):
    """The registry as one service sees it.

    Args:
        channel: To the registry; the caller closes it.
        kept: Where the last good copy lives.
        build: Makes the consumer's own immutable snapshot of all resources by (kind, id), a
            version and its incarnation; called on the event loop for every change.
        drain: Ends ``run`` once the watch that is open ends.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        kept: KeptSnapshot,
        build: Build[S],
        clock: Clock,
        drain: DrainSignal,
    ) -> None:
        self._stub = RegistryServiceStub(channel)
        self._kept = kept
        self._build = build
        self._clock = clock
        self._drain = drain
        self._state: _State[S] | None = None
        self._loaded = False
        self._copy_is_good = False
        self._changed = asyncio.Event()

    @property
    def current(self) -> S | None:
        """The newest snapshot; None until there was one, live or kept."""
        return self._state.snapshot if self._state else None

    @property
    def version(self) -> int:
        """Of ``current``; 0 when there is none."""
        return self._state.version if self._state else 0

    @property
    def incarnation(self) -> str:
        """Of ``current``; empty when there is none."""
        return self._state.incarnation if self._state else ""

    async def at_least(self, version: int, incarnation: str = "", timeout_s: float = 2.0) -> S:
        """The newest snapshot, as soon as it has ``version``; 0 takes any.

        Args:
            incarnation: In which ``version`` was counted; empty takes any.

        Raises:
            SnapshotBehindError: It has not after ``timeout_s``.
        """
        state = self._state
        if state is None or not state.has(version, incarnation):
            state = await self._arrival(version, incarnation, timeout_s)
        return state.snapshot

    async def load(self) -> None:
        """Begin with the kept copy, if there is one; ``run`` does it too. Not twice."""
        if self._loaded:
            return
        self._loaded = True
        kept = await self._kept.load()
        if kept is None or self._state is not None:
            return
        try:
            resources = {key: pb.Resource.FromString(body) for key, body in kept.resources.items()}
            incarnation, lineage = _unpacked(kept.incarnation)
            self._show(resources, kept.version, incarnation, lineage)
        except Exception:
            # Whatever is wrong with the copy, the registry has a better one.
            log.exception("the kept registry snapshot cannot be used")
            return
        self._copy_is_good = True

    async def run(self) -> None:
        """Follow the registry; connection errors only cost time.

        Returns when a watch ends during the drain. One that is open goes on until it is cancelled:
        calls that are being finished may still ask for a newer version.
        """
        await self.load()
        pause_s = FIRST_PAUSE_S
        while not self._drain.started:
            had = self._state
            try:
                await self._follow()
            except grpc.aio.AioRpcError as error:
                log.warning(
                    "registry lost",
                    extra={"grpc_code": error.code().name, "registry_version": self.version},
                )
            except BrokenWatchError as error:
                log.warning("registry watch broken", extra={"cause": str(error)})
            pause_s = FIRST_PAUSE_S if self._state is not had else pause_s * 2
            pause_s = min(pause_s, LONGEST_PAUSE_S)
            # Consumers that lost the same registry must not come back together.
            await self._pause(random.uniform(pause_s / 2, pause_s))  # noqa: S311

    async def _arrival(self, version: int, incarnation: str, timeout_s: float) -> _State[S]:
        late = asyncio.ensure_future(self._clock.sleep(timeout_s))
        try:
            while True:
                changed = self._changed
                state = self._state
                if state is not None and state.has(version, incarnation):
                    return state
                if late.done():
                    raise SnapshotBehindError.of(
                        version, self.version, incarnation, self.incarnation
                    )
                await _first(late, changed)
        finally:
            late.cancel()

    async def _follow(self) -> None:
        request = service_pb.WatchSnapshotRequest(
            after_version=self.version,
            incarnation=self.incarnation,
            lineage=self._state.lineage if self._state else "",
        )
        async with streaming(self._stub.WatchSnapshot(request)) as call:
            parts: list[service_pb.WatchSnapshotResponse] = []
            async for frame in call:
                if frame.HasField("reconnect"):
                    return
                if frame.HasField("heartbeat"):
                    continue
                if frame.part == 0:
                    parts = []  # whatever it interrupts will not be completed
                check_part(frame, parts)
                parts.append(frame)
                if frame.last_part:
                    await self._take(parts)
                    parts = []

    async def _take(self, parts: Sequence[service_pb.WatchSnapshotResponse]) -> None:
        """Show a complete change, then keep it: the copy may lag, the data plane may not."""
        first = parts[0]
        whole = first.from_version == 0
        if not whole and (first.from_version, first.incarnation) != (
            self.version,
            self.incarnation,
        ):
            raise BrokenWatchError(f"a change from {first.from_version}, not {self.version}")
        upserts, removed = items_of(parts)
        before = {} if whole or self._state is None else self._state.resources
        resources = {**before, **upserts}
        for key in removed:
            resources.pop(key, None)
        bodies = {key: resource.SerializeToString() for key, resource in upserts.items()}
        self._show(resources, first.to_version, first.incarnation, first.lineage)
        known_as = _packed(first.incarnation, first.lineage)
        await self._keep(KeptChange(first.to_version, known_as, whole, bodies, removed), resources)

    def _show(
        self, resources: dict[Key, pb.Resource], version: int, incarnation: str, lineage: str
    ) -> None:
        snapshot = self._build(MappingProxyType(resources), version, incarnation)
        _SWAP.reach()
        self._state = _State(snapshot, version, incarnation, lineage, resources)
        self._changed.set()
        self._changed = asyncio.Event()
        log.info("registry snapshot", extra={"registry_version": version})

    async def _keep(self, change: KeptChange, resources: Resources) -> None:
        if not change.whole and not self._copy_is_good:
            everything = {key: each.SerializeToString() for key, each in resources.items()}
            change = KeptChange(change.version, change.incarnation, True, everything)
        # Not until it is saved: whatever stops that, the copy has missed this change.
        self._copy_is_good = False
        try:
            await self._kept.save(change)
        except DomainError as error:
            log.warning("registry snapshot not kept", extra={"cause": error.reason})
        else:
            self._copy_is_good = True

    async def _pause(self, delay_s: float) -> None:
        late = asyncio.ensure_future(self._clock.sleep(delay_s))
        try:
            await _first(late, self._drain)
        finally:
            late.cancel()


class _State(Generic[S]):
    """A snapshot and what it was built from; replaced as a whole."""

    __slots__ = ("incarnation", "lineage", "resources", "snapshot", "version")

    def __init__(
        self,
        snapshot: S,
        version: int,
        incarnation: str,
        lineage: str,
        resources: dict[Key, pb.Resource],
    ) -> None:
        self.snapshot = snapshot
        self.version = version
        self.incarnation = incarnation
        self.lineage = lineage
        self.resources = resources

    def has(self, version: int, incarnation: str) -> bool:
        return self.version >= version and incarnation in ("", self.incarnation)


def _packed(incarnation: str, lineage: str) -> str:
    """Both as the one name under which a copy is kept; neither contains a blank."""
    return f"{incarnation} {lineage}" if lineage else incarnation


def _unpacked(known_as: str) -> tuple[str, str]:
    incarnation, _, lineage = known_as.partition(" ")
    return incarnation, lineage


def check_part(
    frame: service_pb.WatchSnapshotResponse, parts: Sequence[service_pb.WatchSnapshotResponse]
) -> None:
    """Raise BrokenWatchError unless ``frame`` is the next part after ``parts``.

    A part 0 begins a change, whatever came before: ask with no ``parts`` then.
    """
    if frame.part != len(parts):
        raise BrokenWatchError(f"part {frame.part} after {len(parts)} part(s)")
    if parts and _change_of(frame) != _change_of(parts[0]):
        raise BrokenWatchError("parts of different changes")


def _change_of(frame: service_pb.WatchSnapshotResponse) -> tuple[int, int, str, str]:
    return frame.from_version, frame.to_version, frame.incarnation, frame.lineage


def items_of(
    parts: Sequence[service_pb.WatchSnapshotResponse],
) -> tuple[dict[Key, pb.Resource], list[Key]]:
    """What a complete change brings and takes away."""
    upserts: dict[Key, pb.Resource] = {}
    removed: list[Key] = []
    for part in parts:
        for item in part.items:
            if item.HasField("removed"):
                removed.append((int(item.removed.kind), item.removed.id))
            elif key := key_of(item.upserted):
                upserts[key] = item.upserted
    return upserts, removed


def key_of(resource: pb.Resource) -> Key | None:
    """Kind and id; None for a kind that this version does not know."""
    arm = resource.WhichOneof("resource")
    return (int(_ARMS[arm]), getattr(resource, arm).id) if arm else None


class _Waitable(Protocol):
    async def wait(self) -> object: ...


async def _first(late: asyncio.Future[None], event: _Waitable) -> None:
    """Return when ``late`` is done or ``event`` has come."""
    waiting: asyncio.Future[Any] = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([waiting, late], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
