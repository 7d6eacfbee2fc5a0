"""What a rollback publishes: the difference from the current content to an old one, as an apply of
today would write it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from services.chassis.errors import InvalidRequestError
from services.registry.core.applying import Action, Change, Held, Upsert, upsert
from services.registry.core.field_rules import field_violations
from services.registry.core.model import Ref, Resource
from services.registry.core.ports import ResourceCodec, Stored
from services.registry.core.validating import Submitted, Surroundings, diagnose


@dataclass(frozen=True, slots=True)
class RollbackCommand:
    """What the caller wants."""

    version: int
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Turned:
    """One resource in the version to restore, and as it is now; not both are None."""

    ref: Ref
    then: Stored | None
    now: Stored | None


@dataclass(frozen=True, slots=True)
class Restored:
    """A resource to bring back: what it was, and the mark it had."""

    submitted: Submitted
    apply_set: str
    held: Held | None


@dataclass(frozen=True, slots=True)
class Restoration:
    """What differs from the version to restore."""

    restored: tuple[Restored, ...]
    removed: tuple[Ref, ...]

    @property
    def submitted(self) -> Sequence[Submitted]:
        return [one.submitted for one in self.restored]


def restoration(turned: Iterable[Turned], codec: ResourceCodec) -> Restoration:
    """Read what was; ``turned`` is everything that differs, by kind and id."""
    restored, removed = [], []
    for one in turned:
        if one.then is None:
            removed.append(one.ref)
        else:
            restored.append(_restored(one.then, one.now, codec.decode(one.then.body)))
    return Restoration(tuple(restored), tuple(removed))


def _restored(then: Stored, now: Stored | None, resource: Resource) -> Restored:
    held = Held(now.content_hash, now.apply_set) if now else None
    # It is not in the request: its path is its name.
    return Restored(Submitted(str(then.ref), resource), then.apply_set, held)


def check_restored(plan: Restoration, around: Surroundings) -> None:
    """Raise with everything that the rules of today find wrong: they may have become stricter."""
    found = [one.violation() for one in diagnose(plan.submitted, plan.removed, around)]
    for item in plan.submitted:
        found += field_violations(item.resource, item.field)
    if found:
        raise InvalidRequestError.of(found)


def upserts(plan: Restoration) -> list[Upsert]:
    """What to write, in the normalised form of today; nothing that is the same already."""
    decided = (
        # The mark comes back too, an empty one included: prune has to find what it owned.
        replace(upsert(one.submitted.resource, one.apply_set, one.held), apply_set=one.apply_set)
        for one in plan.restored
    )
    return [one for one in decided if one.action is not Action.UNCHANGED]


def changes(written: Iterable[Upsert], removed: Iterable[Ref]) -> tuple[Change, ...]:
    """One per resource, by kind and id."""
    found = [Change(one.ref, one.action) for one in written]
    found += [Change(ref, Action.REMOVED) for ref in removed]
    return tuple(sorted(found, key=lambda change: change.ref))
