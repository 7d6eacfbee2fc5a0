"""Whether every reference resolves after a change; reports every diagnostic.

Only what the change affects is looked up: the submitted resources, what they refer to, and what
refers to the removed ones. The rest was valid and stays valid.

What is legal and yet may be a mistake, a text that holds what looks like a secret, is a warning.
Nothing is refused for it: a prompt may well show what a key looks like.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, assert_never

from services.chassis.errors import Violation
from services.chassis.ids import id_violations, is_id
from services.chassis.slices import give_way
from services.registry.core.model import (
    Agent,
    BuiltinAdapter,
    BuiltinReply,
    BuiltinStep,
    Model,
    ModelPool,
    Provider,
    Resource,
    Tool,
)
from services.registry.core.refs import Kind, Ref, Space, Target
from services.registry.core.rules.fields import (
    ANY_TOOL,
    agent_violations,
    model_violations,
    pool_violations,
    tool_violations,
)
from services.registry.core.rules.providers import provider_violations
from services.registry.core.rules.secrets import holds_secret
from services.registry.core.stored import ReferenceFacts, ReferenceQuery


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
        unreadable: Violations found while decoding it.
        size_bytes: Of its encoding in the request; 0 for what did not come in one.
        warnings: What is legal in it and may be a mistake.
    """

    field: str
    resource: Resource
    unreadable: tuple[Violation, ...] = ()
    size_bytes: int = 0
    warnings: tuple[Violation, ...] = ()

    @property
    def ref(self) -> Ref:
        return self.resource.ref


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One violated rule, or a warning.

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


def reference_query(submitted: Iterable[Submitted], removed: Collection[Ref]) -> ReferenceQuery:
    """What ``diagnose`` needs to know; nothing exists under an id that is not legal."""
    vacated = {ref.target for ref in removed}
    targets = set(vacated)
    for item in submitted:
        give_way()
        targets.add(item.ref.target)
        targets.update(reference.target for reference in references(item.resource))
    legal = frozenset(target for target in targets if is_id(target.id))
    return ReferenceQuery(legal, frozenset(vacated))


def diagnose(
    submitted: Sequence[Submitted], removed: Collection[Ref], facts: ReferenceFacts
) -> list[Diagnostic]:
    """Every diagnostic of a change, without duplicates, sorted by field, then code."""
    return sorted(set(diagnostics(submitted, removed, facts)), key=Diagnostic.order)


def diagnostics(
    submitted: Sequence[Submitted], removed: Collection[Ref], facts: ReferenceFacts
) -> Iterator[Diagnostic]:
    """Every diagnostic of a change as it is found; one may come twice."""
    after = SnapshotAfter(submitted, frozenset(removed), facts.kinds)
    yield from _duplicates(submitted)
    for item in submitted:
        yield from after.ambiguous(item)
        for reference in references(item.resource):
            give_way()
            yield from after.unresolved(
                item.ref, f"{item.field}.{reference.path}", reference.target
            )
    present = after.refs | frozenset(removed)
    for target, dependents in facts.dependents.items():
        for dependent in dependents:
            give_way()
            if dependent not in present:
                yield from after.unresolved(dependent, str(dependent), target)


def _duplicates(submitted: Iterable[Submitted]) -> Iterator[Diagnostic]:
    seen: set[Ref] = set()
    for item in submitted:
        if item.ref in seen:
            text = "occurs more than once in the request"
            yield Diagnostic(
                Code.DUPLICATE_ID, f"{item.field}.id", text, item.ref, depends_on=item.ref
            )
        seen.add(item.ref)


class SnapshotAfter:
    """The snapshot after the change, limited to the targets that were looked up."""

    def __init__(
        self,
        submitted: Iterable[Submitted],
        removed: frozenset[Ref],
        before: Mapping[Target, frozenset[Kind]],
    ) -> None:
        self.refs = frozenset(item.ref for item in submitted)
        self._removed = removed
        self._before = before
        self._added: dict[Target, set[Kind]] = {}
        for ref in self.refs:
            self._added.setdefault(ref.target, set()).add(ref.kind)

    def kinds(self, target: Target) -> set[Kind]:
        """The kinds that exist under ``target``."""
        found = set(self._added.get(target, ()))
        for kind in self._before.get(target, ()):
            if Ref(kind, target.id) not in self._removed:
                found.add(kind)
        return found

    def unresolved(self, dependent: Ref, path: str, target: Target) -> Iterator[Diagnostic]:
        rule = _RULES[dependent.kind, target.space]
        kinds = self.kinds(target)
        if not is_id(target.id) or kinds & rule.fits:
            return  # An id that is not legal is refused as such.
        goes = any(Ref(kind, target.id) in self._removed for kind in rule.fits)
        missing = "which this prune would remove" if goes else "which does not exist"
        text = f"needs {rule.needs} {target.id!r}, {missing}"
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


