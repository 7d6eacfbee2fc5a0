"""Warnings about texts that seem to hold a secret: told, never a reason to refuse."""

from __future__ import annotations

import pytest

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1.registry_service_pb2 import Diagnostic, ValidateResourcesRequest
from tests.contract.registry.calls import Client, refused, unmet
from tests.support.registry_resources import agent, model, provider, tool

KEY = "sk-proj-aB3dE5fG7hI9jK1lM3nO5pQ7"
MAY_HOLD = "may hold a secret: whoever may read the registry, and the model, can see it"


def careless() -> list[pb.Resource]:
    return [
        provider(),
        model(),
        agent("scout", system_prompt=f"Call the gateway with {KEY}."),
        tool("search", description=f"Needs the key {KEY}", worker={}),
    ]


def warning(number: int, field: str, kind: pb.ResourceKind, name: str) -> Diagnostic:
    return Diagnostic(
        field=f"resources[{number}].{field}",
        description=MAY_HOLD,
        resource=pb.ResourceRef(kind=kind, id=name),
    )


TOLD = [
    warning(2, "agent.system_prompt", pb.RESOURCE_KIND_AGENT, "scout"),
    warning(3, "tool.description", pb.RESOURCE_KIND_TOOL, "search"),
]


async def test_an_apply_warns_and_applies(registry: Client) -> None:
    # when
    planned = await registry.applied(*careless(), dry_run=True)
    applied = await registry.applied(*careless(), request_id="r")
    repeated = await registry.applied(*careless(), request_id="r")
    unchanged = await registry.applied(*careless())

    # then each answer warns, also that to a repeat and to what changes nothing
    for answer in (planned, applied, repeated, unchanged):
        assert list(answer.warnings) == TOLD
        assert answer.warnings_omitted == 0
    assert repeated == applied
    assert await registry.version() == 2
    found = await registry.get("agent", "scout")
    assert KEY in found.resource.agent.system_prompt


async def test_a_validation_warns_and_finds_nothing_wrong(registry: Client) -> None:
    answer = await registry.ValidateResources(ValidateResourcesRequest(resources=careless()))

    assert list(answer.diagnostics) == []
    assert list(answer.warnings) == TOLD


async def test_the_first_hundred_warnings_are_told_and_the_rest_is_counted(
    registry: Client,
) -> None:
    # given names as long as they may be
    tools = [tool(f"{n:03}".ljust(512, "x"), description=KEY, worker={}) for n in range(130)]

    # when
    answer = await registry.applied(*tools)
    validated = await registry.ValidateResources(ValidateResourcesRequest(resources=tools))

    # then
    for one in (answer, validated):
        assert [each.resource.id[:3] for each in one.warnings] == [f"{n:03}" for n in range(100)]
        assert one.warnings_omitted == 30


@pytest.mark.parametrize("call", ["register", "replace", "applied"])
async def test_a_secret_in_a_header_is_refused_by_every_call_and_not_repeated(
    registry: Client, call: str
) -> None:
    # given
    await registry.apply(provider("known"))
    careless = provider("known" if call == "replace" else "new")
    careless.provider.openai.organization = KEY

    # when
    facts = await refused(getattr(registry, call)(careless))

    # then
    assert [field.removeprefix("resources[0].") for field in unmet(facts)] == [
        "provider.openai.organization"
    ]
    assert KEY not in facts.message
    assert not any(KEY in each.description for each in facts.violations)
    assert await registry.version() == 2
