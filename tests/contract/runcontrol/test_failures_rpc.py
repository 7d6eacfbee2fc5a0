"""Model calls that fail: repeated, repeated after a pause, or the end of the run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration

from runyard.provider.v1 import provider_pb2 as provider
from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.chassis.calls.channel import open_channel
from services.chassis.startup import StartupRefusedError
from services.runcontrol.clients.router import RouterModels
from services.runcontrol.core.inference import InferenceError, ModelCall
from services.runcontrol.core.retrying import RetryClass
from tests.contract.runcontrol.conftest import Suite
from tests.support import clients as s
from tests.support.event_order import uncovered_gaps
from tests.support.recording_router import recording_router
from tests.support.stack import free_port


def fault(kind: registry.BuiltinFaultKind, **fields: object) -> registry.BuiltinStep:
    return registry.BuiltinStep(fault=registry.BuiltinFault(kind=kind, **fields))  # type: ignore[arg-type]  # its own fields


async def test_a_permanent_refusal_ends_the_run(suite: Suite) -> None:
    # given a provider that does not accept its credential
    run_id = await suite.submit_to_new_agent(fault(registry.BUILTIN_FAULT_KIND_UNAUTHORIZED))

    # when the run is followed
    events = await suite.follow(run_id)

    # then there was one attempt
    failed = [e.attempt_failed for e in events if e.HasField("attempt_failed")]
    termination = events[-1].run_finished.termination
    assert [(f.retry_class, f.will_retry) for f in failed] == [("fatal", False)]
    assert termination.reason == pb.TERMINATION_REASON_ERROR
    assert termination.error_reason == "UPSTREAM_REJECTED"


async def test_a_run_whose_streams_break_is_a_dead_letter_after_five_attempts(suite: Suite) -> None:
    # given a provider that cuts every answer after two words
    step = fault(registry.BUILTIN_FAULT_KIND_CUT, after_deltas=2, text="these words never end")
    run_id = await suite.submit_to_new_agent(step)

    # when the run is followed
    events = await suite.follow(run_id)

    # then there were five attempts, each with a reset of the step
    failed = [e.attempt_failed for e in events if e.HasField("attempt_failed")]
    assert [f.attempt for f in failed] == [1, 2, 3, 4, 5]
    assert [f.will_retry for f in failed] == [True, True, True, True, False]
    assert s.kinds(events).count("step_reset") == 4
    assert s.kinds(events).count("step_started") == 1
    assert events[-1].run_finished.termination.reason == pb.TERMINATION_REASON_DEAD_LETTER
    assert uncovered_gaps(events) == []


async def test_a_failure_of_an_unreachable_router_is_throttled() -> None:
    # given a target where no router listens
    async with open_channel(f"127.0.0.1:{free_port()}") as channel:
        model_call = ModelCall("m", (), (), "", "thread", "run", "agent", 0)

        # when it is called
        with pytest.raises(InferenceError) as failed:
            async with RouterModels(channel, lambda: 0).infer(model_call) as items:
                await anext(items)

    # then the failure is throttled, which is repeated until the deadline
    failure = failed.value.failure
    assert (failure.retry_class, failure.reason) == (RetryClass.THROTTLED, "ROUTER_UNAVAILABLE")


async def test_a_model_call_carries_the_header_of_its_thread() -> None:
    # given
    model_call = ModelCall("m", (), (), "", "t1", "r1", "agent", 0)

    # when it is sent
    async with (
        recording_router() as router,
        open_channel(router.target) as channel,
        RouterModels(channel, lambda: 0).infer(model_call) as items,
    ):
        async for _ in items:
            pass

    # then it has the first 32 digits of the SHA-256 of "thread:t1"
    assert router.headers == ["4aadd5225e9fb51c4c05688dd0054ac7"]


async def test_a_rate_limited_run_waits_for_the_requested_pause(suite: Suite) -> None:
    # given a provider that asks for ten minutes
    step = fault(registry.BUILTIN_FAULT_KIND_RATE_LIMITED, retry_after=Duration(seconds=600))
    run_id = await suite.submit_to_new_agent(step)

    # when its first attempt has failed
    _, event = await suite.until(run_id, "attempt_failed")
    run = (await suite.view(run_id)).run
    cancelled = await suite.cancel(run_id=run_id)

    # then it waits for that pause without a lease, and can be cancelled
    (reason,) = run.waiting_reasons
    wait_s = reason.until_time.ToSeconds() - event.create_time.ToSeconds()
    failed = event.attempt_failed
    assert (failed.retry_class, failed.will_retry) == ("throttled", True)
    assert run.state == pb.Run.STATE_WAITING
    assert reason.kind == pb.WAITING_KIND_BACKOFF
    assert wait_s >= 500
    assert cancelled.outcome == service.CANCEL_OUTCOME_CANCELLED


async def test_a_deadline_ends_a_run_that_backs_off(suite: Suite) -> None:
    # given a provider that is asked again in ten minutes, by a run with half a second
    step = fault(registry.BUILTIN_FAULT_KIND_RATE_LIMITED, retry_after=Duration(seconds=600))
    half_a_second = Duration(nanos=500_000_000)
    await suite.apply_agent("helper", step)
    run_id = await suite.submit("helper", deadline=half_a_second)

    # when it is followed to its end
    events = await suite.follow(run_id)

    # then it ended with the deadline
    assert events[-1].run_finished.termination.reason == pb.TERMINATION_REASON_DEADLINE


@pytest.mark.parametrize("text", ["", "some thoughts"])
async def test_the_record_of_a_run_names_the_route(suite: Suite, text: str) -> None:
    # given a pool whose home is rate limited
    reply = registry.BuiltinReply(text="moved", reasoning=text)
    await suite.apply(
        s.builtin_provider("limited", s.rate_limited()),
        s.builtin_provider("spare", registry.BuiltinStep(reply=reply)),
        s.model("home", "limited"),
        s.model("away", "spare"),
        s.pool_of("models", "home", "away"),
        s.agent("helper", "models"),
    )
    run_id = await suite.submit("helper")

    # when its run is followed
    events = await suite.follow(run_id)

    # then its events name member, home, reason and reasoning
    (routed,) = (e.routed for e in events if e.HasField("routed"))
    assert (routed.model_id, routed.switched_from_model_id) == ("away", "home")
    assert routed.failure == provider.FAILURE_CLASS_RATE_LIMIT
    assert "".join(e.reasoning_delta.text for e in events) == text
    assert events[-1].run_finished.output_text == "moved"


async def test_servers_of_which_one_cannot_start_are_all_stopped(tmp_path: Path) -> None:
    # given a port that another server has, for run control
    suite = Suite(tmp_path)
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", suite.port):
        # when the four are started
        with pytest.raises(StartupRefusedError):
            await suite.start()

    # then the three that had started are gone, and their databases are free
    again = Suite(tmp_path)
    await again.start()
    await again.close()
