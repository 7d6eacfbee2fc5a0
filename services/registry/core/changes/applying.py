"""What an apply does, and its use case: load what the decision needs, decide, save, answer.

What is wrong with a change is judged while it is applied or, if it is large, before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from itertools import chain
from types import MappingProxyType

from services.chassis.caller import Caller, Replay
from services.chassis.clock import Clock
from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.ids import id_violations, is_id
from services.chassis.slices import give_way, in_slices
from services.registry.core.changes.diffing import with_fields
from services.registry.core.changes.publishing import (
    Action,
    Change,
    Content,
    Draft,
    Publisher,
    check_version,
    contents_of,
    mutate,
    mutate_in_slices,
    upsert,
)
from services.registry.core.errors import ResourceExistsError, ResourceNotFoundError
from services.registry.core.model import Resource
from services.registry.core.ports import Reads, ResourceCodec, Store, Tx
from services.registry.core.refs import Ref
from services.registry.core.rules.validating import (
    Diagnostic,
    Submitted,
    diagnostics,
    reference_query,
    submitted_violations,
)
from services.registry.core.stored import Existing, Head, ReferenceFacts, ReferenceQuery

# Of one request.
MAX_RESOURCES = 20_000
# In all their repeated fields together: references and steps, whoever holds them.
MAX_ENTRIES = 300_000
# Of one change; what is found beyond them is counted.
MAX_DIAGNOSTICS = 10_000
# Judged at once; a pattern of a script takes as long as many resources.
MAX_BYTES_AT_ONCE = 4 << 10
# Looked up at once, while other reads wait.
MAX_TARGETS_AT_ONCE = 4_096
_READINGS = 3


class Mode(Enum):
    """What an apply may do to a resource."""

    CREATE = "create"
    UPDATE = "update"
    UPSERT = "upsert"


@dataclass(frozen=True, slots=True)
class ApplyCommand:
    """What the caller wants.

    Attributes:
        unreadable: Violations found while decoding the request, including entries that set no kind.
        apply_set: The set that the submitted resources join; empty leaves each in its own.
        prune: Remove resources of the set that were not submitted.
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

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What is legal in the submitted resources and may be a mistake."""
        return tuple(
            Diagnostic.of(warning, item.ref) for item in self.submitted for warning in item.warnings
        )

    @property
    def size_bytes(self) -> int:
        """Of what was submitted."""
        return sum(item.size_bytes for item in self.submitted)


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done, and the version that is current afterwards."""

    version: int
    incarnation: str
    changes: tuple[Change, ...]
    warnings: tuple[Diagnostic, ...] = ()


