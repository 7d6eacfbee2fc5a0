"""What the kit plays to a worker: each script is one way in which sessions go wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from google.protobuf.duration_pb2 import Duration

from runyard.types.v1 import content_pb2 as content
from runyard.worker.v1 import worker_pb2 as pb
from services.cli.conformance.conversation import Conversation, Deviation
from services.cli.conformance.stage import Stage

Script = Callable[[Stage], Awaitable[None]]

QUESTION = "may it?"
PURE = content.EFFECT_CLASS_PURE
ONCE = content.EFFECT_CLASS_AT_MOST_ONCE
RECONCILABLE = content.EFFECT_CLASS_RECONCILABLE


async def heartbeat_with_progress(stage: Stage) -> None:
    """A call that runs is in every heartbeat, with its note."""
    session = await stage.session()
    call = await _running(stage, session, "a")
    await session.beat_with(
        lambda beat: any(
            each.ref == call.ref and each.progress_seq >= 1 and each.note == "a-1"
            for each in beat.calls
        ),
        "a heartbeat with progress_seq from 1 and the note of the call",
    )
    for beat in await session.beats(3, "heartbeats while the call runs"):
        if call.ref not in [each.ref for each in beat.calls]:
            raise Deviation("the call in every heartbeat while it runs", f"{len(beat.calls)} calls")
    await _finishes(stage, session, call)


async def credit_not_exceeded(stage: Stage) -> None:
    """The worker grants what it has room for, and grants more when a call has ended."""
    session = await stage.session()
    room = await session.credit_of(2, "credit for at least 2 calls")
    calls = [await _running(stage, session, f"c{number}") for number in range(room)]
    await session.beats(2, "heartbeats while all calls run")
    if session.credit:
        seen = f"credit for {session.credit} more"
        raise Deviation(f"no credit beyond {room} calls while they run", seen)
    await _finishes(stage, session, calls[0])
    granted = await session.credit_of(1, "credit for 1 call after one has ended")
    if granted != 1:
        raise Deviation("credit for 1 call after one has ended", f"credit for {granted}")


async def accept_time_out(stage: Stage) -> None:
    """An acceptance that comes too late: the call is refused, and given again."""
    session = await stage.session()
    late = await _accepted(stage, session, "a", ONCE)
    session.say(lease=pb.Lease(calls=[pb.CallLease(ref=late.ref)]))
    again = await _accepted(stage, session, "a", ONCE, attempt=2)
    session.say(go=pb.Go(ref=late.ref))
    await session.beats(2, "heartbeats before Go")
    stage.ledger_is([], "Go of the first attempt does not start the second")
    session.say(go=pb.Go(ref=again.ref))
    await stage.ledger_has("a-2", "the second attempt starts after its Go")
    await _finishes(stage, session, again)
    stage.ledger_is(["a-2"], "only the second attempt runs")


async def lost_go(stage: Stage) -> None:
    """No call of an effect class that awaits Go starts before it, also over a reconnect."""
    session = await stage.session()
    call = await _accepted(stage, session, "a", ONCE)
    await session.beats(2, "heartbeats before Go")
    stage.ledger_is([], "an at-most-once call does not run before Go")
    session.cut()
    session = await stage.session_again(inflight=[call.ref], verdict=pb.InflightVerdict.ACTION_KEEP)
    await _takes(session, call)
    await session.beats(2, "heartbeats before Go")
    stage.ledger_is([], "an at-most-once call does not run before Go")
    session.say(go=pb.Go(ref=call.ref))
    session.say(go=pb.Go(ref=call.ref))
    await stage.ledger_has("a-1", "the call starts after Go")
    await _finishes(stage, session, call)
    stage.ledger_is(["a-1"], "the call runs once")


async def fence(stage: Stage) -> None:
    """A lease that is refused ends the attempt; the next one is another."""
    session = await stage.session()
    first = await _running(stage, session, "a")
    session.fenced.append(first.ref)
    await session.beat_with(lambda beat: not beat.calls, "no heartbeat for a fenced attempt")
    again = await _running(stage, session, "a", attempt=2)
    await _finishes(stage, session, again)


async def cancel(stage: Stage) -> None:
    """A cancelled call is reported as cancelled; one that has not started has no effect."""
    session = await stage.session()
    running = await _running(stage, session, "a")
    waiting = await _accepted(stage, session, "b", ONCE)
    for call in (waiting, running):
        session.say(cancel=pb.Cancel(ref=call.ref, reason="conformance", grace=Duration(seconds=5)))
        result: pb.Result = await session.next("result", "a result of the cancelled call")
        if result.ref != call.ref or not result.HasField("cancelled"):
            raise Deviation(f"Cancelled of {call.ref.tool_call_id}", " ".join(str(result).split()))
        if call is waiting and result.cancelled.effect != pb.EFFECT_NONE:
            seen = pb.Effect.Name(result.cancelled.effect)
            raise Deviation("EFFECT_NONE of a call that has not started", seen)
        _acknowledge(session, result)
    stage.ledger_is(["a-1"], "a call that was cancelled before Go does not run")


async def reconnect_with_inflight(stage: Stage) -> None:
    """A call goes on while its session is lost, and is brought along."""
    session = await stage.session()
    call = await _running(stage, session, "a")
    session.cut()
    session = await stage.session_again(inflight=[call.ref], verdict=pb.InflightVerdict.ACTION_KEEP)
    await _finishes(stage, session, call)
    stage.ledger_is(["a-1"], "the call runs once")


async def reconnect_and_abandon(stage: Stage) -> None:
    """A call that is not wanted after a reconnect ends, and its room is granted again."""
    session = await stage.session()
    call = await _running(stage, session, "a")
    session.cut()
    session = await stage.session_again(
        inflight=[call.ref], verdict=pb.InflightVerdict.ACTION_ABANDON
    )
    await session.beat_with(lambda beat: not beat.calls, "no heartbeat for an abandoned call")
    await _finishes(stage, session, await _running(stage, session, "b"))


async def duplicate_result(stage: Stage) -> None:
    """A result is sent again until it is acknowledged, and not after."""
    session = await stage.session()
    call = await _running(stage, session, "a")
    stage.release(call)
    first = await _result(session, call)
    session.cut()
    session = await stage.session_again(undelivered=[first])
    session.say(
        result_ack=pb.ResultAck(ref=call.ref, outcome=pb.ResultAck.OUTCOME_DUPLICATE),
    )
    await _finishes(stage, session, await _running(stage, session, "b"))
    session.cut()
    await stage.session_again()
    stage.ledger_is(["a-1", "b-1"], "each call runs once")


async def probe(stage: Stage) -> None:
    """Of a lost call the worker says whether it took effect, and with which result."""
    session = await stage.session()
    call = await _accepted(stage, session, "a", RECONCILABLE)
    session.say(go=pb.Go(ref=call.ref))
    await stage.ledger_has("a-1", "the call starts after Go")
    await _finishes(stage, session, call)
    happened = pb.ProbeResult(ref=call.ref, effect=pb.EFFECT_DONE, content="a-1")
    await _finds(session, call, happened, "EFFECT_DONE, with the result")
    never = stage.call("b", RECONCILABLE)
    nothing = pb.ProbeResult(ref=never.ref, effect=pb.EFFECT_NONE)
    await _finds(session, never, nothing, "EFFECT_NONE of a call that was never executed")
    stage.ledger_is(["a-1"], "a probe executes nothing")


async def drain_with_handback(stage: Stage) -> None:
    """On SIGTERM: no more calls, those not begun go back, those begun end, then exit code 0."""
    session = await stage.session()
    running = await _running(stage, session, "a")
    waiting = await _accepted(stage, session, "b", ONCE)
    stage.terminate()
    await session.next("drain", "Drain after SIGTERM")
    back: pb.Handback = await session.next("handback", "Handback of the call that waits for Go")
    if back.ref != waiting.ref:
        raise Deviation("Handback of the call that waits for Go", back.ref.tool_call_id)
    late = stage.call("c", PURE)
    session.give(late)
    back = await session.next("handback", "Handback of a call that comes after Drain")
    if back.ref != late.ref:
        raise Deviation("Handback of a call that comes after Drain", back.ref.tool_call_id)
    await _finishes(stage, session, running)
    await stage.exits()
    stage.ledger_is(["a-1"], "only the call that had begun runs")


async def drain_of_the_server(stage: Stage) -> None:
    """Run control stops: the worker comes back, with the call that runs."""
    session = await stage.session()
    call = await _running(stage, session, "a")
    session.say(drain=pb.Drain())
    session.cut()
    session = await stage.session_again(inflight=[call.ref], verdict=pb.InflightVerdict.ACTION_KEEP)
    await _finishes(stage, session, call)
    stage.ledger_is(["a-1"], "the call runs once")


async def half_open_connection(stage: Stage) -> None:
    """A connection that carries nothing any more: the worker notices, and connects again."""
    session = await stage.session()
    call = await _running(stage, session, "a")
    stage.relay.stall()
    session = await stage.session_again(inflight=[call.ref], verdict=pb.InflightVerdict.ACTION_KEEP)
    await _finishes(stage, session, call)
    stage.ledger_is(["a-1"], "the call runs once")


async def question(stage: Stage) -> None:
    """A tool asks a person: asked again until it is acknowledged; the answer begins an attempt."""
    session = await stage.session()
    first = stage.call("a", PURE, ask=QUESTION)
    await _begins(stage, session, first)
    stage.release(first)
    asked = await _asked(session, first)
    session.cut()
    session = await stage.session_again(
        inflight=[first.ref], verdict=pb.InflightVerdict.ACTION_KEEP
    )
    again = await _asked(session, first)
    if again != asked:
        raise Deviation("the same question as before", " ".join(str(again).split()))
    outcome = pb.ResultAck.OUTCOME_COMMITTED
    session.say(result_ack=pb.ResultAck(ref=first.ref, outcome=outcome))
    await session.beat_with(lambda beat: not beat.calls, "no heartbeat for a call that has asked")
    second = stage.call("a", PURE, attempt=2, ask=QUESTION)
    answer = pb.Resume(sealed_state=asked.sealed_state, answer_json='"yes"')
    second.resume.CopyFrom(answer)
    await _begins(stage, session, second)
    stage.release(second)
    _acknowledge(session, await _result(session, second, "a-2: yes"))
    session.cut()
    session = await stage.session_again()
    await _finishes(stage, session, await _running(stage, session, "b"))
    stage.ledger_is(["a-1", "a-2", "b-1"], "each attempt runs once")


SCRIPTS: tuple[Script, ...] = (
    heartbeat_with_progress,
    credit_not_exceeded,
    accept_time_out,
    lost_go,
    fence,
    cancel,
    reconnect_with_inflight,
    reconnect_and_abandon,
    duplicate_result,
    probe,
    drain_with_handback,
    drain_of_the_server,
    half_open_connection,
    question,
)


async def _accepted(
    stage: Stage, session: Conversation, name: str, effect: int, attempt: int = 1
) -> pb.Call:
    await session.credit_of(1, "credit for a call")
    call = stage.call(name, effect, attempt)
    session.give(call)
    await _takes(session, call)
    return call


async def _takes(session: Conversation, call: pb.Call) -> None:
    accept: pb.Accept = await session.next("accept", f"Accept of {call.ref.tool_call_id}")
    if accept.ref != call.ref:
        seen = f"Accept of {accept.ref.tool_call_id}, attempt {accept.ref.attempt}"
        raise Deviation(f"Accept of {call.ref.tool_call_id}, attempt {call.ref.attempt}", seen)


async def _running(stage: Stage, session: Conversation, name: str, attempt: int = 1) -> pb.Call:
    call = stage.call(name, PURE, attempt)
    await _begins(stage, session, call)
    return call


async def _finds(session: Conversation, lost: pb.Call, expected: pb.ProbeResult, rule: str) -> None:
    asked = pb.Probe(
        ref=lost.ref,
        idempotency_key=lost.idempotency_key,
        tool_id=lost.tool_id,
        arguments_json=lost.arguments_json,
        run_id=lost.run_id,
        thread_id=lost.thread_id,
        agent_id=lost.agent_id,
        principal=lost.principal,
    )
    session.say(probe=asked)
    found: pb.ProbeResult = await session.next("probe_result", "an answer to the probe")
    if found != expected:
        raise Deviation(rule, " ".join(str(found).split()))


async def _begins(stage: Stage, session: Conversation, call: pb.Call) -> None:
    """Give a call, which the worker takes and starts."""
    await session.credit_of(1, "credit for a call")
    session.give(call)
    await _takes(session, call)
    line = f"{call.ref.tool_call_id}-{call.ref.attempt}"
    await stage.ledger_has(line, "a pure call starts without Go")


async def _asked(session: Conversation, call: pb.Call) -> pb.NeedInput:
    """The question of a call."""
    asked: pb.NeedInput = await session.next("need_input", "NeedInput of the call")
    if asked.ref != call.ref or asked.question != QUESTION:
        raise Deviation(f"NeedInput with the question {QUESTION}", " ".join(str(asked).split()))
    return asked


async def _result(session: Conversation, call: pb.Call, content: str = "") -> pb.Result:
    """The result of a call that succeeds."""
    line = content or f"{call.ref.tool_call_id}-{call.ref.attempt}"
    result: pb.Result = await session.next("result", f"the result of {line}")
    if result.ref != call.ref or result.succeeded.content != line:
        raise Deviation(f"Succeeded of {line} with this text", " ".join(str(result).split()))
    return result


async def _finishes(stage: Stage, session: Conversation, call: pb.Call) -> None:
    stage.release(call)
    _acknowledge(session, await _result(session, call))


def _acknowledge(session: Conversation, result: pb.Result) -> None:
    session.say(result_ack=pb.ResultAck(ref=result.ref, outcome=pb.ResultAck.OUTCOME_COMMITTED))
