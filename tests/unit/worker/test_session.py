"""What a worker says to what it hears, over connections that come and go."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from runyard.types.v1 import content_pb2 as content
from runyard.worker.v1 import worker_pb2 as pb
from runyard.worker.v1 import worker_service_pb2 as service
from runyard_worker.session import Action, Find, Send, Session, Start, Stop

ONCE = content.EFFECT_CLASS_AT_MOST_ONCE
TWICE = content.EFFECT_CLASS_IDEMPOTENT


def ref(call_id: str = "c", attempt: int = 1) -> pb.CallRef:
    return pb.CallRef(tool_call_id=call_id, attempt=attempt, fence=7)


def call(
    call_id: str = "c",
    attempt: int = 1,
    effect: content.EffectClass.ValueType = TWICE,
) -> service.SessionResponse:
    given = pb.Call(ref=ref(call_id, attempt), tool_id="t", effect_class=effect)
    return service.SessionResponse(call=given)


def go(of: pb.CallRef | None = None) -> service.SessionResponse:
    return service.SessionResponse(go=pb.Go(ref=of or ref()))


def welcome(*verdicts: pb.InflightVerdict) -> service.SessionResponse:
    return service.SessionResponse(welcome=pb.Welcome(verdicts=verdicts))


def done(of: pb.CallRef | None = None) -> pb.Result:
    return pb.Result(ref=of or ref(), succeeded=pb.Succeeded(content="x"))


def acknowledged(of: pb.CallRef | None = None) -> service.SessionResponse:
    return service.SessionResponse(result_ack=pb.ResultAck(ref=of or ref()))


def new(room: int = 2) -> Session:
    return Session("w", "i", [pb.ServedTool(tool_id="t")], ["eu"], room)


def said(actions: list[Action]) -> list[str]:
    """The actions, each by its name."""
    return [
        str(each.message.WhichOneof("message"))
        if isinstance(each, Send)
        else type(each).__name__.lower()
        for each in actions
    ]


def hello(session: Session) -> pb.Hello:
    (action,) = session.connected()
    assert isinstance(action, Send)
    return action.message.hello


def test_a_worker_says_what_it_serves_and_then_how_much_room_it_has() -> None:
    session = new()
    first = hello(session)
    assert (first.worker_id, first.instance_id, list(first.labels)) == ("w", "i", ["eu"])
    assert (first.min_protocol, first.max_protocol, first.tools[0].tool_id) == (1, 1, "t")
    (credit,) = session.heard(welcome())
    assert isinstance(credit, Send)
    assert credit.message.credit.calls == 2


def test_a_call_that_may_run_twice_starts_at_once() -> None:
    session = new()
    assert said(session.heard(call())) == ["accept", "start"]
    assert said(session.ended(done())) == ["result", "credit"]
    assert not session.idle
    assert session.heard(acknowledged()) == []
    assert session.idle


@pytest.mark.parametrize("effect", [ONCE, content.EFFECT_CLASS_RECONCILABLE])
def test_a_call_that_must_not_starts_when_its_acceptance_is_stored(
    effect: content.EffectClass.ValueType,
) -> None:
    session = new()
    assert said(session.heard(call(effect=effect))) == ["accept"]
    assert said(session.heard(go())) == ["start"]
    assert said(session.heard(go())) == []


def test_a_go_for_another_attempt_starts_nothing() -> None:
    session = new()
    session.heard(call(effect=ONCE))
    assert session.heard(go(ref(attempt=2))) == []


def test_a_lost_go_is_asked_for_again() -> None:
    # given a call that was accepted, and a connection that broke
    session = new()
    session.heard(call(effect=ONCE))

    # when the worker is back
    assert [each.tool_call_id for each in hello(session).inflight] == ["c"]
    keep = pb.InflightVerdict(call=ref(), action=pb.InflightVerdict.ACTION_KEEP)

    # then it accepts again, and has room for one call less
    again = session.heard(welcome(keep))
    assert said(again) == ["accept", "credit"]
    assert isinstance(again[1], Send)
    assert again[1].message.credit.calls == 1


def test_a_result_is_said_again_until_it_is_acknowledged() -> None:
    session = new()
    session.heard(call())
    session.ended(done())
    assert list(hello(session).undelivered_results) == [done()]
    session.heard(acknowledged(ref(attempt=2)))
    assert list(hello(session).undelivered_results) == [done()]
    session.heard(acknowledged())
    assert list(hello(session).undelivered_results) == []


def test_a_call_that_is_not_its_own_any_more_is_stopped() -> None:
    # given a running call
    session = new()
    session.heard(call())

    # when run control says that its lease is gone
    gone = service.SessionResponse(lease=pb.Lease(calls=[pb.CallLease(ref=ref())]))
    held = pb.CallLease(ref=ref("other"), until_time=Timestamp(seconds=1))
    gone.lease.calls.append(held)
    actions = session.heard(gone)

    # then it is stopped, and what it comes to is told to nobody
    assert said(actions) == ["stop", "credit"]
    assert actions[0] == Stop("c")
    assert session.ended(done()) == []
    assert session.heard(gone) == []


def test_a_call_that_was_given_up_at_a_new_connection_is_stopped() -> None:
    session = new()
    session.heard(call())
    abandon = pb.InflightVerdict(call=ref(), action=pb.InflightVerdict.ACTION_ABANDON)
    assert said(session.heard(welcome(abandon)))[0] == "stop"
    assert session.idle


def test_a_cancelled_call_is_stopped_or_never_begun() -> None:
    cancel = service.SessionResponse(cancel=pb.Cancel(ref=ref()))
    session = new()
    assert session.heard(cancel) == []
    session.heard(call(effect=ONCE))
    actions = session.heard(cancel)
    assert said(actions) == ["result", "credit"]
    assert isinstance(actions[0], Send)
    assert actions[0].message.result.cancelled.effect == pb.EFFECT_NONE
    session = new()
    session.heard(call())
    assert said(session.heard(cancel)) == ["stop"]


def test_a_newer_attempt_of_a_call_takes_the_place_of_an_older_one() -> None:
    session = new()
    session.heard(call())
    assert said(session.heard(call(attempt=2))) == ["stop", "credit", "accept", "start"]
    assert session.ended(done()) == []
    assert said(session.ended(done(ref(attempt=2)))) == ["result", "credit"]


def test_a_note_goes_with_one_sign_of_life() -> None:
    session = new()
    session.heard(call())
    session.noted("c", "half")
    session.noted("none", "nothing")
    first, second = session.beat(), session.beat()
    assert isinstance(first[0], Send)
    assert isinstance(second[0], Send)
    (told,) = first[0].message.heartbeat.calls
    assert (told.progress_seq, told.note) == (1, "half")
    (quiet,) = second[0].message.heartbeat.calls
    assert (quiet.progress_seq, quiet.note) == (0, "")


def test_a_worker_that_stops_gives_back_what_it_has_not_begun() -> None:
    # given one running call, and one that waits for Go
    session = new()
    session.heard(call("running"))
    session.heard(call("waiting", effect=ONCE))

    # when it is asked to stop
    actions = session.stop()

    # then it takes no more, and ends what it has begun
    assert said(actions) == ["drain", "handback"]
    assert said(session.heard(call("late"))) == ["handback"]
    assert said(session.heard(welcome())) == []
    assert said(session.ended(done(ref("running")))) == ["result"]
    assert session.heard(service.SessionResponse()) == []


def test_a_full_worker_asks_for_nothing() -> None:
    session = new(room=1)
    started = session.heard(call())
    assert isinstance(started[1], Start)
    keep = pb.InflightVerdict(call=ref(), action=pb.InflightVerdict.ACTION_KEEP)
    assert session.heard(welcome(keep)) == []


def test_a_probe_is_answered_with_what_is_found() -> None:
    # given a worker that is connected
    session = new()
    session.heard(welcome())

    # when it is asked about a lost attempt
    probe = pb.Probe(ref=ref(), tool_id="t", idempotency_key="c")
    assert session.heard(service.SessionResponse(probe=probe)) == [Find(probe)]

    # then it says what was found
    found = pb.ProbeResult(ref=ref(), effect=pb.EFFECT_DONE, content="x")
    assert session.found(found) == [Send(service.SessionRequest(probe_result=found))]


def asked(of: pb.CallRef | None = None) -> pb.NeedInput:
    return pb.NeedInput(ref=of or ref(), question="how much?", sealed_state=b"half done")


def test_a_question_is_sent_again_until_it_is_acknowledged() -> None:
    # given a call whose tool asks
    session = new()
    session.heard(welcome())
    session.heard(call())
    first = session.asked(asked())

    # when the connection is lost, and the attempt is still the worker's
    greeting = hello(session)
    keep = pb.InflightVerdict(call=ref(), action=pb.InflightVerdict.ACTION_KEEP)
    again = session.heard(welcome(keep))
    session.heard(acknowledged())

    # then the question frees its room, is brought along, asked again, and forgotten
    assert said(first) == ["need_input", "credit"]
    assert list(greeting.inflight) == [ref()]
    assert said(again) == ["need_input", "credit"]
    assert list(hello(session).inflight) == []
    assert session.idle


def test_a_question_that_was_heard_is_not_asked_again() -> None:
    # given a question whose acknowledgement was lost
    session = new()
    session.heard(call())
    session.asked(asked())

    # when run control says that the attempt is over
    abandon = pb.InflightVerdict(call=ref(), action=pb.InflightVerdict.ACTION_ABANDON)
    actions = session.heard(welcome(abandon))

    # then it is forgotten
    assert said(actions) == ["credit"]
    assert session.idle


def test_an_attempt_that_was_given_up_asks_nothing() -> None:
    # given a call that another worker has by now
    session = new()
    session.heard(call())
    fenced = pb.Lease(calls=[pb.CallLease(ref=ref())])
    session.heard(service.SessionResponse(lease=fenced))

    # when its tool asks
    # then nothing is said
    assert session.asked(asked()) == []
    assert session.asked(asked(ref("other"))) == []


def test_a_worker_that_stops_waits_until_its_question_is_heard() -> None:
    # given a worker that stops while a call runs
    session = new()
    session.heard(welcome())
    session.heard(call())
    session.stop()

    # when its tool asks
    actions = session.asked(asked())

    # then the worker ends once that is acknowledged
    assert said(actions) == ["need_input"]
    assert not session.idle
    session.heard(acknowledged(ref(attempt=2)))
    assert not session.idle
    session.heard(acknowledged())
    assert session.idle
