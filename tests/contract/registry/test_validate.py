"""Validating resources: every diagnostic that an apply would meet, and nothing written."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.chassis.rpc_status import reason_of
from tests.contract.registry.calls import apply, everything, refused, unmet
from tests.support.registry_resources import agent, model, pool, provider, quickstart, tool

REMOTE = pb.AgentEndpoint(base_url="https://agents.example")


async def validate(
    registry: RegistryServiceStub, *resources: pb.Resource
) -> service_pb.ValidateResourcesResponse:
    return await registry.ValidateResources(
        service_pb.ValidateResourcesRequest(resources=resources)
    )


def ref(kind: str, id_: str) -> pb.ResourceRef:
    return pb.ResourceRef(kind=f"RESOURCE_KIND_{kind}", id=id_)


async def test_what_would_be_applied_has_no_diagnostics(registry: RegistryServiceStub) -> None:
    # when
    answer = await validate(registry, *quickstart())

    # then nothing is written
    assert answer == service_pb.ValidateResourcesResponse(version=1)
    assert await everything(registry) == (1, {})


async def test_every_broken_reference_is_told_once_with_its_code(
    registry: RegistryServiceStub,
) -> None:
    """In the request and in what it meets; references of what is there already are met."""
    # given
    await apply(registry, *quickstart())
    before = await everything(registry)

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
    code = service_pb.DiagnosticCode.Value
    assert [(d.code, d.field, d.resource, d.depends_on) for d in answer.diagnostics] == [
        (
            code("DIAGNOSTIC_CODE_MODEL_MISSING_PROVIDER"),
            "resources[0].model.provider_id",
            ref("MODEL", "orphan"),
            ref("PROVIDER", "nowhere"),
        ),
        (
            code("DIAGNOSTIC_CODE_MODEL_POOL_MISSING_MODEL"),
            "resources[1].model_pool.members[0].model_id",
            ref("MODEL_POOL", "lonely"),
            ref("MODEL", "missing"),
        ),
        (
            code("DIAGNOSTIC_CODE_AGENT_MISSING_MODEL"),
            "resources[2].agent.model_id",
            ref("AGENT", "lost"),
            ref("MODEL", "missing"),
        ),
        (
            code("DIAGNOSTIC_CODE_AGENT_MISSING_TOOL"),
            "resources[2].agent.tools[1]",
            ref("AGENT", "lost"),
            ref("TOOL", "gone"),
        ),
        (
            code("DIAGNOSTIC_CODE_AMBIGUOUS_MODEL_REFERENCE"),
            "resources[3].model.id",
            ref("MODEL", "both"),
            ref("MODEL_POOL", "both"),
        ),
        (
            code("DIAGNOSTIC_CODE_DUPLICATE_ID"),
            "resources[5].tool.id",
            ref("TOOL", "twice"),
            ref("TOOL", "twice"),
        ),
    ]
    assert answer.diagnostics[0].description == "needs provider 'nowhere', which does not exist"
    assert answer.version == 2
    assert await everything(registry) == before


async def test_a_pool_of_pools_is_told_as_a_missing_model(registry: RegistryServiceStub) -> None:
    await apply(registry, *quickstart())

    answer = await validate(registry, pool("outer", members=["both"]))

    assert [d.description for d in answer.diagnostics] == [
        "needs a model, but 'both' is a model_pool"
    ]


async def test_a_remote_agent_may_name_any_model_but_not_any_tool(
    registry: RegistryServiceStub,
) -> None:
    # when
    fine = await validate(registry, agent(model_id="elsewhere", endpoint=REMOTE))
    wrong = await validate(registry, agent(endpoint=REMOTE, tools=["gone"]))

    # then
    assert list(fine.diagnostics) == []
    assert [d.code for d in wrong.diagnostics] == [service_pb.DIAGNOSTIC_CODE_AGENT_MISSING_TOOL]


async def test_rules_of_fields_come_with_their_resource_and_no_code(
    registry: RegistryServiceStub,
) -> None:
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
async def test_what_is_no_duration_is_wrong(
    registry: RegistryServiceStub, seconds: int, nanos: int
) -> None:
    answer = await validate(registry, provider(timeout=Duration(seconds=seconds, nanos=nanos)))

    assert [(d.field, d.description) for d in answer.diagnostics] == [
        ("resources[0].provider.timeout", "is no duration, or out of range")
    ]


async def test_it_judges_as_an_apply_does(registry: RegistryServiceStub) -> None:
    # given
    await apply(registry, *quickstart())
    wrong = [model("m", "gone"), pool("p", []), agent("a", "gone", tools=["gone", "gone"])]

    # when
    answer = await validate(registry, *wrong)
    facts = await refused(apply(registry, *wrong))

    # then
    assert [d.field for d in answer.diagnostics] == unmet(facts)
    assert len(answer.diagnostics) == 6


async def test_an_empty_request_is_what_an_apply_would_refuse(
    registry: RegistryServiceStub,
) -> None:
    answer = await validate(registry)

    assert [d.field for d in answer.diagnostics] == ["resources"]


async def test_more_diagnostics_than_an_error_carries_are_all_told(
    registry: RegistryServiceStub,
) -> None:
    """An error has room for some dozen of them; this answer is not an error."""
    answer = await validate(registry, *(model(f"m{n}", "gone") for n in range(1000)))

    assert len(answer.diagnostics) == 1000
    assert answer.diagnostics_omitted == 0


async def test_what_does_not_fit_into_4_mib_is_counted(registry: RegistryServiceStub) -> None:
    # given 5,000 agents, each with three tools of very long names that do not exist
    tools = [letter * 500 for letter in "xyz"]
    agents = [agent(f"a{n}", "m", endpoint=REMOTE, tools=tools) for n in range(5000)]

    # when
    answer = await validate(registry, *agents)

    # then
    assert 3 << 20 < answer.ByteSize() <= 4 << 20
    assert answer.diagnostics_omitted > 1000
    assert len(answer.diagnostics) + answer.diagnostics_omitted == 15_000


async def test_too_many_resources_are_a_malformed_request(registry: RegistryServiceStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await validate(registry, *(tool(f"t{n}") for n in range(5001)))

    facts = reason_of(caught.value)
    assert facts.code is grpc.StatusCode.INVALID_ARGUMENT
    assert unmet(facts) == ["resources"]
