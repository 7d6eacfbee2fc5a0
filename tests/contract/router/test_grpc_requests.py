"""What the grpc adapter sends, and over which channel."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from runyard.provider.v1 import provider_pb2 as pb
from runyard.provider.v1 import provider_service_pb2 as rpc
from runyard.types.v1 import content_pb2 as content
from services.content.model import (
    Image,
    Message,
    Reasoning,
    ReasoningEffort,
    Role,
    Sampling,
    Text,
    ToolCall,
    ToolResult,
)
from services.router.clients.grpc_channels import GrpcChannels
from services.router.clients.grpc_provider import GrpcAdapter
from services.router.core.failures import Failure, FailureClass
from services.router.core.model import Credential, Grpc, Provider, Snapshot
from services.router.core.request import JsonObject, JsonSchema, Prompt, ToolChoice, ToolChoiceMode
from tests.contract.router.adapter_calls import ASK, LOOK, Calls, said
from tests.support.certificates import Authority
from tests.support.clock import ManualClock
from tests.support.grpc_upstream import (
    Abort,
    GrpcUpstream,
    Pause,
    finish,
    grpc_upstream,
    text,
)
from tests.support.stack import exported
from tests.support.waiting import until
from tests.unit.router.builders import member, target

PROMPT = Prompt(
    messages=(
        Message(Role.SYSTEM, (Text("be nice"),)),
        Message(
            Role.USER,
            (Image(url="https://x/y.png"), Image(data=b"\x01", media_type="image/png")),
        ),
        Message(Role.ASSISTANT, (Reasoning("hm", "vllm", b"s"), ToolCall("c1", "look", "{}"))),
        Message(Role.TOOL, (ToolResult("c1", "no", is_error=True),)),
    ),
    tools=(LOOK,),
    tool_choice=ToolChoice(ToolChoiceMode.TOOL, "look"),
    sampling=Sampling(0.5, 0.9, 100, ("END",), 7, ReasoningEffort.LOW),
    response_format=JsonSchema("answer", '{"type": "object"}', strict=True),
)
SENT = rpc.InferRequest(
    upstream_model="gpt",
    messages=[
        content.Message(
            role=content.MESSAGE_ROLE_SYSTEM,
            parts=[content.Part(text=content.Text(text="be nice"))],
        ),
        content.Message(
            role=content.MESSAGE_ROLE_USER,
            parts=[
                content.Part(image=content.Image(url="https://x/y.png")),
                content.Part(image=content.Image(data=b"\x01", media_type="image/png")),
            ],
        ),
        content.Message(
            role=content.MESSAGE_ROLE_ASSISTANT,
            parts=[
                content.Part(
                    reasoning=content.Reasoning(text="hm", provider_id="vllm", opaque_state=b"s")
                ),
                content.Part(
                    tool_call=content.ToolCall(call_id="c1", tool_id="look", arguments_json="{}")
                ),
            ],
        ),
        content.Message(
            role=content.MESSAGE_ROLE_TOOL,
            parts=[
                content.Part(
                    tool_result=content.ToolResult(call_id="c1", content="no", is_error=True)
                )
            ],
        ),
    ],
    tools=[
        content.ToolDefinition(
            tool_id="look", description="Looks.", json_schema='{"type": "object"}'
        )
    ],
    tool_choice=pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_TOOL, tool_id="look"),
    sampling=pb.Sampling(
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=100,
        stop=["END"],
        seed=7,
        reasoning_effort=pb.REASONING_EFFORT_LOW,
    ),
    response_format=pb.ResponseFormat(
        json_schema=pb.JsonSchemaFormat(
            name="answer", json_schema='{"type": "object"}', strict=True
        )
    ),
    cache_key="session",
)


async def test_every_field_of_a_request_is_sent(grpc_calls: Calls, upstream: GrpcUpstream) -> None:
    # given
    upstream.answers(finish())

    # when
    await grpc_calls.items(PROMPT)

    # then
    sent = upstream.requests[0].body
    assert sent == SENT
    assert {field.name for field, _ in sent.ListFields()} == set(
        rpc.InferRequest.DESCRIPTOR.fields_by_name
    )


async def test_what_was_not_asked_for_is_not_sent(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given
    upstream.always(finish())

    # when
    await grpc_calls.items()
    await grpc_calls.items(replace(ASK, response_format=JsonObject()), session="")

    # then
    bare, json_object = (request.body for request in upstream.requests)
    assert bare.sampling == pb.Sampling()
    assert not bare.HasField("response_format")
    assert json_object.response_format.WhichOneof("format") == "json_object"
    assert json_object.cache_key == ""


async def test_a_credential_is_read_at_the_time_of_the_call(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given
    upstream.always(finish())
    credential = Credential(env="TEST_ROUTER_KEY")

    # when
    for secret in ("sk-one", "sk-two"):
        with exported({"TEST_ROUTER_KEY": secret}):
            await grpc_calls.items(credential=credential)
    await grpc_calls.items()

    # then
    sent = [request.metadata.get("authorization") for request in upstream.requests]
    assert sent == ["Bearer sk-one", "Bearer sk-two", None]


@pytest.mark.parametrize("secret", ["", "sk-\u00fc", "sk-1\nsk-2"])
async def test_without_a_usable_credential_no_request_is_sent(
    grpc_calls: Calls, upstream: GrpcUpstream, tmp_path: Path, secret: str
) -> None:
    # given
    (tmp_path / "key").write_text(secret)

    # when
    _, failure = await grpc_calls.failure(credential=Credential(file=str(tmp_path / "key")))

    # then the failure names the provider, not the secret
    assert failure.kind is FailureClass.CREDENTIAL_MISSING
    assert failure.detail.startswith("provider 'vllm' has ")
    assert not secret or secret not in failure.detail
    assert upstream.requests == []


async def test_a_secret_that_the_provider_repeats_is_masked(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given
    upstream.answers(Abort(grpc.StatusCode.INVALID_ARGUMENT, "key sk-very-secret\n is odd"))

    # when
    with exported({"TEST_ROUTER_KEY": "sk-very-secret"}):
        _, failure = await grpc_calls.failure(credential=Credential(env="TEST_ROUTER_KEY"))

    # then
    assert failure.detail == "key ***  is odd"


async def test_a_failed_call_is_not_repeated_by_grpc(
    grpc_calls: Calls, upstream: GrpcUpstream
) -> None:
    # given
    upstream.always(Abort(grpc.StatusCode.UNAVAILABLE))

    # when
    await grpc_calls.failure()

    # then
    assert len(upstream.requests) == 1


def certified(authority: Authority, name: str) -> grpc.ServerCredentials:
    cert, key = (Path(file).read_bytes() for file in authority.issue("models", name))
    return grpc.ssl_server_credentials([(key, cert)])


async def test_tls_is_checked_against_the_authorities_of_the_system(tmp_path: Path) -> None:
    # given a provider whose certificate carries another name than its address
    authority = Authority(tmp_path)
    credentials = certified(authority, "models.example")
    adapter = GrpcAdapter(GrpcChannels(), ManualClock())
    async with grpc_upstream(credentials) as upstream:
        upstream.always(text("a"), finish())
        named = Calls(adapter, Grpc(upstream.target, authority="models.example"), ManualClock())
        stranger = Calls(adapter, Grpc(upstream.target), ManualClock())

        # when the system trusts the authority
        with exported({"SSL_CERT_FILE": authority.ca_file}):
            items = await named.items()
        # when it is asked for by its address; the authorities are read once
        other = Calls(GrpcAdapter(GrpcChannels(), ManualClock()), stranger.api, ManualClock())
        with exported({"SSL_CERT_FILE": authority.ca_file}):
            _, by_address = await other.failure()
        # when the system does not trust it
        distrusting = Calls(GrpcAdapter(GrpcChannels(), ManualClock()), named.api, ManualClock())
        _, distrusted = await distrusting.failure()

    # then
    assert said(items) == "a"
    assert by_address == Failure(FailureClass.SERVER_ERROR)
    assert distrusted == Failure(FailureClass.SERVER_ERROR)
    assert len(upstream.requests) == 1


def snapshot(*providers: Provider) -> Snapshot:
    """A model of each provider."""
    targets = [target(replace(member(each.id), provider=each), id=each.id) for each in providers]
    return Snapshot(1, "i", {each.pool.id: each for each in targets})


async def test_a_channel_ends_with_its_last_snapshot_and_its_last_call(
    upstream: GrpcUpstream,
) -> None:
    # given a call under way to one revision of a provider, and an ended one to another provider
    upstream.answers(finish())
    upstream.always(text("a"), Pause())
    channels = GrpcChannels()
    loop = asyncio.create_task(channels.run())
    first = Provider("p", Grpc(upstream.target, tls=False), revision="1")
    other = replace(first, id="other")
    second = replace(first, revision="2")
    channels.keep(snapshot(first, other))
    adapter = Grpc(upstream.target, tls=False)
    with channels.lent(other, adapter), channels.lent(other, adapter):
        assert len(channels) == 1
    with channels.lent(first, adapter) as channel:
        # when its provider is replaced, and the other one removed
        channels.keep(snapshot(second))
        await until(lambda: len(channels) == 1)

        # then its channel works to the end of the call
        call = channel.unary_unary("/none/None")
        with pytest.raises(grpc.aio.AioRpcError):
            await call(b"")
    await until(lambda: len(channels) == 0)
    loop.cancel()


async def test_the_channel_of_a_provider_that_stays_is_kept(upstream: GrpcUpstream) -> None:
    # given
    adapter = Grpc(upstream.target, tls=False)
    stays, goes = Provider("stays", adapter), Provider("goes", adapter)
    channels = GrpcChannels()
    loop = asyncio.create_task(channels.run())
    with channels.lent(stays, adapter) as before, channels.lent(goes, adapter):
        pass

    # when
    channels.keep(snapshot(stays))
    await until(lambda: len(channels) == 1)

    # then
    with channels.lent(stays, adapter) as after:
        assert after is before
    loop.cancel()
    await channels.close()
    assert len(channels) == 0
