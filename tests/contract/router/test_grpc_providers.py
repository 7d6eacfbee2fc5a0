"""Providers over gRPC behind a real router."""

from __future__ import annotations

import asyncio
import gc
import re
import sys

import grpc
import pytest
from opentelemetry.trace import SpanKind

from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from services.router.clients.grpc_channels import GrpcChannels
from services.router.clients.grpc_provider import GrpcAdapter
from services.router.core.model import Grpc
from tests.arch.project import ROOT
from tests.contract.router.adapter_calls import Calls, said
from tests.contract.router.router_under_test import (
    RouterUnderTest,
    builtin,
    model,
    pool,
    served_by,
)
from tests.support.clock import ManualClock
from tests.support.fake_provider import FakeProvider, refusal
from tests.support.grpc_upstream import (
    Abort,
    GrpcUpstream,
    Pause,
    finish,
    grpc_upstream,
    reason,
    retry_info,
    started,
    text,
)
from tests.support.spans import recording
from tests.support.stack import free_port
from tests.support.waiting import until, within_limit

Code = grpc.StatusCode
# A frame of HTTP/2, with which a server accepts a connection.
EMPTY_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
FIRST_HEALTHY = reg.PoolRouting(home=reg.HOME_STRATEGY_FIRST_HEALTHY)


def own(upstream: GrpcUpstream, model_id: str = "m") -> list[reg.Resource]:
    """A model of ``upstream``."""
    plaintext = reg.GrpcAdapter(transport=reg.GRPC_TRANSPORT_PLAINTEXT)
    provider = reg.Provider(id="own", grpc=plaintext, base_url=upstream.target)
    return [reg.Resource(provider=provider), model(model_id, "own", "gpt")]


async def test_a_model_of_a_provider_over_grpc_answers(
    running: RouterUnderTest, upstream: GrpcUpstream
) -> None:
    # given
    await running.apply(*own(upstream))
    upstream.answers(started("r7"), text("Hel", "lo"), finish())

    # when
    with recording() as recorded:
        received = await running.infer("m", thread_id="t1")

    # then
    assert received.error is None
    assert received.text == "Hello"
    assert received.items[0].started.response_id == "r7"
    (request,) = upstream.requests
    assert request.body.upstream_model == "gpt"
    assert request.body.cache_key
    # and its call is a part of the attempt, and carries the trace
    chat = recorded.named("chat gpt")
    infer = recorded.named("runyard.provider.v1.InferenceProviderService/Infer")
    assert infer.kind is SpanKind.CLIENT
    assert infer.parent is not None
    assert chat.context is not None
    assert infer.context is not None
    assert infer.parent.span_id == chat.context.span_id
    assert format(infer.context.span_id, "016x") in request.metadata["traceparent"]
    assert chat.attributes is not None
    assert chat.attributes["gen_ai.provider.name"] == "runyard.grpc"
    assert chat.attributes["gen_ai.response.model"] == "gpt"
    assert chat.attributes["server.port"] == int(upstream.target.rpartition(":")[2])


async def test_the_caller_is_not_told_to_the_provider(
    running: RouterUnderTest, upstream: GrpcUpstream
) -> None:
    # given
    await running.apply(*own(upstream))
    upstream.answers(finish())

    # when
    with recording():
        await running.infer("m")

    # then
    assert set(upstream.requests[0].metadata) == {"traceparent", "user-agent"}


async def test_calls_fail_over_between_kinds_of_providers(
    running: RouterUnderTest, provider: FakeProvider, upstream: GrpcUpstream
) -> None:
    # given an endpoint that is rate limited, a server that is, and a script
    await running.apply(
        *served_by(provider, "first"),
        *own(upstream, "second"),
        builtin("script"),
        model("third", "script"),
        pool("narration", "first", "second", "third", routing=FIRST_HEALTHY),
    )
    provider.always(refusal(429, {"error": {"message": "slow"}}, Retry_After="60"))
    upstream.always(Abort(Code.RESOURCE_EXHAUSTED, "slow", [retry_info(30)]))

    # when
    received = await running.infer("narration", thread_id="t1")

    # then
    assert received.text == "hello big world"
    assert received.members == ["first", "second", "third"]
    hints_s = [each.retry_after.seconds for each in received.decision.attempts]
    assert hints_s == [60, 30, 0]
    state = {each.member_id: each for each in await running.state("narration")}
    assert state["second"].HasField("quota_end_time")


