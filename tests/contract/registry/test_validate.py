"""Validating resources: every diagnostic that an apply would meet, and nothing written."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from tests.contract.registry.calls import REMOTE, Client, refused, unmet
from tests.support.profiles import both_in_chaos
from tests.support.registry_resources import agent, model, pool, provider, quickstart, tool

Validated = service_pb.ValidateResourcesResponse


async def validate(registry: Client, *resources: pb.Resource) -> Validated:
    request = service_pb.ValidateResourcesRequest(resources=resources)
    return await registry.ValidateResources(request)


def ref(kind: str, id_: str) -> pb.ResourceRef:
    return pb.ResourceRef(kind=f"RESOURCE_KIND_{kind}", id=id_)


async def test_what_would_be_applied_has_no_diagnostics(registry: Client) -> None:
    # when
    answer = await validate(registry, *quickstart())

    # then nothing is written
    assert answer == service_pb.ValidateResourcesResponse(version=1)
    assert await registry.everything() == (1, {})


async def test_every_broken_reference_is_reported_once_with_its_code(registry: Client) -> None:
    """In the request and in what it meets; references of what is there already are met."""
    # given
    await registry.apply(*quickstart())
    before = await registry.everything()

    # when
    answer = await validate(
        registry,
        model("orphan", provider_id="nowhere"),
        pool("lonely", members=["missing", "both", "small"]),
        agent("lost", model_id="missing", tools=["search", "gone"]),
        model("both"),
        tool("twice"),
        tool("twice"),
    )

    # then
    code = service_pb.DiagnosticCode.Name
    assert [(code(d.code), d.field) for d in answer.diagnostics] == [
        ("DIAGNOSTIC_CODE_MODEL_MISSING_PROVIDER", "resources[0].model.provider_id"),
        (
            "DIAGNOSTIC_CODE_MODEL_POOL_MISSING_MODEL",
            "resources[1].model_pool.members[0].model_id",
        ),
        ("DIAGNOSTIC_CODE_AGENT_MISSING_MODEL", "resources[2].agent.model_id"),
        ("DIAGNOSTIC_CODE_AGENT_MISSING_TOOL", "resources[2].agent.tools[1]"),
        ("DIAGNOSTIC_CODE_AMBIGUOUS_MODEL_REFERENCE", "resources[3].model.id"),
        ("DIAGNOSTIC_CODE_DUPLICATE_ID", "resources[5].tool.id"),
    ]
    assert [(d.resource, d.depends_on) for d in answer.diagnostics] == [
        (ref("MODEL", "orphan"), ref("PROVIDER", "nowhere")),
        (ref("MODEL_POOL", "lonely"), ref("MODEL", "missing")),
        (ref("AGENT", "lost"), ref("MODEL", "missing")),
        (ref("AGENT", "lost"), ref("TOOL", "gone")),
        (ref("MODEL", "both"), ref("MODEL_POOL", "both")),
        (ref("TOOL", "twice"), ref("TOOL", "twice")),
    ]
    assert answer.diagnostics[0].description == "needs provider 'nowhere', which does not exist"
    assert answer.version == 2
    assert await registry.everything() == before


async def test_a_pool_of_pools_is_reported_as_a_missing_model(registry: Client) -> None:
    await registry.apply(*quickstart())

    answer = await validate(registry, pool("outer", members=["both"]))

    assert [d.description for d in answer.diagnostics] == [
        "needs a model, but 'both' is a model_pool"
    ]


async def test_a_remote_agent_may_name_any_model_but_not_any_tool(registry: Client) -> None:
    # when
    fine = await validate(registry, agent(model_id="elsewhere", endpoint=REMOTE))
    wrong = await validate(registry, agent(endpoint=REMOTE, tools=["gone"]))

    # then
    assert list(fine.diagnostics) == []
    assert [d.code for d in wrong.diagnostics] == [service_pb.DIAGNOSTIC_CODE_AGENT_MISSING_TOOL]


async def test_rules_of_fields_come_with_their_resource_and_no_code(registry: Client) -> None:
    # given a missing arm, an unknown number and two numbers out of range
    bare = pb.Resource(provider=pb.Provider(id="bare"))
    odd = agent("odd", "m", endpoint=REMOTE, max_rounds=0)
    odd.agent.sampling.reasoning_effort = 77  # type: ignore[assignment]  # of a later version

    # when
    answer = await validate(registry, bare, odd, pb.Resource())

    # then
    assert [(d.code, d.field, d.resource) for d in answer.diagnostics] == [
        (0, "resources[0].provider", ref("PROVIDER", "bare")),
        (0, "resources[1].agent.max_rounds", ref("AGENT", "odd")),
        (0, "resources[1].agent.sampling.reasoning_effort", ref("AGENT", "odd")),
        (0, "resources[2]", pb.ResourceRef()),
    ]
    assert not answer.diagnostics[3].HasField("resource")
    assert not any(d.HasField("depends_on") for d in answer.diagnostics)


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(1, -1), (-1, 1), (0, 1_000_000_000), (1_000_000_000_001, 0)]
)
async def test_what_is_no_duration_is_wrong(registry: Client, seconds: int, nanos: int) -> None:
    answer = await validate(registry, provider(timeout=Duration(seconds=seconds, nanos=nanos)))

    assert [(d.field, d.description) for d in answer.diagnostics] == [
        ("resources[0].provider.timeout", "is no duration, or out of range")
    ]


async def test_it_judges_as_an_apply_does(registry: Client) -> None:
    # given
    await registry.apply(*quickstart())
    wrong = [model("m", "gone"), pool("p", []), agent("a", "gone", tools=["gone", "gone"])]

    # when
    answer = await validate(registry, *wrong)
    facts = await refused(registry.apply(*wrong))

    # then
    assert [d.field for d in answer.diagnostics] == unmet(facts)
    assert len(answer.diagnostics) == 6


async def test_an_empty_request_is_what_an_apply_would_refuse(registry: Client) -> None:
    answer = await validate(registry)

    assert [d.field for d in answer.diagnostics] == ["resources"]


async def test_more_diagnostics_than_an_error_carries_are_all_reported(registry: Client) -> None:
    """An error has room for some dozen of them; this answer is not an error."""
    answer = await validate(registry, *(model(f"m{n}", "gone") for n in range(1000)))

    assert len(answer.diagnostics) == 1000
    assert answer.diagnostics_omitted == 0


@both_in_chaos
async def test_what_does_not_fit_into_4_mib_is_counted(registry: Client) -> None:
    # given 2,000 agents, each with three tools of very long names that do not exist
    tools = [letter * 500 for letter in "xyz"]
    agents = [agent(f"a{n}", "m", endpoint=REMOTE, tools=tools) for n in range(2000)]

    # when
    answer = await validate(registry, *agents)

    # then
    assert 3 << 20 < answer.ByteSize() <= 4 << 20
    assert answer.diagnostics_omitted > 1000
    assert len(answer.diagnostics) + answer.diagnostics_omitted == 6_000


async def test_too_many_resources_are_a_malformed_request(registry: Client) -> None:
    facts = await refused(validate(registry, *(tool(f"t{n}") for n in range(20_001))))

    assert facts.code is grpc.StatusCode.INVALID_ARGUMENT
    assert unmet(facts) == ["resources"]
