"""Providers over HTTP that stop sending: the clocks of the pool end that call's wait alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from runyard.provider.v1 import provider_pb2 as prov
from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from tests.contract.router.router_under_test import (
    RouterUnderTest,
    answered_as_messages,
    model,
    pool,
    seconds,
    served_by,
)
from tests.support import messages_events as messages
from tests.support.fake_provider import FakeProvider, Pause, Script, stream, text
from tests.support.waiting import within_limit

ONCE = reg.PoolRetry(in_place=0)
# A model that repeats what it is told.
SPARE = [
    reg.Resource(provider=reg.Provider(id="script", builtin=reg.BuiltinAdapter())),
    model("spare", "script"),
]
COMMENT = b": ping\n\n"
BEGUN: dict[str, Sequence[bytes]] = {
    "openai": text("a"),
    "anthropic": [messages.start(), *messages.text_block(0, "a")[:2]],
}
# None of it is content, however often it comes.
LIFE: dict[str, Sequence[bytes]] = {
    "openai": [COMMENT, text()[0]],
    "anthropic": [messages.PING, messages.start()],
}


def served(provider: FakeProvider, dialect: str) -> list[reg.Resource]:
    if dialect == "openai":
        return served_by(provider)
    return answered_as_messages(provider, "m")


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("sign_of_life", [False, True])
async def test_a_stall_before_the_first_content_goes_to_the_next_member(
    running: RouterUnderTest, provider: FakeProvider, dialect: str, sign_of_life: bool
) -> None:
    # given a home that never gets to its first content
    before = LIFE[dialect] if sign_of_life else []
    provider.answers(stream(*before, Pause()))
    await running.apply(
        *served(provider, dialect),
        *SPARE,
        pool(
            "p",
            "m",
            failover_only=["spare"],
            clocks=reg.PoolClocks(first_chunk=seconds(0.2)),
            retry=ONCE,
            switch=reg.PoolSwitch(on_retry_exhausted=True),
        ),
    )

    # when
    received = await running.infer("p", "hello")

    # then
    late = prov.FAILURE_CLASS_TIMEOUT_FIRST_CHUNK
    assert received.members == ["m", "spare"]
    assert [each.failure for each in received.decision.attempts] == [late, 0]
    assert received.text == "hello"
    async with within_limit():
        await provider.until(disconnects=1)


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("restarts", [False, True])
async def test_a_stall_within_an_answer_interrupts_it_or_starts_it_over(
    running: RouterUnderTest, provider: FakeProvider, dialect: str, restarts: bool
) -> None:
    # given a home that stops after its first words
    provider.answers(stream(*BEGUN[dialect], Pause()))
    await running.apply(
        *served(provider, dialect),
        *SPARE,
        pool(
            "p",
            "m",
            failover_only=["spare"],
            clocks=reg.PoolClocks(idle=seconds(0.2)),
            mid_stream=reg.MID_STREAM_RESTART if restarts else reg.MID_STREAM_INTERRUPT,
        ),
    )

    # when
    received = await running.infer("p", "hello")

    # then
    late = prov.FAILURE_CLASS_TIMEOUT_IDLE
    outcomes = [(each.outcome, each.failure) for each in received.decision.attempts]
    assert outcomes[0] == (pb.ATTEMPT_OUTCOME_INTERRUPTED, late)
    if restarts:
        resets = [item.stream_reset for item in received.items if item.HasField("stream_reset")]
        assert [each.reason for each in resets] == [late]
        assert received.decision.member_id == "spare"
        assert received.error is None
    else:
        assert received.items[-1].interrupted.reason == late
        assert received.failure.reason == "STREAM_INTERRUPTED"
    async with within_limit():
        await provider.until(disconnects=1)


async def test_calls_of_other_providers_go_on_beside_one_that_hangs(
    running: RouterUnderTest, provider: FakeProvider
) -> None:
    # given fifty calls that wait for a provider
    provider.always(Script((Pause(),)))
    await running.apply(
        *served_by(provider),
        *SPARE,
    )
    hanging = [asyncio.create_task(running.infer("m")) for _ in range(50)]
    await provider.until(pauses=50)

    # when
    answered = [await running.infer("spare", "hello") for _ in range(10)]

    # then
    assert [each.text for each in answered] == ["hello"] * 10
    assert not any(each.done() for each in hanging)
    for each in hanging:
        each.cancel()
    async with within_limit():
        await asyncio.gather(*hanging, return_exceptions=True)
        await provider.until(disconnects=50)
