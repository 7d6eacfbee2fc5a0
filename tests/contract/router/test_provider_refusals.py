"""Refusals of providers over HTTP, as the caller and the operator see them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from runyard.provider.v1 import provider_pb2 as upstream
from runyard.registry.v1 import registry_pb2 as reg
from services.cli.manifests.resources import load
from tests.contract.router.router_under_test import RouterUnderTest, model, served_by
from tests.support.fake_provider import FakeProvider, Script, finish, refusal, stream, text
from tests.support.stack import exported

MANUAL = Path(__file__).parents[3] / "docs" / "ops" / "manifests.md"


async def test_a_redirect_is_called_once_and_named(
    running: RouterUnderTest, provider: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    # given
    provider.always(Script((b"<html>",), 308, {"Location": "https://new.example/v1?key=1"}))
    await running.apply(*served_by(provider))

    # when
    answered = await running.infer("m")

    # then
    assert answered.code_and_reason == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "UPSTREAM_REJECTED",
    )
    assert "it redirects to https://new.example/v1; change its base_url" in answered.failure.message
    assert len(provider.requests) == 1
    # and the log says more
    (record,) = [each for each in caplog.records if each.message == "attempt failed"]
    told = {name: record.__dict__[name] for name in ("member_id", "provider_id", "http_status")}
    assert told == {"member_id": "m", "provider_id": "vllm", "http_status": 308}
    assert record.__dict__["words"] == "<html>"


async def test_a_server_error_that_is_final_is_not_repeated(
    running: RouterUnderTest, provider: FakeProvider
) -> None:
    # given
    provider.always(refusal(500, x_should_retry="false"))
    await running.apply(*served_by(provider))

    # when
    answered = await running.infer("m")

    # then
    assert answered.code_and_reason == (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_FAILED")
    assert len(provider.requests) == 1


async def test_a_server_error_is_repeated_after_its_hint(
    running: RouterUnderTest, provider: FakeProvider
) -> None:
    # given a hint of 0.2 s, then an answer
    provider.answers(refusal(500, retry_after_ms="200"), stream(*text("a"), *finish()))
    await running.apply(*served_by(provider))

    # when
    answered = await running.infer("m")

    # then
    assert answered.text == "a"
    first, second = answered.decision.attempts
    assert (first.http_status, first.retry_after.nanos) == (500, 200_000_000)
    assert second.kind != first.kind


async def test_an_answer_that_ends_with_error_before_content_is_repeated(
    running: RouterUnderTest, provider: FakeProvider
) -> None:
    # given
    provider.answers(stream(*finish("error")), stream(*text("a"), *finish()))
    await running.apply(*served_by(provider))

    # when
    answered = await running.infer("m")

    # then
    assert answered.text == "a"
    assert len(provider.requests) == 2


async def test_an_answer_that_ends_with_error_after_content_is_interrupted(
    running: RouterUnderTest, provider: FakeProvider
) -> None:
    # given
    provider.answers(stream(*text("a"), *finish("error")))
    await running.apply(*served_by(provider))

    # when
    answered = await running.infer("m")

    # then
    assert answered.text == "a"
    assert answered.items[-1].interrupted.reason == upstream.FAILURE_CLASS_SERVER_ERROR
    assert answered.failure.reason == "STREAM_INTERRUPTED"
    assert len(provider.requests) == 1


async def test_classic_azure_is_called_as_the_manual_says(
    running: RouterUnderTest, provider: FakeProvider
) -> None:
    # given the provider of the manual, at another host
    blocks = MANUAL.read_text().split("```yaml\n")[1:]
    (manifest,) = [each.split("```")[0] for each in blocks if "azure.com" in each]
    manifests = await asyncio.to_thread(load, [("manual", manifest)])
    (azure,) = manifests.resources
    assert manifests.problems == []
    host = provider.base_url.removesuffix("/v1")
    resource = reg.Resource()
    resource.CopyFrom(azure)
    resource.provider.base_url = azure.provider.base_url.replace(
        "https://NAME.openai.azure.com", host
    )
    await running.apply(resource, model("m", "azure"))
    provider.answers(stream(*text("a"), *finish()))

    # when
    with exported({"AZURE_OPENAI_API_KEY": "the-key"}):
        answered = await running.infer("m")

    # then
    assert answered.text == "a"
    (request,) = provider.requests
    assert request.path == "/openai/deployments/DEPLOYMENT/chat/completions"
    assert list(request.query) == [("api-version", "2024-10-21")]
    assert request.headers["api-key"] == "the-key"
    assert "authorization" not in request.headers