def pruned(command: ApplyCommand, marked: Iterable[Ref]) -> tuple[Ref, ...]:
    """The resources of the apply set of ``command`` that it does not submit."""
    return tuple(sorted(set(marked) - command.refs)) if command.prune else ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong, sorted, without doubles; ``omitted`` more were found."""

    found: tuple[Diagnostic, ...]
    omitted: int = 0

    def check(self) -> None:
        """Raises:
        InvalidRequestError: Something is wrong.
        """
        if self.found:
            raise InvalidRequestError.of(one.violation() for one in self.found)


@dataclass(frozen=True, slots=True)
class Ahead:
    """A verdict that was reached before the change is applied.

    Attributes:
        removed: What the change would remove, if it prunes.
    """

    head: Head
    removed: Collection[Ref]
    verdict: Verdict

    def holds(self, head: Head, removed: Collection[Ref]) -> bool:
        """Whether it would be the same at ``head``."""
        at = (self.head.version, self.head.lineage)
        return (head.version, head.lineage) == at and removed == self.removed


@dataclass(frozen=True, slots=True)
class Validated:
    """What applying would meet at this version; without anything wrong it would succeed."""

    verdict: Verdict
    version: int
    warnings: tuple[Diagnostic, ...] = ()


def judge(command: ApplyCommand, removed: Collection[Ref], facts: ReferenceFacts) -> Verdict:
    """Every violation of the rules of fields and of references."""
    of_references = diagnostics(command.submitted, removed, facts)
    return _verdict(chain(_of_fields(command), of_references))


def judge_now(reads: Reads, command: ApplyCommand, removed: Collection[Ref]) -> Verdict:
    return judge(
        command, removed, reads.reference_facts(reference_query(command.submitted, removed))
    )


async def judge_ahead(store: Store, command: ApplyCommand) -> Ahead:
    """Judge outside of any transaction, in slices, by facts that are read in batches."""
    removed: tuple[Ref, ...] = ()
    if command.prune and is_id(command.apply_set):
        removed = await store.read(
            lambda reads: pruned(command, reads.in_apply_set(command.apply_set))
        )
    query = await in_slices(lambda: reference_query(command.submitted, removed))
    head, facts = await _facts(store, query)
    verdict = await in_slices(lambda: judge(command, removed, facts))
    return Ahead(head, removed, verdict)


async def _facts(store: Store, query: ReferenceQuery) -> tuple[Head, ReferenceFacts]:
    """Of one version, though each batch is a transaction of its own."""

    def reading(part: ReferenceQuery) -> Callable[[Reads], tuple[Head, ReferenceFacts]]:
        return lambda reads: (reads.head(), reads.reference_facts(part))

    for _ in range(_READINGS):
        found = [await store.read(reading(part)) for part in query.parts(MAX_TARGETS_AT_ONCE)]
        heads = {(head.version, head.lineage) for head, _ in found}
        if len(heads) == 1:
            return found[0][0], await in_slices(partial(_merged, found))
    # It changes all the time: the parts would never fit together.
    return await store.read(reading(query))


def _merged(found: Sequence[tuple[Head, ReferenceFacts]]) -> ReferenceFacts:
    return ReferenceFacts.merged(facts for _, facts in found)


def _verdict(found: Iterable[Diagnostic]) -> Verdict:
    kept: set[Diagnostic] = set()
    omitted = 0
    for one in found:
        give_way()
        if len(kept) < MAX_DIAGNOSTICS:
            kept.add(one)
        elif one not in kept:
            omitted += 1
    return Verdict(tuple(sorted(kept, key=Diagnostic.order)), omitted)


def _of_fields(command: ApplyCommand) -> Iterator[Diagnostic]:
    for violation in chain(command.unreadable, _of_command(command)):
        yield Diagnostic.of(violation)
    for item in command.submitted:
        give_way()
        for violation in submitted_violations(item):
            yield Diagnostic.of(violation, item.ref)


def _of_command(command: ApplyCommand) -> Iterator[Violation]:
    if not command.submitted and not command.unreadable and not command.prune:
        yield Violation("resources", "must not be empty, except with prune")
    if command.apply_set:
        yield from id_violations(command.apply_set, "apply_set")
    elif command.prune:
        yield Violation("prune", "needs apply_set")


def draft(
    command: ApplyCommand,
    existing: Mapping[Ref, Existing],
    removed: Sequence[Ref],
    contents: Mapping[Ref, Content] = MappingProxyType({}),
) -> Draft:
    """Decide what to write. ``command`` has been judged.

    Args:
        contents: Of submitted resources, as far as they have been computed.

    Raises:
        ResourceExistsError: Mode create, and some exist.
        ResourceNotFoundError: Mode update, and some do not.
    """
    _check_mode(command, existing)
    upserts, unchanged, adopted = [], [], []
    for item in command.submitted:
        give_way()
        content = contents.get(item.ref)
        decided = upsert(item.resource, command.apply_set, existing.get(item.ref), content)
        if decided.action is not Action.UNCHANGED:
            upserts.append(decided)
            continue
        unchanged.append(item.ref)
        if decided.apply_set != existing[item.ref].apply_set:
            adopted.append(item.ref)
    return Draft(tuple(upserts), tuple(unchanged), tuple(adopted), tuple(removed))


def _check_mode(command: ApplyCommand, existing: Mapping[Ref, Existing]) -> None:
    if command.mode is Mode.CREATE and existing:
        raise ResourceExistsError.of(existing)
    missing = command.refs - existing.keys()
    if command.mode is Mode.UPDATE and missing:
        raise ResourceNotFoundError.of(missing)


class Applier:
    """What can be done with a change of any number of resources."""

    def __init__(self, store: Store, codec: ResourceCodec, clock: Clock) -> None:
        self._store = store
        self._codec = codec
        self._publisher = Publisher(codec, clock)

    async def apply(self, caller: Caller, command: ApplyCommand) -> Applied | Replay:
        """Create, update and prune in one version; with ``dry_run`` only say what that would do.

        Raises:
            InvalidRequestError: With every violation, of fields and of references.
            VersionMismatchError: ``expected_version`` is not current.
            ResourceExistsError: Mode create, and some exist.
            ResourceNotFoundError: Mode update, and some do not.
        """
        contents = await contents_of(command.submitted, self._codec)
        ahead = await self._ahead(command)
        if command.dry_run:
            return await self._store.read(
                lambda reads: self._dry_run(reads, command, ahead, contents)
            )

        def apply(tx: Tx, head: Head) -> Applied:
            decided = _decide(tx, head, command, ahead, contents)
            tx.adopt(decided.adopted, command.apply_set)
            self._publisher.publish(
                tx, head, caller, upserts=decided.upserts, removed=decided.removed
            )
            return _applied(head, decided, command)

        return await (mutate_in_slices if ahead else mutate)(self._store, caller, apply)

    async def validate(self, command: ApplyCommand) -> Validated:
        """Everything that ``apply`` would refuse ``command`` for, without applying it."""

        ahead = await self._ahead(command)
        if ahead is not None:
            return Validated(ahead.verdict, ahead.head.version, command.warnings)

        def judged(reads: Reads) -> Validated:
            verdict = judge_now(reads, command, ())
            return Validated(verdict, reads.head().version, command.warnings)

        return await self._store.read(judged)

    async def _ahead(self, command: ApplyCommand) -> Ahead | None:
        """Judge a large command, which would hold up others in a transaction."""
        if command.size_bytes <= MAX_BYTES_AT_ONCE:
            return None
        return await judge_ahead(self._store, command)

    def _dry_run(
        self,
        reads: Reads,
        command: ApplyCommand,
        ahead: Ahead | None,
        contents: Mapping[Ref, Content],
    ) -> Applied:
        head = reads.head()
        decided = _decide(reads, head, command, ahead, contents)
        changes = with_fields(decided, partial(self._decoded, reads))
        return replace(_applied(head, decided, command), changes=changes)

    def _decoded(self, reads: Reads, ref: Ref) -> Resource | None:
        stored = reads.stored(ref)
        return self._codec.decode(stored.body) if stored else None


def _decide(
    reads: Reads,
    head: Head,
    command: ApplyCommand,
    ahead: Ahead | None,
    contents: Mapping[Ref, Content],
) -> Draft:
    check_version(command.expected_version, head.version)
    prunes = command.prune and is_id(command.apply_set)
    removed = pruned(command, reads.in_apply_set(command.apply_set) if prunes else ())
    if ahead is not None and ahead.holds(head, removed):
        ahead.verdict.check()
    else:
        judge_now(reads, command, removed).check()
    return draft(command, reads.existing(command.refs), removed, contents)


def _applied(head: Head, decided: Draft, command: ApplyCommand) -> Applied:
    version = head.version + 1 if decided.makes_a_version else head.version
    return Applied(version, head.incarnation, decided.changes(), command.warnings)
