"""Model calls that fail: tried again, parked until there is hope, or the end."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.chassis.channel import open_channel
from services.runcontrol.clients.router import RouterModels
from services.runcontrol.core.inference import InferenceError, Question
from services.runcontrol.core.retrying import RetryClass
from tests.contract.runcontrol.conftest import Suite
from tests.support import scenario as s
from tests.support.stack import free_port


async def failing(suite: Suite, step: registry.BuiltinStep) -> str:
    """A run whose model always fails in the same way."""
    version = await s.apply(
        suite.channel("registry"),
        s.builtin_provider("p", step),
        s.model("m", "p"),
        s.agent("unlucky", "m"),
    )
    return await s.submit(suite.channel("runcontrol"), "unlucky", "go", min_version=version)


def fault(kind: registry.BuiltinFaultKind, **fields: object) -> registry.BuiltinStep:
    return registry.BuiltinStep(fault=registry.BuiltinFault(kind=kind, **fields))  # type: ignore[arg-type]  # its own fields


async def test_a_refusal_for_good_ends_the_run_at_once(suite: Suite) -> None:
    # given a provider that does not accept its credential
    run_id = await failing(suite, fault(registry.BUILTIN_FAULT_KIND_UNAUTHORIZED))

    # when the run is followed
    events = await s.follow_to_end(suite.channel("runcontrol"), run_id)

    # then it was tried once
    failed = [e.attempt_failed for e in events if e.HasField("attempt_failed")]
    termination = events[-1].run_finished.termination
    assert [(f.retry_class, f.will_retry) for f in failed] == [("fatal", False)]
    assert (termination.reason, termination.error_reason) == (
        pb.TERMINATION_REASON_ERROR,
        "UPSTREAM_REJECTED",
    )


async def test_a_stream_that_breaks_is_asked_again_until_it_is_a_dead_letter(
    suite: Suite,
) -> None:
    # given a provider that cuts every answer after two words
    step = fault(registry.BUILTIN_FAULT_KIND_CUT, after_deltas=2, text="these words never end")
    run_id = await failing(suite, step)

    # when the run is followed
    events = await s.follow_to_end(suite.channel("runcontrol"), run_id)

    # then it was tried five times, each time telling that the step starts over
    failed = [e.attempt_failed for e in events if e.HasField("attempt_failed")]
    assert [f.attempt for f in failed] == [1, 2, 3, 4, 5]
    assert [f.will_retry for f in failed] == [True, True, True, True, False]
    assert s.kinds(events).count("step_reset") == 4
    assert s.kinds(events).count("step_started") == 1
    assert events[-1].run_finished.termination.reason == pb.TERMINATION_REASON_DEAD_LETTER
    assert s.uncovered_gaps(events) == []


async def test_a_router_that_is_away_is_waited_for() -> None:
    # given a target where no router listens
    async with open_channel(f"127.0.0.1:{free_port()}") as channel:
        question = Question("m", (), (), "", "thread", "run", "agent", 0)

        # when it is asked
        with pytest.raises(InferenceError) as failed:
            async with RouterModels(channel, lambda: 0).infer(question) as items:
                await anext(items)

    # then the run may ask again for as long as it has time
    failure = failed.value.failure
    assert (failure.retry_class, failure.reason) == (RetryClass.THROTTLED, "ROUTER_UNAVAILABLE")


async def test_a_rate_limit_parks_the_run_until_it_was_told_to_come_back(suite: Suite) -> None:
    # given a provider that asks for ten minutes
    step = fault(registry.BUILTIN_FAULT_KIND_RATE_LIMITED, retry_after=Duration(seconds=600))
    run_id = await failing(suite, step)

    # when its first attempt has failed
    _, event = await s.until(suite.channel("runcontrol"), run_id, "attempt_failed")
    run = (await suite.runs.GetRun(service.GetRunRequest(run_id=run_id))).run
    cancelled = await suite.runs.CancelRun(service.CancelRunRequest(run_id=run_id))

    # then it waits as long as it was told, holding nothing, and can be cancelled
    (reason,) = run.waiting_reasons
    wait_s = reason.until_time.ToSeconds() - event.create_time.ToSeconds()
    assert (event.attempt_failed.retry_class, event.attempt_failed.will_retry) == (
        "throttled",
        True,
    )
    assert run.state == pb.Run.STATE_WAITING
    assert reason.kind == pb.WAITING_KIND_BACKOFF
    assert wait_s >= 500
    assert cancelled.outcome == service.CANCEL_OUTCOME_CANCELLED


async def test_a_deadline_ends_a_run_that_waits(suite: Suite) -> None:
    # given an agent that waits for a message nobody sends, for at most half a second
    await suite.open_pool("quiet")
    version = await s.apply(
        suite.channel("registry"),
        s.builtin_provider("p", s.calling("wait", "{}", tool_results=0)),
        s.model("m", "p", tools=True),
        s.builtin_tool("wait", registry.BUILTIN_TOOL_POOL_WAIT),
        s.agent("sleeper", "m", "wait"),
    )
    submitted = await suite.runs.SubmitRun(
        service.SubmitRunRequest(
            agent_id="sleeper",
            messages=[s.user_message("go")],
            pool=pb.PoolMembership(pool_id="quiet"),
            deadline=Duration(nanos=500_000_000),
            min_registry_version=version,
        )
    )

    # when it is followed to its end
    events = await s.follow_to_end(suite.channel("runcontrol"), submitted.run_id)

    # then its time was over
    assert events[-1].run_finished.termination.reason == pb.TERMINATION_REASON_DEADLINE


@pytest.mark.parametrize("text", ["", "some thoughts"])
async def test_a_route_that_was_moved_says_so(suite: Suite, text: str) -> None:
    # given a pool whose home is rate limited
    version = await s.apply(
        suite.channel("registry"),
        s.builtin_provider("limited", s.rate_limited()),
        registry.Resource(
            provider=registry.Provider(
                id="spare",
                builtin=registry.BuiltinAdapter(
                    steps=[
                        registry.BuiltinStep(
                            reply=registry.BuiltinReply(text="moved", reasoning=text)
                        )
                    ]
                ),
            )
        ),
        s.model("home", "limited"),
        s.model("away", "spare"),
        s.pool_of("models", "home", "away"),
        s.agent("traveller", "models"),
    )
    channel = suite.channel("runcontrol")
    run_id = await s.submit(channel, "traveller", "go", min_version=version)

    # when its run is followed
    events = await s.follow_to_end(channel, run_id)

    # then the record says where it went, from where and why, and what it thought
    (routed,) = (e.routed for e in events if e.HasField("routed"))
    assert (routed.model_id, routed.switched_from_model_id, routed.reason) == (
        "away",
        "home",
        "rate_limit",
    )
    assert "".join(e.reasoning_delta.text for e in events) == text
    assert events[-1].run_finished.output_text == "moved"
