"""A router that calls the fake provider says what the adapter ``builtin`` says of that script."""

from __future__ import annotations

import pytest

from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from services.fake_provider.server import serving
from tests.contract.router.router_under_test import (
    RouterUnderTest,
    failing,
    model,
)

CALLING = reg.BuiltinStep(
    matches="look",
    reply=reg.BuiltinReply(
        text="Let me see.",
        tool_calls=[reg.BuiltinToolCall(tool_id="look", arguments_json='{"at": "sea"}')],
    ),
)


ADAPTERS = {
    "openai": reg.Provider(id="http", openai=reg.OpenAiAdapter()),
    "anthropic": reg.Provider(id="http", anthropic=reg.AnthropicAdapter()),
}


def over_http(adapter: str, port: int) -> reg.Resource:
    provider = reg.Provider()
    provider.CopyFrom(ADAPTERS[adapter])
    provider.base_url = f"http://127.0.0.1:{port}/v1"
    return reg.Resource(provider=provider)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("text", ["hello big world", "look"])
async def test_an_answer_over_http_is_that_of_the_script(
    running: RouterUnderTest, adapter: str, text: str
) -> None:
    # given one script, in process and over HTTP
    script = reg.BuiltinAdapter(steps=[CALLING])
    async with serving(script, "127.0.0.1", 0, lambda _: None) as port:
        await running.apply(
            reg.Resource(provider=reg.Provider(id="inside", builtin=script)),
            over_http(adapter, port),
            model("m", "inside"),
            model("n", "http"),
        )

        # when both are asked
        inside = await running.infer("m", text)
        answered = await running.infer("n", text)

    # then items and ends are the same
    assert answered.text == inside.text
    assert calls(answered.items) == calls(inside.items)
    assert answered.items[-1].finished.reason == inside.items[-1].finished.reason


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("kind", ["RATE_LIMITED", "OVERLOADED", "SERVER_ERROR", "UNAUTHORIZED"])
async def test_a_fault_over_http_is_that_of_the_script(
    running: RouterUnderTest, adapter: str, kind: str
) -> None:
    # given
    fault = failing(getattr(reg, f"BUILTIN_FAULT_KIND_{kind}"), 20.0)
    script = reg.BuiltinAdapter(steps=[fault])
    async with serving(script, "127.0.0.1", 0, lambda _: None) as port:
        await running.apply(
            reg.Resource(provider=reg.Provider(id="inside", builtin=script)),
            over_http(adapter, port),
            model("m", "inside"),
            model("n", "http"),
        )

        # when
        inside = await running.infer("m")
        answered = await running.infer("n")

    # then
    assert answered.code_and_reason == inside.code_and_reason
    assert answered.failure.retry_after_s == inside.failure.retry_after_s


def calls(items: list[pb.InferItem]) -> list[tuple[str, str]]:
    ready = [item.tool_call_ready.call for item in items if item.HasField("tool_call_ready")]
    return [(call.tool_id, call.arguments_json) for call in ready]
