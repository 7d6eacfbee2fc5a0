"""What a worker says to what it hears: the protocol without connections, threads or clocks.

``Session`` outlives connections: it keeps the attempts that run, and the results and the questions
that were not acknowledged. Each method returns what is to be done, in order.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from runyard.types.v1 import content_pb2 as content
from runyard.worker.v1 import worker_pb2 as pb
from runyard.worker.v1 import worker_service_pb2 as service

PROTOCOL = 1
log = logging.getLogger("runyard_worker")

_AWAITS_GO = frozenset({content.EFFECT_CLASS_RECONCILABLE, content.EFFECT_CLASS_AT_MOST_ONCE})


@dataclass(frozen=True, slots=True)
class Send:
    message: service.SessionRequest


@dataclass(frozen=True, slots=True)
class Start:
    """Execute a call."""

    call: pb.Call


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop executing a call: its result is not wanted."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Find:
    """Find out whether a lost attempt took effect."""

    probe: pb.Probe


Action = Send | Start | Stop | Find


@dataclass(slots=True)
class Attempt:
    """A call that was taken.

    Attributes:
        started: Whether it is executed; before, it waits for Go.
        notes: How many notes it has written.
        note: The newest one that was not sent yet.
    """

    call: pb.Call
    started: bool = False
    notes: int = 0
    note: str = ""

    @property
    def ref(self) -> pb.CallRef:
        return self.call.ref


@dataclass(slots=True)
class Session:
    """The worker's side.

    Args:
        room: Calls that it takes at a time.
    """

    worker_id: str
    instance_id: str
    tools: Sequence[pb.ServedTool]
    labels: Sequence[str]
    room: int
    attempts: dict[str, Attempt] = field(default_factory=dict)
    unacknowledged: dict[str, pb.Result] = field(default_factory=dict)
    questions: dict[str, pb.NeedInput] = field(default_factory=dict)
    stopping: bool = False

    @property
    def idle(self) -> bool:
        """Whether nothing runs, and every result and every question was acknowledged."""
        return not self.attempts and not self.unacknowledged and not self.questions

    def connected(self) -> list[Action]:
        """The first message of a connection."""
        hello = pb.Hello(
            worker_id=self.worker_id,
            instance_id=self.instance_id,
            min_protocol=PROTOCOL,
            max_protocol=PROTOCOL,
            tools=self.tools,
            labels=self.labels,
            inflight=[
                *(each.ref for each in self.attempts.values()),
                *(each.ref for each in self.questions.values()),
            ],
            undelivered_results=self.unacknowledged.values(),
        )
        return [Send(service.SessionRequest(hello=hello))]

    def heard(self, message: service.SessionResponse) -> list[Action]:
        """What follows from what run control says."""
        kind = message.WhichOneof("message")
        if kind == "welcome":
            return list(self._welcomed(message.welcome))
        if kind == "call":
            return list(self._given(message.call))
        if kind == "go":
            return list(self._go(message.go.ref))
        if kind == "lease":
            gone = [each.ref for each in message.lease.calls if not each.HasField("until_time")]
            return [action for ref in gone for action in self._give_up(ref)]
        if kind == "cancel":
            return list(self._cancelled(message.cancel.ref))
        if kind == "schema_mismatch":
            _warn(message.schema_mismatch)
        if kind == "result_ack":
            ref = message.result_ack.ref
            if self._is_newest(self.unacknowledged, ref):
                del self.unacknowledged[ref.tool_call_id]
            if self._is_newest(self.questions, ref):
                del self.questions[ref.tool_call_id]
        return [Find(message.probe)] if kind == "probe" else []

    def _welcomed(self, welcome: pb.Welcome) -> Iterator[Action]:
        for verdict in welcome.verdicts:
            if verdict.action == pb.InflightVerdict.ACTION_ABANDON:
                yield from self._give_up(verdict.call)
                if self._is_newest(self.questions, verdict.call):
                    del self.questions[verdict.call.tool_call_id]
        for question in self.questions.values():
            yield Send(service.SessionRequest(need_input=question))
        for attempt in self.attempts.values():
            if not attempt.started:
                # Go may have been lost with the connection; it is given again.
                yield Send(service.SessionRequest(accept=pb.Accept(ref=attempt.ref)))
        free = self.room - len(self.attempts)
        if free > 0 and not self.stopping:
            yield self._credit(free)

    def _given(self, call: pb.Call) -> Iterator[Action]:
        if self.stopping:
            yield Send(service.SessionRequest(handback=pb.Handback(ref=call.ref)))
            return
        earlier = self.attempts.get(call.ref.tool_call_id)
        if earlier is not None:
            yield from self._give_up(earlier.ref)
        attempt = self.attempts[call.ref.tool_call_id] = Attempt(call)
        yield Send(service.SessionRequest(accept=pb.Accept(ref=call.ref)))
        if call.effect_class not in _AWAITS_GO:
            attempt.started = True
            yield Start(call)

    def _go(self, ref: pb.CallRef) -> Iterator[Action]:
        attempt = self.attempts.get(ref.tool_call_id)
        if attempt is not None and attempt.ref == ref and not attempt.started:
            attempt.started = True
            yield Start(attempt.call)

    def _give_up(self, ref: pb.CallRef) -> Iterator[Action]:
        """Stop an attempt that is another worker's, or nobody's, now."""
        attempt = self.attempts.get(ref.tool_call_id)
        if attempt is None or attempt.ref != ref:
            return
        del self.attempts[ref.tool_call_id]
        if attempt.started:
            yield Stop(ref.tool_call_id)
        if not self.stopping:
            yield self._credit(1)

    def _cancelled(self, ref: pb.CallRef) -> Iterator[Action]:
        attempt = self.attempts.get(ref.tool_call_id)
        if attempt is None or attempt.ref != ref:
            return
        if attempt.started:
            yield Stop(ref.tool_call_id)
        else:
            none = pb.Cancelled(effect=pb.EFFECT_NONE)
            yield from self.ended(pb.Result(ref=ref, cancelled=none))

    def noted(self, call_id: str, note: str) -> None:
        """Keep a note of a running call for the next sign of life."""
        attempt = self.attempts.get(call_id)
        if attempt is not None:
            attempt.notes += 1
            attempt.note = note

    def beat(self) -> list[Action]:
        """The signs of life of all attempts; also without any, for the connection."""
        calls = [
            pb.CallProgress(
                ref=each.ref, progress_seq=each.notes if each.note else 0, note=each.note
            )
            for each in self.attempts.values()
        ]
        for each in self.attempts.values():
            each.note = ""
        return [Send(service.SessionRequest(heartbeat=pb.Heartbeat(calls=calls)))]

    def ended(self, result: pb.Result) -> list[Action]:
        """Report a call; nothing when the attempt was given up meanwhile."""
        attempt = self.attempts.get(result.ref.tool_call_id)
        if attempt is None or attempt.ref != result.ref:
            return []
        del self.attempts[result.ref.tool_call_id]
        self.unacknowledged[result.ref.tool_call_id] = result
        said: list[Action] = [Send(service.SessionRequest(result=result))]
        return said if self.stopping else [*said, self._credit(1)]

    def found(self, result: pb.ProbeResult) -> list[Action]:
        """Say what has become of a lost attempt."""
        return [Send(service.SessionRequest(probe_result=result))]

    def asked(self, question: pb.NeedInput) -> list[Action]:
        """End an attempt with a question; nothing when it was given up meanwhile."""
        attempt = self.attempts.get(question.ref.tool_call_id)
        if attempt is None or attempt.ref != question.ref:
            return []
        del self.attempts[question.ref.tool_call_id]
        self.questions[question.ref.tool_call_id] = question
        said: list[Action] = [Send(service.SessionRequest(need_input=question))]
        return said if self.stopping else [*said, self._credit(1)]

    def stop(self) -> list[Action]:
        """Take no more calls, and give back those that were not started."""
        self.stopping = True
        unstarted = [each.ref for each in self.attempts.values() if not each.started]
        for ref in unstarted:
            del self.attempts[ref.tool_call_id]
        return [
            Send(service.SessionRequest(drain=pb.Drain())),
            *(Send(service.SessionRequest(handback=pb.Handback(ref=ref))) for ref in unstarted),
        ]

    def _credit(self, calls: int) -> Send:
        return Send(service.SessionRequest(credit=pb.Credit(calls=calls)))

    def _is_newest(self, kept: Mapping[str, pb.Result | pb.NeedInput], ref: pb.CallRef) -> bool:
        found = kept.get(ref.tool_call_id)
        return found is not None and found.ref == ref


def _warn(mismatch: pb.SchemaMismatch) -> None:
    log.warning(
        "calls of %s wait that this worker does not get: version %s of the tool has the schema %s",
        mismatch.tool_id,
        mismatch.tool_version,
        mismatch.json_schema,
    )
