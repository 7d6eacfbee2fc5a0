"""What a registry says to requests that are too large, or no requests at all, by their bytes."""

from __future__ import annotations

import grpc
import pytest

from services.chassis.calls.rpc_status import reason_of
from services.registry.api.policy import FULL_NAME
from tests.contract.registry.calls import Client
from tests.support.registry_resources import agent, model, provider, tool
from tests.support.serving import Served

# A field of no known number, which a registry keeps and does not read.
UNKNOWN = b"\xfa\x7f"
EMPTY_RESOURCE = b"\x0a\x00"


async def refusal(server: Served, method: str, request: bytes) -> str:
    """Why ``request`` is refused, which is INVALID_ARGUMENT."""
    call = server.channel.unary_unary(f"/{FULL_NAME}/{method}")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(caught.value).reason == "INVALID_REQUEST"
    return str(caught.value.details())


async def test_more_bytes_than_a_method_takes_are_refused(server: Served) -> None:
    said = await refusal(server, "GetResource", b"\x12\x80\x80\x04" + b"a" * 65_536)

    assert said.endswith("request: is 65,540 bytes, at most 65,536 are allowed")


async def test_a_provider_may_be_as_large_as_a_resource(server: Served) -> None:
    said = await refusal(server, "RegisterProvider", b"\x0a\x80\x80\x44" + b"a" * (17 << 16))

    assert said.endswith("request: is 1,114,116 bytes, at most 1,114,112 are allowed")


@pytest.mark.parametrize("method", ["ApplyResources", "ValidateResources"])
async def test_far_too_many_resources_are_refused(server: Served, method: str) -> None:
    said = await refusal(server, method, EMPTY_RESOURCE * 8_000_000)

    text = "resources: has more than 100,095 entries, at most 20,000 are allowed"
    assert said.endswith(text)


@pytest.mark.parametrize("size", [100, 100_000])
async def test_what_is_no_request_is_refused(server: Served, size: int) -> None:
    said = await refusal(server, "ValidateResources", b"\x0a\x01" * (size // 2))

    assert said.endswith("request: is not what this method takes, or holds text that is not UTF-8")


async def test_a_request_of_several_pieces_is_taken_whole(registry: Client) -> None:
    # given 600 KB of resources, of which each refers to the one before
    tools = [tool(f"t{number:03}", description="finds " * 500) for number in range(100)]
    agents = [
        agent(f"a{number:03}", tools=[f"t{number:03}"], system_prompt="be brief " * 333)
        for number in range(100)
    ]

    answer = await registry.applied(provider(), model(), *tools, *agents)

    # then they are all there
    assert len(answer.changes) == 202
    exported = [each for part in await registry.snapshot() for each in part.resources]
    assert sum(each.HasField("agent") for each in exported) == 100
    assert {each.agent.system_prompt for each in exported if each.HasField("agent")} == {
        "be brief " * 333
    }
