"""What a rollback publishes: the difference from the current content to that of an old version."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from services.chassis.errors import InvalidRequestError
from services.chassis.slices import give_way
from services.registry.core.changes.publishing import Action, Change, Upsert, upsert
from services.registry.core.model import Resource
from services.registry.core.ports import ResourceCodec
from services.registry.core.refs import Ref
from services.registry.core.rules.validating import Submitted, diagnose, submitted_violations
from services.registry.core.stored import Existing, ReferenceFacts, Stored


@dataclass(frozen=True, slots=True)
class RollbackCommand:
    """What the caller wants."""

    version: int
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class VersionPair:
    """One resource in the version to restore, and as it is now; not both are None."""

    ref: Ref
    then: Stored | None
    now: Stored | None


@dataclass(frozen=True, slots=True)
class Restored:
    """A resource to restore, and the apply set it was in."""

    submitted: Submitted
    apply_set: str
    existing: Existing | None


@dataclass(frozen=True, slots=True)
class Restoration:
    """What differs from the version to restore."""

    restored: tuple[Restored, ...]
    removed: tuple[Ref, ...]

    @property
    def submitted(self) -> Sequence[Submitted]:
        return [one.submitted for one in self.restored]


def restoration(pairs: Iterable[VersionPair], codec: ResourceCodec) -> Restoration:
    """Decode the old contents; ``pairs`` are all resources that differ, by kind and id."""
    restored, removed = [], []
    for one in pairs:
        give_way()
        if one.then is None:
            removed.append(one.ref)
        else:
            restored.append(_restored(one.then, one.now, codec.decode(one.then.body)))
    return Restoration(tuple(restored), tuple(removed))


def _restored(then: Stored, now: Stored | None, resource: Resource) -> Restored:
    existing = Existing(now.content_hash, now.apply_set) if now else None
    # It is not in the request: its path is its name.
    return Restored(Submitted(str(then.ref), resource), then.apply_set, existing)


def check_restored(plan: Restoration, facts: ReferenceFacts) -> None:
    """Raise with every violation of the current rules, which may have become stricter."""
    found = [one.violation() for one in diagnose(plan.submitted, plan.removed, facts)]
    for item in plan.submitted:
        give_way()
        found += submitted_violations(item)
    if found:
        raise InvalidRequestError.of(found)


def upserts(plan: Restoration) -> list[Upsert]:
    """What to write, normalised; resources that already have that content are left out."""
    decided = []
    for one in plan.restored:
        give_way()
        write = upsert(one.submitted.resource, one.apply_set, one.existing)
        # The old apply set is restored too, even an empty one: a prune has to find its resources.
        decided.append(replace(write, apply_set=one.apply_set))
    return [one for one in decided if one.action is not Action.UNCHANGED]


def changes(written: Iterable[Upsert], removed: Iterable[Ref]) -> tuple[Change, ...]:
    """One per resource, by kind and id."""
    found = [Change(one.ref, one.action) for one in written]
    found += [Change(ref, Action.REMOVED) for ref in removed]
    return tuple(sorted(found, key=lambda change: change.ref))
