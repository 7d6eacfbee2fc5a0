"""References: all diagnostics of a change, from nothing but what it touches."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.content.model import Approval
from services.registry.core import model as m
from services.registry.core.executors import WorkerExecutor
from services.registry.core.refs import Kind, Ref, Space, Target
from services.registry.core.rules import validating
from services.registry.core.rules.validating import Code, Diagnostic, Submitted
from services.registry.core.stored import ReferenceFacts, ReferenceQuery

MODEL_M = Target(Space.MODELS, "m")
REMOTE = m.Agent("x", endpoint=m.AgentEndpoint("https://h"))


def submitted(*resources: m.Resource) -> list[Submitted]:
    return [
        Submitted(f"resources[{index}].{resource.ref.kind.label}", resource)
        for index, resource in enumerate(resources)
    ]


def found(
    *resources: m.Resource,
    removed: tuple[Ref, ...] = (),
    kinds: dict[Target, set[Kind]] | None = None,
    dependents: dict[Target, list[Ref]] | None = None,
) -> list[Diagnostic]:
    known = {target: frozenset(each) for target, each in (kinds or {}).items()}
    return validating.diagnose(
        submitted(*resources), removed, ReferenceFacts(known, dependents or {})
    )


def test_a_change_whose_references_are_met_has_no_diagnostics() -> None:
    """Whether they are met by the snapshot or by the change itself."""
    assert (
        found(
            m.Model("m", "p", "u"),
            m.ModelPool("mp", (m.PoolMember("m"), m.PoolMember("old"))),
            m.Agent("a", "mp", tools=("t",), approval_rules=(m.ApprovalRule("*", Approval.ASK),)),
            m.Tool("t", WorkerExecutor()),
            kinds={
                Target(Space.PROVIDERS, "p"): {Kind.PROVIDER},
                Target(Space.MODELS, "old"): {Kind.MODEL},
            },
        )
        == []
    )


@pytest.mark.parametrize(
    ("resource", "path", "code", "missing"),
    [
        (
            m.Model("x", "gone", "u"),
            "model.provider_id",
            Code.MODEL_MISSING_PROVIDER,
            Kind.PROVIDER,
        ),
        (
            m.ModelPool("x", (m.PoolMember("gone"),)),
            *("model_pool.members[0].model_id", Code.MODEL_POOL_MISSING_MODEL, Kind.MODEL),
        ),
        (m.Agent("x", "gone"), "agent.model_id", Code.AGENT_MISSING_MODEL, Kind.MODEL),
        (replace(REMOTE, tools=("gone",)), "agent.tools[0]", Code.AGENT_MISSING_TOOL, Kind.TOOL),
        (
            replace(REMOTE, approval_rules=(m.ApprovalRule("gone", Approval.DENY),)),
            *("agent.approval_rules[0].tool_id", Code.AGENT_MISSING_TOOL, Kind.TOOL),
        ),
    ],
)
def test_a_reference_to_nothing_is_diagnosed(
    resource: m.Resource, path: str, code: Code, missing: Kind
) -> None:
    (diagnostic,) = found(resource)

    assert diagnostic.field == f"resources[0].{path}"
    assert diagnostic.code is code
    assert (diagnostic.resource, diagnostic.depends_on) == (resource.ref, Ref(missing, "gone"))
    assert diagnostic.violation().reason == code.value
    assert diagnostic.violation().description.startswith(f"{resource.ref}: needs ")


def test_a_remote_agents_model_is_not_checked() -> None:
    assert found(m.Agent("a", "elsewhere", endpoint=m.AgentEndpoint("https://h"))) == []


def test_a_pool_is_no_member_of_a_pool() -> None:
    """And an empty id is a matter of the field rules alone."""
    inner = m.ModelPool("inner", (m.PoolMember("m"), m.PoolMember("")))
    (diagnostic,) = found(
        inner, m.ModelPool("outer", (m.PoolMember("inner"),)), kinds={MODEL_M: {Kind.MODEL}}
    )

    assert diagnostic.code is Code.MODEL_POOL_MISSING_MODEL
    assert diagnostic.description == "needs a model, but 'inner' is a model_pool"


@pytest.mark.parametrize(
    ("existing", "new"),
    [
        (Kind.MODEL, m.ModelPool("m", (m.PoolMember("other"),))),
        (Kind.MODEL_POOL, m.Model("m", "p", "u")),
    ],
)
def test_models_and_pools_share_their_ids(existing: Kind, new: m.Resource) -> None:
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
        m.ModelPool("m", (m.PoolMember("other"),)),
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
        m.Agent("comes", "m", tools=("t",)),
        removed=(Ref(Kind.TOOL, "t"), Ref(Kind.AGENT, "goes")),
        kinds={Target(Space.TOOLS, "t"): {Kind.TOOL}, MODEL_M: {Kind.MODEL}},
        dependents=dependents,
    )

    # then
    assert [(d.field, str(d.resource)) for d in diagnostics] == [
        ("agent/stays", "agent/stays"),
        ("resources[0].agent.tools[0]", "agent/comes"),
    ]


@pytest.mark.parametrize(
    ("holder", "needed", "needs"),
    [
        (m.Model("x", "n", "u"), Kind.PROVIDER, "provider"),
        (m.ModelPool("x", (m.PoolMember("n"),)), Kind.MODEL, "model"),
        (m.Agent("x", "n"), Kind.MODEL, "model or pool"),
        (m.Agent("x", "n"), Kind.MODEL_POOL, "model or pool"),
        (m.Agent("x", "m", tools=("n",)), Kind.TOOL, "tool"),
    ],
)
def test_what_a_prune_would_remove_is_not_said_to_be_missing(
    holder: m.Resource, needed: Kind, needs: str
) -> None:
    # given something that is there, and what needs it: submitted, and left as it is
    gone, target = Ref(needed, "n"), Ref(needed, "n").target
    there = {MODEL_M: {Kind.MODEL}, target: {needed}}
    user = Ref(holder.ref.kind, "user")

    # when a prune takes it away, and when it never was
    pruned = found(holder, removed=(gone,), kinds=there, dependents={target: [user]})
    missing = found(holder, kinds={MODEL_M: {Kind.MODEL}})

    # then
    told = f"needs {needs} 'n', which this prune would remove"
    assert [one.description for one in pruned] == [told, told]
    assert [one.description for one in missing] == [f"needs {needs} 'n', which does not exist"]


def test_a_submitted_dependent_is_judged_by_what_it_says_now() -> None:
    """It was holding on to what goes away; the new version of it does not."""
    dependents = {Target(Space.TOOLS, "t"): [Ref(Kind.AGENT, "a")]}

    diagnostics = found(
        m.Agent("a", "m"),
        removed=(Ref(Kind.TOOL, "t"),),
        kinds={MODEL_M: {Kind.MODEL}},
        dependents=dependents,
    )

    assert diagnostics == []


def test_a_kind_and_id_may_occur_once_in_a_request() -> None:
    provider = m.Provider("p", m.BuiltinAdapter())

    diagnostics = found(provider, provider, m.Tool("p", WorkerExecutor()))

    assert [(d.code, d.field) for d in diagnostics] == [
        (Code.DUPLICATE_ID, "resources[1].provider.id")
    ]


def test_diagnostics_are_sorted_and_single() -> None:
    # given the same tool missed twice by one rule each, and two kinds of mistakes
    agent = m.Agent(
        "a", "gone", tools=("x",), approval_rules=(m.ApprovalRule("x", Approval.ASK),) * 2
    )

    diagnostics = found(agent, agent)

    assert [d.field for d in diagnostics] == sorted(d.field for d in diagnostics)
    assert len(set(diagnostics)) == len(diagnostics) == 9


def test_a_change_asks_only_about_what_it_touches() -> None:
    changed = submitted(m.Agent("a", "m", tools=("t",)), m.Model("n", "p", "u"))

    query = validating.reference_query(changed, (Ref(Kind.MODEL, "old"),))

    models = {Target(Space.MODELS, id_) for id_ in ("m", "n", "old")}
    others = {Target(Space.AGENTS, "a"), Target(Space.TOOLS, "t"), Target(Space.PROVIDERS, "p")}
    vacated = frozenset({Target(Space.MODELS, "old")})
    assert query == ReferenceQuery(targets=frozenset(models | others), vacated=vacated)


@pytest.mark.parametrize("illegal", ["", "a\0b", "a\n", "a" * 513])
def test_nothing_is_looked_up_under_an_id_that_is_not_legal(illegal: str) -> None:
    changed = submitted(
        m.Agent(illegal, illegal, tools=(illegal,)),
        m.Agent("a", "m", approval_rules=(m.ApprovalRule(illegal, Approval.ASK),)),
        m.Model(illegal, illegal, "u"),
        m.ModelPool(illegal, (m.PoolMember(illegal),)),
        m.Tool(illegal, WorkerExecutor()),
        m.Provider(illegal, m.BuiltinAdapter()),
    )

    query = validating.reference_query(changed, ())

    assert query.targets == {Target(Space.AGENTS, "a"), Target(Space.MODELS, "m")}
