"""Threads before a provider that refuses what is not legal, and before one that is away."""

from __future__ import annotations

from typing import Any

from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.types.v1 import content_pb2 as content
from services.content.model import MAX_TEXT_BYTES
from tests.contract.runcontrol.conftest import Suite
from tests.support import clients as s
from tests.support.fake_provider import (
    FakeProvider,
    Pause,
    Script,
    chunk,
    fake_provider,
    finish,
    refusal,
    stream,
    text,
)


def calls(*asked: tuple[str, str, str]) -> Script:
    """An answer with calls: their ids, tools and arguments."""
    deltas: list[dict[str, Any]] = [
        {"index": n, "id": id_, "type": "function", "function": {"name": name, "arguments": args}}
        for n, (id_, name, args) in enumerate(asked)
    ]
    return stream(
        *text(), *(chunk({"tool_calls": [each]}) for each in deltas), *finish("tool_calls")
    )


async def apply_agent(suite: Suite, provider: FakeProvider) -> None:
    adapter = registry.OpenAiAdapter()
    away = registry.Provider(id="p", base_url=provider.base_url, openai=adapter)
    model = s.model("m", "p", tools=True)
    send = s.builtin_tool("send", registry.BUILTIN_TOOL_POOL_SEND)
    await suite.apply(registry.Resource(provider=away), model, send, s.agent("helper", "m", "send"))


async def ended(suite: Suite, said: str, thread_id: str = "") -> tuple[str, pb.Termination]:
    """Submit a run, follow it to its end; answer its thread and how it ended."""
    submitted = await suite.submit_run("helper", said, thread_id=thread_id)
    events = await suite.follow(submitted.run_id)
    return submitted.thread_id, events[-1].run_finished.termination


async def test_a_thread_goes_on_after_answers_that_no_provider_would_take_back(
    suite: Suite,
) -> None:
    # given a strict provider
    async with fake_provider() as provider:
        provider.strict = True
        await apply_agent(suite, provider)

        # when it answers nothing, with broken calls, refuses an input, and is then said hello
        provider.answers(stream(*text(), *finish()))
        thread_id, nothing = await ended(suite, "go")
        provider.answers(
            calls(("c", "send", "[]"), ("c", "made up", '{"a": NaN}'), ("", "send", "{")),
            calls(("c", "send", "[" * 100_000)),
            stream(*text(), *finish("length")),
        )
        _, broken = await ended(suite, "go on", thread_id)
        provider.answers(refusal(400))
        _, refused = await ended(suite, "an input that it refuses", thread_id)
        provider.answers(stream(*text("hello too"), *finish()))
        _, answered = await ended(suite, "hello", thread_id)

    # then each end says what happened, and the last prompt has only what was answered
    assert nothing.reason == broken.reason == pb.TERMINATION_REASON_NO_ANSWER
    assert broken.message.endswith(": length")
    assert refused.error_reason == "UPSTREAM_INVALID_REQUEST"
    assert answered.reason == pb.TERMINATION_REASON_NATURAL_END
    said = [m["content"] for m in provider.requests[-1].body["messages"] if m["role"] == "user"]
    assert said == ["go on", "hello"]


async def test_a_run_waits_for_a_provider_that_is_away(suite: Suite) -> None:
    # given a provider that answers 500 for longer than a call is repeated, and then recovers
    async with fake_provider() as provider:
        await apply_agent(suite, provider)
        provider.answers(*[refusal(500)] * 4)
        provider.always(stream(*text("back"), *finish()))

        # when a run is executed meanwhile
        submitted = await suite.submit_run("helper")
        events = await suite.follow(submitted.run_id)

    # then it has waited, and no attempt was counted against it
    failed = [e.attempt_failed for e in events if e.HasField("attempt_failed")]
    assert {f.retry_class for f in failed} == {"throttled"}
    assert events[-1].run_finished.output_text == "back"


async def test_a_prompt_that_cannot_be_sent_ends_its_run_and_not_its_thread(suite: Suite) -> None:
    # given an agent, whose instructions and tools are sent with every input
    async with fake_provider() as provider:
        await apply_agent(suite, provider)
        provider.always(stream(*text("hello too"), *finish()))
        thread_id, _ = await ended(suite, "hello")

        # when an input comes that is as large as a request may be, and then a small one
        part = content.Part(text=content.Text(text="x" * (MAX_TEXT_BYTES - 64)))
        large = content.Message(role=content.MESSAGE_ROLE_USER, parts=[part] * 4)
        submitted = await suite.submit_run("helper", thread_id=thread_id, messages=[large])
        _, small = await ended(suite, "hello again", thread_id)
        refused = (await suite.view(submitted.run_id)).run

    # then the first has ended without a call, and the second is answered
    assert refused.termination.error_reason == "PROMPT_TOO_LARGE"
    assert len(provider.requests) == 2
    assert small.reason == pb.TERMINATION_REASON_NATURAL_END


async def test_a_provider_that_stalls_holds_up_its_own_runs_alone(suite: Suite) -> None:
    # given a server that executes two runs at a time, and a provider that sends nothing
    await suite.restart_runcontrol(max_concurrent_runs=2)
    async with fake_provider() as provider:
        provider.always(stream(Pause(), *text("at last"), *finish()))
        await apply_agent(suite, provider)
        await suite.apply_agent("quick", s.replying("done"))
        stalled = [await suite.submit("helper") for _ in range(4)]
        await provider.until(pauses=4)

        # when runs of another model are submitted
        quick = [await suite.follow(await suite.submit("quick")) for _ in range(3)]
        provider.go_on()
        late = [await suite.follow(run_id) for run_id in stalled]

    # then they are executed meanwhile, and the others when their provider goes on
    assert [events[-1].run_finished.output_text for events in quick] == ["done"] * 3
    assert [events[-1].run_finished.output_text for events in late] == ["at last"] * 4
