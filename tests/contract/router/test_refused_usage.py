"""OpenAI-compatible servers that refuse to be asked for token counts."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

from services.content.model import UsageSource
from services.router.clients.http_calls import HttpCalls, open_session
from services.router.clients.openai import OpenAiAdapter
from services.router.core.failures import FailureClass
from services.router.core.items import UsageReport
from services.router.core.model import Model, OpenAi
from tests.contract.router.adapter_calls import AdapterCalls, said
from tests.contract.router.router_under_test import RouterUnderTest, pool, served_by
from tests.support.clock import ManualClock
from tests.support.fake_provider import FakeProvider, Script, finish, refusal, stream, text

ANSWER = stream(*text("hello"), *finish())
REFUSED = refusal(400, {"error": {"message": "Unknown parameter: 'stream_options'."}})
# What servers say when they do not know the field.
REFUSALS: dict[str, Script] = {
    "in the words": REFUSED,
    "as the parameter": refusal(400, {"error": {"message": "x", "param": "stream_options"}}),
    "as a place": refusal(
        422, {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are forbidden"}]}
    ),
    "within it": refusal(400, {"error": {"message": "stream_options.include_usage: no"}}),
    "as plain text": refusal(400, b"unknown field: stream_options"),
    "in a 200": refusal(200, {"error": {"message": "no stream_options here", "code": 400}}),
}


def asked_for_counts(provider: FakeProvider) -> list[bool]:
    return ["stream_options" in request.body for request in provider.requests]


@pytest.mark.parametrize("refused", REFUSALS.values(), ids=REFUSALS)
async def test_a_server_that_refuses_is_called_again_without_and_remembered(
    openai: AdapterCalls, refused: Script, caplog: pytest.LogCaptureFixture
) -> None:
    # given
    openai.provider.answers(refused, ANSWER, ANSWER)

    # when
    with caplog.at_level(logging.WARNING):
        first, second = await openai.items(), await openai.items()

    # then
    assert (said(first), said(second)) == ("hello", "hello")
    assert asked_for_counts(openai.provider) == [True, False, False]
    (usage,) = [item.usage for item in first if isinstance(item, UsageReport)]
    assert usage.source is UsageSource.ESTIMATED
    # and the rest of the request is the same
    bodies = [dict(request.body) for request in openai.provider.requests]
    del bodies[0]["stream_options"]
    assert bodies[0] == bodies[1] == bodies[2]
    # and the log says so once
    (record,) = [each for each in caplog.records if "stream_options" in each.message]
    assert (record.__dict__["provider_id"], record.__dict__["model_id"]) == ("vllm", "m1")


OTHER: dict[str, tuple[Script, FailureClass]] = {
    "another parameter": (
        refusal(400, {"error": {"message": "Unknown parameter: 'seed'."}}),
        FailureClass.INVALID_REQUEST,
    ),
    "another class": (
        refusal(401, {"error": {"message": "no stream_options without a key"}}),
        FailureClass.AUTH,
    ),
    "a defect": (
        refusal(500, {"error": {"message": "stream_options"}}),
        FailureClass.SERVER_ERROR,
    ),
}


@pytest.mark.parametrize(("refused", "kind"), OTHER.values(), ids=OTHER)
async def test_what_is_refused_for_something_else_is_sent_once(
    openai: AdapterCalls, refused: Script, kind: FailureClass
) -> None:
    # given
    openai.provider.answers(refused, ANSWER)

    # when
    _, failure = await openai.failure()
    await openai.items()

    # then nothing was learned
    assert failure.kind is kind
    assert asked_for_counts(openai.provider) == [True, True]


async def test_a_server_that_refuses_both_is_called_twice_and_nothing_is_learned(
    openai: AdapterCalls,
) -> None:
    # given a server that repeats the request in its refusals
    openai.provider.answers(REFUSED, REFUSED, ANSWER)

    # when
    _, failure = await openai.failure()
    await openai.items()

    # then
    assert failure.kind is FailureClass.INVALID_REQUEST
    assert asked_for_counts(openai.provider) == [True, False, True]


async def test_a_server_that_is_not_asked_is_called_once(openai: AdapterCalls) -> None:
    # given the setting, and a refusal that names the field all the same
    openai.provider.answers(REFUSED)

    # when
    _, failure = await openai.failure(stream_usage=False)

    # then
    assert failure.kind is FailureClass.INVALID_REQUEST
    assert asked_for_counts(openai.provider) == [False]


@pytest.fixture
async def two_remembered(provider: FakeProvider) -> AsyncIterator[AdapterCalls]:
    """As ``openai``, of an adapter that remembers two models."""
    clock = ManualClock()
    async with open_session() as session:
        adapter = OpenAiAdapter(HttpCalls(session, clock), capacity=2)
        yield AdapterCalls(adapter, OpenAi(provider.base_url), clock, provider)


async def test_so_many_models_are_remembered(two_remembered: AdapterCalls) -> None:
    # given three models that refuse
    models = [Model(f"m{number}", "vllm", f"gpt-{number}") for number in range(3)]
    for model in models:
        two_remembered.provider.answers(REFUSED, ANSWER)
        await two_remembered.items(model=model)
    two_remembered.provider.requests.clear()

    # when
    two_remembered.provider.always(ANSWER)
    for model in models:
        await two_remembered.items(model=model)

    # then the first one was forgotten
    assert asked_for_counts(two_remembered.provider) == [True, False, False]


async def test_a_call_takes_one_attempt_until_the_provider_changes(
    running: RouterUnderTest, provider: FakeProvider
) -> None:
    # given
    resources = [*served_by(provider), pool("p", "m")]
    await running.apply(*resources)
    provider.answers(REFUSED, ANSWER, ANSWER, ANSWER)

    # when
    received = [await running.infer("p"), await running.infer("p")]
    resources[0].provider.openai.organization = "another"
    await running.apply(*resources)
    received.append(await running.infer("p"))

    # then
    assert [each.text for each in received] == ["hello"] * 3
    assert [len(each.decision.attempts) for each in received] == [1, 1, 1]
    assert asked_for_counts(provider) == [True, False, False, True]
