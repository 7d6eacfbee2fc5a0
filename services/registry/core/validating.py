"""Whether a change leaves a snapshot in which every reference is met: all diagnostics, never the
first.

Only what the change touches is looked at: the submitted resources, what they refer to, and what
refers to what goes away. The rest was valid and stays so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from services.chassis.errors import Violation
from services.registry.core.model import Kind, Ref, Resource, Space, Target
from services.registry.core.references import references


class Code(StrEnum):
    """Stable names of the rules about more than one resource."""

    AGENT_MISSING_MODEL = "agent_missing_model"
    MODEL_MISSING_PROVIDER = "model_missing_provider"
    MODEL_POOL_MISSING_MODEL = "model_pool_missing_model"
    AGENT_MISSING_TOOL = "agent_missing_tool"
    AMBIGUOUS_MODEL_REFERENCE = "ambiguous_model_reference"
    DUPLICATE_ID = "duplicate_id"


@dataclass(frozen=True, slots=True)
class Submitted:
    """A resource as it came in.

    Attributes:
        field: Its path in the request, ``resources[2].model``.
        unreadable: What was found wrong with it while it was read.
    """

    field: str
    resource: Resource
    unreadable: tuple[Violation, ...] = ()

    @property
    def ref(self) -> Ref:
        return self.resource.ref


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One unmet rule.

    Attributes:
        code: None for the rules about one field.
        field: Path in the request; for a resource that is not in it, its kind and id.
        resource: The resource that is wrong; None when the request itself is.
        depends_on: What it needs, or collides with; None for the rules about one field.
    """

    code: Code | None
    field: str
    description: str
    resource: Ref | None = None
    depends_on: Ref | None = None

    @classmethod
    def of(cls, violation: Violation, resource: Ref | None = None) -> Diagnostic:
        """A broken rule about one field."""
        return cls(None, violation.field, violation.description, resource)

    def violation(self) -> Violation:
        if self.code is None:
            return Violation(self.field, self.description)
        return Violation(self.field, f"{self.resource}: {self.description}", self.code.value)

    def order(self) -> tuple[str, str, str]:
        return self.field, self.code or "", self.description


@dataclass(frozen=True, slots=True)
class Wanted:
    """What has to be known of the current snapshot to judge a change.

    Attributes:
        targets: Ids that have to be looked up.
        vacated: Those whose dependents have to be looked up too.
    """

    targets: frozenset[Target]
    vacated: frozenset[Target]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The answer to ``Wanted``; what is not in a mapping does not exist."""

    kinds: Mapping[Target, frozenset[Kind]] = field(default_factory=dict)
    dependents: Mapping[Target, Sequence[Ref]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Rule:
    code: Code
    fits: frozenset[Kind]
    needs: str


_RULES: Mapping[tuple[Kind, Space], _Rule] = {
    (Kind.MODEL, Space.PROVIDERS): _Rule(
        Code.MODEL_MISSING_PROVIDER, frozenset({Kind.PROVIDER}), "provider"
    ),
    (Kind.MODEL_POOL, Space.MODELS): _Rule(
        Code.MODEL_POOL_MISSING_MODEL, frozenset({Kind.MODEL}), "model"
    ),
    (Kind.AGENT, Space.MODELS): _Rule(
        Code.AGENT_MISSING_MODEL, frozenset({Kind.MODEL, Kind.MODEL_POOL}), "model or pool"
    ),
    (Kind.AGENT, Space.TOOLS): _Rule(Code.AGENT_MISSING_TOOL, frozenset({Kind.TOOL}), "tool"),
}


def wanted(submitted: Iterable[Submitted], removed: Collection[Ref]) -> Wanted:
    """What ``diagnose`` will ask about."""
    vacated = {ref.target for ref in removed}
    targets = set(vacated)
    for item in submitted:
        targets.add(item.ref.target)
        targets.update(reference.target for reference in references(item.resource))
    return Wanted(frozenset(targets), frozenset(vacated))


def diagnose(
    submitted: Sequence[Submitted], removed: Collection[Ref], around: Surroundings
) -> list[Diagnostic]:
    """Every diagnostic of a change, without doubles, sorted by field, then code."""
    after = _After(submitted, frozenset(removed), around.kinds)
    found = set(_duplicates(submitted))
    for item in submitted:
        found.update(after.ambiguous(item))
        for reference in references(item.resource):
            found.update(after.unmet(item.ref, f"{item.field}.{reference.path}", reference.target))
    present = after.refs | frozenset(removed)
    for target, dependents in around.dependents.items():
        for dependent in dependents:
            if dependent not in present:
                found.update(after.unmet(dependent, str(dependent), target))
    return sorted(found, key=Diagnostic.order)


def _duplicates(submitted: Iterable[Submitted]) -> Iterator[Diagnostic]:
    seen: set[Ref] = set()
    for item in submitted:
        if item.ref in seen:
            text = "occurs more than once in the request"
            yield Diagnostic(
                Code.DUPLICATE_ID, f"{item.field}.id", text, item.ref, depends_on=item.ref
            )
        seen.add(item.ref)


class _After:
    """The snapshot as it would be after the change, as far as it was looked at."""

    def __init__(
        self,
        submitted: Iterable[Submitted],
        removed: frozenset[Ref],
        before: Mapping[Target, frozenset[Kind]],
    ) -> None:
        self.refs = frozenset(item.ref for item in submitted)
        self._removed = removed
        self._before = before

    def kinds(self, target: Target) -> set[Kind]:
        """The kinds that answer to ``target``."""
        found = {
            kind
            for kind in self._before.get(target, ())
            if Ref(kind, target.id) not in self._removed
        }
        return found | {
            kind
            for kind in Kind
            if kind.space is target.space and Ref(kind, target.id) in self.refs
        }

    def unmet(self, dependent: Ref, path: str, target: Target) -> Iterator[Diagnostic]:
        rule = _RULES[dependent.kind, target.space]
        kinds = self.kinds(target)
        if not target.id or kinds & rule.fits:
            return
        text = f"needs {rule.needs} {target.id!r}, which does not exist"
        if kinds:
            text = f"needs a {rule.needs}, but {target.id!r} is a {min(kinds).label}"
        yield Diagnostic(rule.code, path, text, dependent, Ref(min(rule.fits), target.id))

    def ambiguous(self, item: Submitted) -> Iterator[Diagnostic]:
        others = self.kinds(item.ref.target) - {item.ref.kind}
        for kind in others:
            text = (
                f"models and pools share one namespace, and {item.ref.id!r} is also a {kind.label}"
            )
            yield Diagnostic(
                Code.AMBIGUOUS_MODEL_REFERENCE,
                f"{item.field}.id",
                text,
                item.ref,
                Ref(kind, item.ref.id),
            )