# A message carries at least one resource, and no client accepts more than 4 MiB by default.
MAX_RESOURCE_BYTES = 1 << 20
# Of each text that the registry sets itself, and ignores in a request.
MAX_META_BYTES = 1024
_MAY_HOLD = "may hold a secret: whoever may read the registry, and the model, can see it"


def submitted_violations(item: Submitted) -> Iterator[Violation]:
    """Everything that is wrong with a submitted resource on its own."""
    size_bytes = item.size_bytes
    if size_bytes > MAX_RESOURCE_BYTES:
        text = f"is {size_bytes:,} bytes, at most {MAX_RESOURCE_BYTES:,} are allowed"
        yield Violation(item.field, text)
    yield from item.unreadable
    yield from field_violations(item.resource, item.field)


def field_violations(resource: Resource, field: str) -> Iterator[Violation]:
    """Everything that is wrong with ``resource``, found at the path ``field``."""
    yield from id_violations(resource.id, f"{field}.id")
    match resource:
        case Provider():
            yield from provider_violations(resource, field)
        case Model():
            yield from model_violations(resource, field)
        case ModelPool():
            yield from pool_violations(resource, field)
        case Agent():
            yield from agent_violations(resource, field)
        case Tool():
            yield from tool_violations(resource, field)
        case _:
            assert_never(resource)


class Reference(NamedTuple):
    """One edge; ``path`` is the field that holds it, within its resource."""

    path: str
    target: Target


def references(resource: Resource) -> Iterator[Reference]:
    """Every reference that must resolve; the model of a remote agent need not."""
    match resource:
        case Provider() | Tool():
            return
        case Model(provider_id=provider_id):
            yield Reference("provider_id", Target(Space.PROVIDERS, provider_id))
        case ModelPool(members=members):
            for index, member in enumerate(members):
                target = Target(Space.MODELS, member.model_id)
                yield Reference(f"members[{index}].model_id", target)
        case Agent():
            yield from _of_agent(resource)
        case _:
            assert_never(resource)


def _of_agent(agent: Agent) -> Iterator[Reference]:
    if agent.endpoint is None:
        yield Reference("model_id", Target(Space.MODELS, agent.model_id))
    for index, tool_id in enumerate(agent.tools):
        yield Reference(f"tools[{index}]", Target(Space.TOOLS, tool_id))
    for index, rule in enumerate(agent.approval_rules):
        if rule.tool_id != ANY_TOOL:
            path = f"approval_rules[{index}].tool_id"
            yield Reference(path, Target(Space.TOOLS, rule.tool_id))


def text_warnings(resource: Resource, field: str) -> Iterator[Violation]:
    """One for each text of ``resource``, at the path ``field``, that may hold a secret."""
    for name, text in _texts(resource):
        if holds_secret(text):
            yield Violation(f"{field}.{name}", _MAY_HOLD)


def _texts(resource: Resource) -> Iterator[tuple[str, str]]:
    """What people write for models and for other people, by field."""
    match resource:
        case Agent():
            yield "system_prompt", resource.system_prompt
            for index, text in enumerate(resource.sampling.stop):
                yield f"sampling.stop[{index}]", text
        case Tool():
            yield "description", resource.description
            yield "json_schema", resource.json_schema
        case Provider(adapter=BuiltinAdapter(steps=steps)):
            for index, step in enumerate(steps):
                yield from _of_step(step, f"builtin.steps[{index}]")
        case Provider() | Model() | ModelPool():
            return
        case _:
            assert_never(resource)


def _of_step(step: BuiltinStep, field: str) -> Iterator[tuple[str, str]]:
    yield f"{field}.matches", step.matches
    if not isinstance(step.outcome, BuiltinReply):
        yield f"{field}.fault.text", step.outcome.text
        return
    yield f"{field}.reply.text", step.outcome.text
    yield f"{field}.reply.reasoning", step.outcome.reasoning
    for index, call in enumerate(step.outcome.tool_calls):
        yield f"{field}.reply.tool_calls[{index}].arguments_json", call.arguments_json
