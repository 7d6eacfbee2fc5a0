"""What is written, and how it becomes a version: once per request, while the head is locked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from services.chassis.caller import Caller, Replay, once
from services.chassis.clock import Clock
from services.chassis.slices import give_way, in_slices, slicing
from services.registry.core.canonical import FieldChange, content_hash, normalised
from services.registry.core.errors import VersionMismatchError
from services.registry.core.model import Resource
from services.registry.core.ports import ResourceCodec, Store, Tx
from services.registry.core.refs import Ref, Target
from services.registry.core.rules.validating import Submitted, references, submitted_violations
from services.registry.core.stored import Existing, Head, Publication, ResourceWrite

T = TypeVar("T")

# The contents of so many are computed while the head is held.
AT_ONCE = 200


class Action(Enum):
    """What a mutation does to a resource."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Content:
    """A resource as it is stored.

    Attributes:
        resource: Normalised.
        targets: What it refers to.
    """

    resource: Resource
    content_hash: bytes
    body: bytes
    targets: frozenset[Target]


@dataclass(frozen=True, slots=True)
class Upsert:
    """A resource to write, normalised.

    Attributes:
        content: What is stored of it; None when that has not been computed yet.
    """

    resource: Resource
    content_hash: bytes
    apply_set: str
    action: Action
    content: Content | None = None

    @property
    def ref(self) -> Ref:
        return self.resource.ref


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one resource; ``fields`` are filled for a dry run only."""

    ref: Ref
    action: Action
    fields: tuple[FieldChange, ...] = ()
    fields_truncated: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """What would be written.

    Attributes:
        unchanged: Submitted with the content that they have already.
        adopted: Those of them that change their apply set, which alone makes no version.
    """

    upserts: tuple[Upsert, ...]
    unchanged: tuple[Ref, ...]
    adopted: tuple[Ref, ...]
    removed: tuple[Ref, ...]

    @property
    def makes_a_version(self) -> bool:
        return bool(self.upserts or self.removed)

    def changes(self) -> tuple[Change, ...]:
        """One per resource, sorted by kind and id."""
        found = [Change(upsert.ref, upsert.action) for upsert in self.upserts]
        found += [Change(ref, Action.UNCHANGED) for ref in self.unchanged]
        found += [Change(ref, Action.REMOVED) for ref in self.removed]
        return tuple(sorted(found, key=lambda change: change.ref))


def check_version(expected: int | None, current: int) -> None:
    """Compare and set: raise unless ``expected`` is current; None is not compared."""
    if expected is not None and expected != current:
        raise VersionMismatchError.of(expected, current)


def upsert(
    resource: Resource,
    apply_set: str,
    existing: Existing | None,
    content: Content | None = None,
) -> Upsert:
    """What to write of ``resource``; an empty ``apply_set`` keeps the existing one."""
    resource = content.resource if content else normalised(resource)
    digest = content.content_hash if content else content_hash(resource)
    if existing is None:
        return Upsert(resource, digest, apply_set, Action.CREATED, content)
    action = Action.UNCHANGED if digest == existing.content_hash else Action.UPDATED
    return Upsert(resource, digest, apply_set or existing.apply_set, action, content)


def content_of(resource: Resource, codec: ResourceCodec) -> Content:
    """``resource``, which is legal, as it is stored."""
    resource = normalised(resource)
    targets = frozenset(one.target for one in references(resource))
    return Content(resource, content_hash(resource), codec.encode(resource), targets)


async def contents_of(
    submitted: Sequence[Submitted], codec: ResourceCodec
) -> Mapping[Ref, Content]:
    """Those of many resources, up to the first that is illegal: then nothing will be stored."""
    if len(submitted) <= AT_ONCE:
        return {}
    return await in_slices(lambda: _legal(submitted, codec))


def _legal(submitted: Iterable[Submitted], codec: ResourceCodec) -> Mapping[Ref, Content]:
    contents: dict[Ref, Content] = {}
    for item in submitted:
        give_way()
        if any(submitted_violations(item)):
            break
        contents[item.ref] = content_of(item.resource, codec)
    return contents


async def mutate(
    store: Store,
    caller: Caller,
    effect: Callable[[Tx, Head], T],
) -> T | Replay:
    """Run ``effect`` with the head locked; return the stored answer if there is one already."""

    def locked(tx: Tx) -> T | Replay:
        # The head is locked first, everywhere: the request log locks its key, and two locks taken
        # in two orders deadlock.
        head = tx.lock_head()
        return once(tx, caller, lambda: effect(tx, head))

    return await store.write(locked)


async def mutate_in_slices(
    store: Store,
    caller: Caller,
    effect: Callable[[Tx, Head], T],
) -> T | Replay:
    """As ``mutate``, for an effect that may be long; it is dropped when its caller has gone."""
    async with slicing() as slices:
        return await mutate(store, caller, slices.within(effect))


class Publisher:
    """Makes versions of decided changes."""

    def __init__(self, codec: ResourceCodec, clock: Clock) -> None:
        self._codec = codec
        self._clock = clock

    def publish(
        self,
        tx: Tx,
        head: Head,
        caller: Caller,
        *,
        upserts: Sequence[Upsert] = (),
        removed: Sequence[Ref] = (),
        restored_from: int | None = None,
    ) -> int:
        """Publish these changes; return the number of the version that is current then."""
        if not upserts and not removed:
            return head.version
        publication = Publication(
            version=head.version + 1,
            upserts=[self._resource_write(upsert) for upsert in upserts],
            removed=removed,
            at=self._clock.now(),
            by=caller.principal.subject,
            method=caller.method,
            request_id=caller.request_id,
            restored_from=restored_from,
        )
        tx.publish(publication)
        return publication.version

    def _resource_write(self, upsert: Upsert) -> ResourceWrite:
        give_way()
        content = upsert.content or content_of(upsert.resource, self._codec)
        return ResourceWrite(
            upsert.ref, content.content_hash, upsert.apply_set, content.body, content.targets
        )