async def test_an_answer_that_breaks_off_is_interrupted(
    running: RouterUnderTest, upstream: GrpcUpstream
) -> None:
    # given
    await running.apply(*own(upstream))
    upstream.answers(text("Hel"), Abort(Code.UNAVAILABLE))

    # when
    received = await running.infer("m")

    # then
    assert received.kinds == ["started", "text_delta", "interrupted"]
    assert received.code_and_reason == (Code.UNAVAILABLE, "STREAM_INTERRUPTED")


async def test_a_call_without_an_answer_yet_is_retried_in_place(
    running: RouterUnderTest, upstream: GrpcUpstream
) -> None:
    # given
    await running.apply(*own(upstream))
    upstream.answers(started(), Abort(Code.INTERNAL))
    upstream.answers(text("ok"), finish())

    # when
    received = await running.infer("m")

    # then
    assert received.text == "ok"
    kinds = [each.kind for each in received.decision.attempts]
    assert kinds == [pb.ATTEMPT_KIND_INITIAL, pb.ATTEMPT_KIND_RETRY]


async def test_the_words_of_the_provider_reach_the_caller_whose_request_it_refuses(
    running: RouterUnderTest, upstream: GrpcUpstream
) -> None:
    # given
    await running.apply(*own(upstream))
    upstream.answers(Abort(Code.INVALID_ARGUMENT, "9 > 8 tokens", [reason("CONTEXT_LENGTH")]))

    # when
    received = await running.infer("m")

    # then
    assert received.code_and_reason == (Code.INVALID_ARGUMENT, "CONTEXT_OVERFLOW")
    assert received.failure.metadata["detail"] == "9 > 8 tokens"


async def test_the_deadline_of_the_caller_is_the_provider_s_and_no_failure_of_it(
    running: RouterUnderTest, upstream: GrpcUpstream
) -> None:
    # given a provider that hangs
    await running.apply(*own(upstream))
    upstream.always(Pause())

    # when
    received = await running.infer("m", timeout=1.0)

    # then
    assert received.failure.code is Code.DEADLINE_EXCEEDED
    left_s = upstream.requests[0].left_s
    assert left_s is not None
    assert 0 < left_s <= 1.0
    await upstream.until(cancelled=1)
    assert await running.state("m") == []


async def test_a_caller_that_leaves_cancels_the_call(
    running: RouterUnderTest, upstream: GrpcUpstream
) -> None:
    # given
    await running.apply(*own(upstream))
    upstream.answers(text("a"), Pause())
    call = running.call("m")
    await call.read()

    # when
    call.cancel()

    # then
    await upstream.until(cancelled=1)


async def test_a_replaced_provider_is_called_at_its_new_address(
    running: RouterUnderTest, upstream: GrpcUpstream
) -> None:
    # given
    await running.apply(*own(upstream))
    upstream.always(text("old"), finish())
    assert (await running.infer("m")).text == "old"
    async with grpc_upstream() as other:
        other.always(text("new"), finish())

        # when
        await running.apply(*own(other))
        received = await running.infer("m")

        # then
        assert received.text == "new"


async def test_the_connection_to_a_provider_that_was_removed_is_closed(
    running: RouterUnderTest, upstream: GrpcUpstream
) -> None:
    # given a connection to a server that accepts it and says nothing more
    connected, closed = asyncio.Event(), asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(EMPTY_SETTINGS)
        connected.set()
        while await reader.read(65_536):
            pass
        closed.set()
        writer.close()

    silent = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    await running.apply(*own(GrpcUpstream(f"127.0.0.1:{port}")))
    call = running.call("m")
    async with within_limit():
        await connected.wait()
    call.cancel()
    assert not closed.is_set()

    # when
    await running.apply(*own(upstream))

    # then, once the call is collected, which is a cycle in gRPC
    await until(closed.is_set, gc.collect)
    silent.close()


@pytest.mark.timeout(60)
async def test_the_example_in_the_readme_is_a_provider() -> None:
    # given the example, on a free port
    readme = (ROOT / "services/router/README.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    target = f"127.0.0.1:{free_port()}"
    assert example.count("127.0.0.1:50061") == 1
    program = example.replace("127.0.0.1:50061", target)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with within_limit():
            assert process.stdout is not None
            await process.stdout.readline()

        # when
        channels = GrpcChannels()
        adapter = GrpcAdapter(channels, ManualClock())
        calls = Calls(adapter, Grpc(target, tls=False), ManualClock())
        items = await calls.items()
        await channels.close()

        # then
        assert said(items) == "you said: hi"
    finally:
        process.terminate()
        await process.wait()
