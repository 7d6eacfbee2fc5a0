"""Lost calls of reconcilable tools, over real servers: a worker says what has become of them."""

from __future__ import annotations

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.types.v1 import content_pb2 as content
from runyard.worker.v1 import worker_pb2 as worker
from tests.contract.runcontrol.conftest import Suite
from tests.contract.runcontrol.test_workers_rpc import apply_clerk, settled, worker_tool
from tests.support.engines import on_both_engines
from tests.support.event_order import uncovered_gaps
from tests.support.raw_worker import RawWorker, hello, session

RECONCILABLE = content.EFFECT_CLASS_RECONCILABLE


async def apply_reconcilable(suite: Suite, timeout_s: float = 0.1) -> None:
    await apply_clerk(suite, worker_tool("lookup", RECONCILABLE, timeout_s=timeout_s))


async def answer(clerk: RawWorker, ref: worker.CallRef, effect: int, text: str = "") -> None:
    found = worker.ProbeResult(ref=ref, effect=effect, content=text)  # type: ignore[arg-type]
    await clerk.send(probe_result=found)


def outcomes(events: list[pb.Event]) -> list[int]:
    return [e.tool_call_probed.outcome for e in events if e.HasField("tool_call_probed")]


@on_both_engines
async def test_the_worker_of_a_lost_call_says_that_it_took_effect(suite: Suite) -> None:
    # given a reconcilable call that its worker does not end in time
    await apply_reconcilable(suite)
    async with session(suite.channel("runcontrol"), hello("lookup")) as clerk:
        run_id = await suite.submit("clerk")
        call = await clerk.take()

        # when the worker is asked what has become of it
        probe = (await clerk.hear("probe")).probe
        await answer(clerk, probe.ref, worker.EFFECT_DONE, "shipped")
        events = await suite.follow(run_id)

    # then it knew what it was asked about, and its answer is the result
    assert probe.ref == call.ref
    assert (probe.tool_id, probe.arguments_json) == ("lookup", '{"order": 4711}')
    assert (probe.run_id, probe.agent_id, probe.principal) == (run_id, "clerk", "local")
    assert probe.idempotency_key == call.idempotency_key
    assert probe.tool_version == call.tool_version
    assert outcomes(events) == [pb.ToolCallProbed.OUTCOME_HAPPENED]
    assert events[-1].run_finished.output_text == "it says shipped"
    assert uncovered_gaps(events) == []


@on_both_engines
async def test_a_lost_call_that_took_no_effect_runs_again(suite: Suite) -> None:
    # given a lost call of which its worker says that it took no effect
    await apply_reconcilable(suite, timeout_s=1.0)
    async with session(suite.channel("runcontrol"), hello("lookup"), credit=2) as clerk:
        run_id = await suite.submit("clerk")
        first = await clerk.take()
        probe = (await clerk.hear("probe")).probe
        await answer(clerk, probe.ref, worker.EFFECT_NONE)

        # when it comes again
        second = await clerk.take()
        await clerk.succeed(second.ref, "shipped")
        events = await suite.follow(run_id)

    # then it is another attempt under the same key
    assert second.ref.attempt == first.ref.attempt + 1
    assert second.idempotency_key == first.idempotency_key
    assert outcomes(events) == [pb.ToolCallProbed.OUTCOME_DID_NOT_HAPPEN]
    assert [each.result for each in settled(events)] == ["shipped"]


async def test_a_worker_that_cannot_tell_leaves_it_to_a_person(suite: Suite) -> None:
    await apply_reconcilable(suite)
    async with session(suite.channel("runcontrol"), hello("lookup")) as clerk:
        run_id = await suite.submit("clerk")
        await clerk.take()
        await answer(clerk, (await clerk.hear("probe")).probe.ref, worker.EFFECT_UNKNOWN)
        await suite.until_parked(run_id, pb.WAITING_KIND_RECONCILE)
        (ticket,) = (await suite.view(run_id)).open_tickets
    assert ticket.kind == pb.Ticket.KIND_RECONCILE


async def test_a_worker_that_leaves_without_an_answer_is_followed_by_another(suite: Suite) -> None:
    # given a lost call, and its worker, which leaves when it is asked
    await apply_reconcilable(suite)
    channel = suite.channel("runcontrol")
    async with session(channel, hello("lookup")) as clerk:
        run_id = await suite.submit("clerk")
        await clerk.take()
        await clerk.hear("probe")

    # when another start of it comes, after a worker of another tool
    async with (
        session(channel, hello("pack", instance="i-3")) as other,
        session(channel, hello("lookup", instance="i-2")) as clerk,
    ):
        probe = (await clerk.hear("probe")).probe

        # then that one is asked, and an answer of who was not asked counts for nothing
        await answer(other, probe.ref, worker.EFFECT_DONE, "wrong")
        await other.beat()
        await answer(clerk, probe.ref, worker.EFFECT_DONE, "shipped")
        events = await suite.follow(run_id)
    assert [each.result for each in settled(events)] == ["shipped"]


async def test_only_a_worker_with_the_label_is_asked(suite: Suite) -> None:
    # given a lost call that requires a label
    await apply_clerk(suite, worker_tool("lookup", RECONCILABLE, label="eu", timeout_s=0.1))
    channel = suite.channel("runcontrol")
    async with (
        session(channel, hello("lookup", instance="i-1")) as unlabelled,
        session(channel, hello("lookup", instance="i-2", labels=["eu"])) as clerk,
    ):
        run_id = await suite.submit("clerk")
        await clerk.take()

        # when one is asked
        probe = (await clerk.hear("probe")).probe
        await answer(clerk, probe.ref, worker.EFFECT_DONE, "shipped")
        await suite.follow(run_id)
        await unlabelled.beat()

    # then it is not the one without the label
    assert [each for each in unlabelled.said if each.HasField("probe")] == []
