"""What a provider has counted of an answer that is stopped: by its caller, or by a clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from runyard.provider.v1 import provider_pb2 as prov
from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from services.chassis.calls.streaming import streaming
from services.chassis.observe import telemetry
from tests.contract.router.router_under_test import (
    RouterUnderTest,
    answered_as_messages,
    pool,
    seconds,
    served_by,
)
from tests.support import grpc_upstream as own
from tests.support import messages_events as messages
from tests.support.fake_provider import FakeProvider, Pause, chunk, stream
from tests.support.grpc_upstream import GrpcUpstream
from tests.support.metrics import Measured
from tests.support.waiting import until, within_limit

DIALECTS = pytest.mark.parametrize("dialect", ["openai", "anthropic", "grpc"])
# A dollar for a million tokens of input, two for output: 9 and 4 of them cost 17 millionths.
PRICES = reg.ModelPrices(currency="USD", input_per_million="1", output_per_million="2")
COUNTS = {"prompt_tokens": 9, "completion_tokens": 4}
BEGUN: dict[str, Sequence[Any]] = {
    "openai": [chunk({"content": "a"}, usage=COUNTS)],
    "anthropic": [
        messages.start(usage={"input_tokens": 9, "output_tokens": 4}),
        *messages.text_block(0, "a")[:2],
    ],
    "grpc": [own.counted(input_tokens=9, output_tokens=4), own.text("a")],
}
# The same counts, and no content.
SILENT: dict[str, Sequence[Any]] = {
    "openai": [chunk({}, usage=COUNTS)],
    "anthropic": BEGUN["anthropic"][:1],
    "grpc": BEGUN["grpc"][:1],
}


async def given_an_answer(
    running: RouterUnderTest,
    provider: FakeProvider,
    upstream: GrpcUpstream,
    dialect: str,
    begun: Sequence[Any],
    **settings: Any,
) -> None:
    """Pool ``p`` of a model whose answer begins so, and then stops."""
    if dialect == "grpc":
        upstream.answers(*begun, own.Pause())
        plaintext = reg.GrpcAdapter(transport=reg.GRPC_TRANSPORT_PLAINTEXT)
        by = reg.Provider(id="own", grpc=plaintext, base_url=upstream.target)
        model = reg.Model(id="m", provider_id="own", upstream_model="gpt")
        resources = [reg.Resource(provider=by), reg.Resource(model=model)]
    else:
        provider.answers(stream(*begun, Pause()))
        resources = (
            served_by(provider) if dialect == "openai" else answered_as_messages(provider, "m")
        )
    resources[-1].model.prices.CopyFrom(PRICES)
    retry = reg.PoolRetry(in_place=0)
    await running.apply(*resources, pool("p", "m", retry=retry, **settings))


async def until_it_stops(provider: FakeProvider, upstream: GrpcUpstream) -> None:
    await until(lambda: provider.pauses + upstream.pauses == 1)


def chats(exporter: InMemorySpanExporter) -> list[Mapping[str, Any]]:
    """The attributes of the attempts that have ended."""
    ended = exporter.get_finished_spans()
    return [span.attributes or {} for span in ended if span.name.startswith("chat ")]


@DIALECTS
async def test_what_was_counted_when_the_caller_left_is_measured(
    running: RouterUnderTest, provider: FakeProvider, upstream: GrpcUpstream, dialect: str
) -> None:
    # given
    await given_an_answer(running, provider, upstream, dialect, BEGUN[dialect])

    # when the caller leaves behind the last count
    reader, exporter = InMemoryMetricReader(), InMemorySpanExporter()
    with ExitStack() as stack:
        stack.callback(telemetry.setup("test", exporter=exporter, reader=reader).shutdown)
        async with within_limit(), streaming(running.call("p")) as call:
            await call.read()
            await until_it_stops(provider, upstream)
        async with within_limit():
            await until(lambda: bool(chats(exporter)))
        counted = Measured(reader).values("router.tokens")

    # then
    tokens = {dict(key)["gen_ai.token.type"]: value for key, value in counted.items()}
    assert tokens == {"input": 9, "output": 4}
    (attributes,) = chats(exporter)
    assert attributes["gen_ai.usage.input_tokens"] == 9
    assert attributes["gen_ai.usage.output_tokens"] == 4
    assert attributes["error.type"] == "cancelled"


@DIALECTS
async def test_what_was_counted_before_a_silence_is_told(
    running: RouterUnderTest, provider: FakeProvider, upstream: GrpcUpstream, dialect: str
) -> None:
    # given
    clocks = reg.PoolClocks(idle=seconds(0.2))
    await given_an_answer(running, provider, upstream, dialect, BEGUN[dialect], clocks=clocks)

    # when
    received = await running.infer("p")

    # then
    interrupted = received.items[-1].interrupted
    assert interrupted.reason == prov.FAILURE_CLASS_TIMEOUT_IDLE
    (attempt,) = interrupted.decision.attempts
    for usage in (interrupted.partial_usage, attempt.usage):
        assert (usage.input_tokens, usage.output_tokens) == (9, 4)
        assert (usage.cost, usage.currency) == ("0.000017", "USD")


@DIALECTS
async def test_what_was_counted_of_an_answer_that_never_began_is_told(
    running: RouterUnderTest, provider: FakeProvider, upstream: GrpcUpstream, dialect: str
) -> None:
    # given
    clocks = reg.PoolClocks(first_chunk=seconds(1))
    await given_an_answer(running, provider, upstream, dialect, SILENT[dialect], clocks=clocks)

    # when
    received = await running.infer("p")

    # then
    assert received.failure.code is grpc.StatusCode.UNAVAILABLE
    (attempt,) = received.decision.attempts
    assert attempt.outcome == pb.ATTEMPT_OUTCOME_FAILED
    assert (attempt.usage.input_tokens, attempt.usage.cost) == (9, "0.000017")


async def test_nothing_is_estimated_of_an_answer_that_is_stopped(
    running: RouterUnderTest, provider: FakeProvider, upstream: GrpcUpstream
) -> None:
    # given a provider that counts nothing
    clocks = reg.PoolClocks(idle=seconds(0.2))
    silent = [chunk({"content": "a"})]
    await given_an_answer(running, provider, upstream, "openai", silent, clocks=clocks)

    # when
    received = await running.infer("p")

    # then
    interrupted = received.items[-1].interrupted
    assert not interrupted.HasField("partial_usage")
    assert not interrupted.decision.attempts[0].HasField("usage")
