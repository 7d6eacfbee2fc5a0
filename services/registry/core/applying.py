"""What an apply does: a pure function of the command and of what it touches."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.ids import id_violations
from services.registry.core.canonical import FieldChange, content_hash
from services.registry.core.errors import (
    ResourceExistsError,
    ResourceNotFoundError,
    VersionMismatchError,
)
from services.registry.core.field_rules import field_violations
from services.registry.core.model import Ref, Resource
from services.registry.core.normalising import normalised
from services.registry.core.validating import Diagnostic, Submitted, Surroundings, diagnose

MAX_RESOURCES = 5000


class Mode(Enum):
    """What an apply may do to a resource."""

    CREATE = "create"
    UPDATE = "update"
    UPSERT = "upsert"


class Action(Enum):
    """What a mutation does to a resource."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class ApplyCommand:
    """What the caller wants.

    Attributes:
        unreadable: What was found wrong while the request was read, resources that are none
            included.
        apply_set: Mark of the submitted resources; empty keeps the marks they have.
        prune: Remove what carries the mark and was not submitted.
    """

    submitted: tuple[Submitted, ...]
    unreadable: tuple[Violation, ...] = ()
    mode: Mode = Mode.UPSERT
    apply_set: str = ""
    prune: bool = False
    dry_run: bool = False
    expected_version: int | None = None

    @property
    def refs(self) -> frozenset[Ref]:
        return frozenset(item.ref for item in self.submitted)


@dataclass(frozen=True, slots=True)
class Held:
    """What is there already under a submitted ref."""

    content_hash: bytes
    apply_set: str


@dataclass(frozen=True, slots=True)
class Upsert:
    """A resource to write, normalised."""

    resource: Resource
    content_hash: bytes
    apply_set: str
    action: Action

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
        unchanged: Submitted and the same already.
        adopted: Those of them that only change their mark: that makes no version.
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


def check_count(count: int) -> None:
    """Raise when a request has more resources than one may have.

    Ask before anything of it is read: judging each of millions would hold up every other writer.
    """
    if count > MAX_RESOURCES:
        text = f"has {count:,} entries, at most {MAX_RESOURCES:,} are allowed"
        raise InvalidRequestError.of([Violation("resources", text)])


def check_version(expected: int | None, current: int) -> None:
    """Compare and set: raise unless ``expected`` is current; None is not compared."""
    if expected is not None and expected != current:
        raise VersionMismatchError.of(expected, current)


def pruned(command: ApplyCommand, marked: Iterable[Ref]) -> tuple[Ref, ...]:
    """What carries the mark of ``command`` and is not in it."""
    return tuple(sorted(set(marked) - command.refs)) if command.prune else ()


def judge(
    command: ApplyCommand, removed: Collection[Ref], around: Surroundings
) -> list[Diagnostic]:
    """Everything that is wrong with ``command``, rules of fields and of references, sorted."""
    of_request = [*command.unreadable, *_command_violations(command)]
    found = {Diagnostic.of(violation) for violation in of_request}
    for item in command.submitted:
        of_fields = [*item.unreadable, *field_violations(item.resource, item.field)]
        found.update(Diagnostic.of(violation, item.ref) for violation in of_fields)
    found.update(diagnose(command.submitted, removed, around))
    return sorted(found, key=Diagnostic.order)


def check(command: ApplyCommand, removed: Collection[Ref], around: Surroundings) -> None:
    """Raise with everything that ``judge`` finds."""
    found = judge(command, removed, around)
    if found:
        raise InvalidRequestError.of(one.violation() for one in found)


def _command_violations(command: ApplyCommand) -> Iterator[Violation]:
    if not command.submitted and not command.unreadable and not command.prune:
        yield Violation("resources", "must not be empty, except with prune")
    if command.apply_set:
        yield from id_violations(command.apply_set, "apply_set")
    elif command.prune:
        yield Violation("prune", "needs apply_set")


def draft(command: ApplyCommand, held: Mapping[Ref, Held], removed: Sequence[Ref]) -> Draft:
    """Decide what to write. ``command`` has passed ``check``.

    Raises:
        ResourceExistsError: Mode create, and some exist.
        ResourceNotFoundError: Mode update, and some do not.
    """
    _check_mode(command, held)
    upserts, unchanged, adopted = [], [], []
    for item in command.submitted:
        decided = upsert(item.resource, command.apply_set, held.get(item.ref))
        if decided.action is not Action.UNCHANGED:
            upserts.append(decided)
            continue
        unchanged.append(item.ref)
        if decided.apply_set != held[item.ref].apply_set:
            adopted.append(item.ref)
    return Draft(tuple(upserts), tuple(unchanged), tuple(adopted), tuple(removed))


def _check_mode(command: ApplyCommand, held: Mapping[Ref, Held]) -> None:
    if command.mode is Mode.CREATE and held:
        raise ResourceExistsError.of(held)
    missing = command.refs - held.keys()
    if command.mode is Mode.UPDATE and missing:
        raise ResourceNotFoundError.of(missing)


def upsert(resource: Resource, apply_set: str, held: Held | None) -> Upsert:
    """What to write of ``resource``; an empty ``apply_set`` keeps the mark there is."""
    resource = normalised(resource)
    digest = content_hash(resource)
    if held is None:
        return Upsert(resource, digest, apply_set, Action.CREATED)
    action = Action.UNCHANGED if digest == held.content_hash else Action.UPDATED
    return Upsert(resource, digest, apply_set or held.apply_set, action)
