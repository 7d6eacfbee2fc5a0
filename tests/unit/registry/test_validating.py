"""References: all diagnostics of a change, from nothing but what it touches."""

from __future__ import annotations

import pytest

from services.content.model import Approval
from services.registry.core.model import (
    Agent,
    AgentEndpoint,
    ApprovalRule,
    BuiltinAdapter,
    Kind,
    Model,
    ModelPool,
    PoolMember,
    Provider,
    Ref,
    Resource,
    Space,
    Target,
    Tool,
    WorkerExecutor,
)
from services.registry.core.validating import (
    Code,
    Diagnostic,
    Submitted,
    Surroundings,
    Wanted,
    diagnose,
    wanted,
)

MODEL_M = Target(Space.MODELS, "m")


def submitted(*resources: Resource) -> list[Submitted]:
    return [
        Submitted(f"resources[{index}].{resource.ref.kind.label}", resource)
        for index, resource in enumerate(resources)
    ]


def found(
    *resources: Resource,
    removed: tuple[Ref, ...] = (),
    kinds: dict[Target, set[Kind]] | None = None,
    dependents: dict[Target, list[Ref]] | None = None,
) -> list[Diagnostic]:
    known = {target: frozenset(each) for target, each in (kinds or {}).items()}
    return diagnose(submitted(*resources), removed, Surroundings(known, dependents or {}))


def test_a_change_whose_references_are_met_has_no_diagnostics() -> None:
    """Whether they are met by the snapshot or by the change itself."""
    assert (
        found(
            Model("m", "p", "u"),
            ModelPool("mp", (PoolMember("m"), PoolMember("old"))),
            Agent("a", "mp", tools=("t",), approval_rules=(ApprovalRule("*", Approval.ASK),)),
            Tool("t", WorkerExecutor()),
            kinds={
                Target(Space.PROVIDERS, "p"): {Kind.PROVIDER},
                Target(Space.MODELS, "old"): {Kind.MODEL},
            },
        )
        == []
    )


@pytest.mark.parametrize(
    ("resource", "path", "code", "depends_on"),
    [
        (
            Model("x", "gone", "u"),
            "model.provider_id",
            Code.MODEL_MISSING_PROVIDER,
            Ref(Kind.PROVIDER, "gone"),
        ),
        (
            ModelPool("x", (PoolMember("gone"),)),
            "model_pool.members[0].model_id",
            Code.MODEL_POOL_MISSING_MODEL,
            Ref(Kind.MODEL, "gone"),
        ),
        (
            Agent("x", "gone"),
            "agent.model_id",
            Code.AGENT_MISSING_MODEL,
            Ref(Kind.MODEL, "gone"),
        ),
        (
            Agent("x", endpoint=AgentEndpoint("https://h"), tools=("gone",)),
            "agent.tools[0]",
            Code.AGENT_MISSING_TOOL,
            Ref(Kind.TOOL, "gone"),
        ),
        (
            Agent(
                "x",
                endpoint=AgentEndpoint("https://h"),
                approval_rules=(ApprovalRule("gone", Approval.DENY),),
            ),
            "agent.approval_rules[0].tool_id",
            Code.AGENT_MISSING_TOOL,
            Ref(Kind.TOOL, "gone"),
        ),
    ],
)
def test_a_reference_to_nothing_is_diagnosed(
    resource: Resource, path: str, code: Code, depends_on: Ref
) -> None:
    (diagnostic,) = found(resource)

    assert diagnostic.field == f"resources[0].{path}"
    assert diagnostic.code is code
    assert (diagnostic.resource, diagnostic.depends_on) == (resource.ref, depends_on)
    assert diagnostic.violation().reason == code.value
    assert diagnostic.violation().description.startswith(f"{resource.ref}: needs ")


def test_a_remote_agents_model_is_not_checked() -> None:
    assert found(Agent("a", "elsewhere", endpoint=AgentEndpoint("https://h"))) == []


def test_a_pool_is_no_member_of_a_pool() -> None:
    """And an empty id is a matter of the field rules alone."""
    inner = ModelPool("inner", (PoolMember("m"), PoolMember("")))
    (diagnostic,) = found(
        inner, ModelPool("outer", (PoolMember("inner"),)), kinds={MODEL_M: {Kind.MODEL}}
    )

    assert diagnostic.code is Code.MODEL_POOL_MISSING_MODEL
    assert diagnostic.description == "needs a model, but 'inner' is a model_pool"


@pytest.mark.parametrize(
    ("existing", "new"),
    [
        (Kind.MODEL, ModelPool("m", (PoolMember("other"),))),
        (Kind.MODEL_POOL, Model("m", "p", "u")),
    ],
)
def test_models_and_pools_share_their_ids(existing: Kind, new: Resource) -> None:
    kinds = {
        MODEL_M: {existing},
        Target(Space.MODELS, "other"): {Kind.MODEL},
        Target(Space.PROVIDERS, "p"): {Kind.PROVIDER},
    }

    (diagnostic,) = found(new, kinds=kinds)

    assert diagnostic.code is Code.AMBIGUOUS_MODEL_REFERENCE
    assert diagnostic.field == f"resources[0].{new.ref.kind.label}.id"
    assert diagnostic.depends_on == Ref(existing, "m")


def test_an_id_may_pass_from_a_model_to_a_pool_in_one_change() -> None:
    """Then agents follow, and pools of the old model do not."""
    # given agents and a pool that refer to model m
    dependents = {MODEL_M: [Ref(Kind.MODEL_POOL, "user"), Ref(Kind.AGENT, "scout")]}

    # when it is removed and a pool of that name comes
    diagnostics = found(
        ModelPool("m", (PoolMember("other"),)),
        removed=(Ref(Kind.MODEL, "m"),),
        kinds={MODEL_M: {Kind.MODEL}, Target(Space.MODELS, "other"): {Kind.MODEL}},
        dependents=dependents,
    )

    # then
    assert [(d.code, d.field) for d in diagnostics] == [
        (Code.MODEL_POOL_MISSING_MODEL, "model_pool/user")
    ]


def test_what_goes_away_is_missed_by_what_stays() -> None:
    # given two agents that use a tool; one goes too, and a third comes
    dependents = {Target(Space.TOOLS, "t"): [Ref(Kind.AGENT, "stays"), Ref(Kind.AGENT, "goes")]}

    # when
    diagnostics = found(
        Agent("comes", "m", tools=("t",)),
        removed=(Ref(Kind.TOOL, "t"), Ref(Kind.AGENT, "goes")),
        kinds={Target(Space.TOOLS, "t"): {Kind.TOOL}, MODEL_M: {Kind.MODEL}},
        dependents=dependents,
    )

    # then
    assert [(d.field, str(d.resource)) for d in diagnostics] == [
        ("agent/stays", "agent/stays"),
        ("resources[0].agent.tools[0]", "agent/comes"),
    ]


def test_a_submitted_dependent_is_judged_by_what_it_says_now() -> None:
    """It was holding on to what goes away; the new version of it does not."""
    dependents = {Target(Space.TOOLS, "t"): [Ref(Kind.AGENT, "a")]}

    diagnostics = found(
        Agent("a", "m"),
        removed=(Ref(Kind.TOOL, "t"),),
        kinds={MODEL_M: {Kind.MODEL}},
        dependents=dependents,
    )

    assert diagnostics == []


def test_a_kind_and_id_may_occur_once_in_a_request() -> None:
    provider = Provider("p", BuiltinAdapter())

    diagnostics = found(provider, provider, Tool("p", WorkerExecutor()))

    assert [(d.code, d.field) for d in diagnostics] == [
        (Code.DUPLICATE_ID, "resources[1].provider.id")
    ]


def test_diagnostics_are_sorted_and_single() -> None:
    # given the same tool missed twice by one rule each, and two kinds of mistakes
    agent = Agent("a", "gone", tools=("x",), approval_rules=(ApprovalRule("x", Approval.ASK),) * 2)

    diagnostics = found(agent, agent)

    assert [d.field for d in diagnostics] == sorted(d.field for d in diagnostics)
    assert len(set(diagnostics)) == len(diagnostics) == 9


def test_a_change_asks_only_about_what_it_touches() -> None:
    changed = submitted(Agent("a", "m", tools=("t",)), Model("n", "p", "u"))

    assert wanted(changed, (Ref(Kind.MODEL, "old"),)) == Wanted(
        targets=frozenset(
            {
                Target(Space.AGENTS, "a"),
                Target(Space.MODELS, "m"),
                Target(Space.TOOLS, "t"),
                Target(Space.MODELS, "n"),
                Target(Space.PROVIDERS, "p"),
                Target(Space.MODELS, "old"),
            }
        ),
        vacated=frozenset({Target(Space.MODELS, "old")}),
    )
