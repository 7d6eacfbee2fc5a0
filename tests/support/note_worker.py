"""The worker of the example ``note-worker``, with the faults that are given by name."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runyard.worker.v1 import worker_pb2 as pb
from runyard.worker.v1 import worker_service_pb2 as service
from runyard_worker import session
from runyard_worker import worker as running
from runyard_worker.session import Action, Send, Session

WORKER = Path(__file__).parents[2] / "examples" / "note-worker" / "worker.py"


def _says_nothing_of_calls() -> None:
    empty = service.SessionRequest(heartbeat=pb.Heartbeat())
    _replace("beat", lambda _: [Send(empty)])


def _grants_too_much() -> None:
    _replace(
        "_credit",
        lambda _, calls: Send(service.SessionRequest(credit=pb.Credit(calls=calls + 1))),
    )


def _starts_without_go() -> None:
    session._AWAITS_GO = frozenset()


def _takes_any_go() -> None:
    original = Session._go

    def go(self: Session, ref: pb.CallRef) -> Any:
        held = self.attempts.get(ref.tool_call_id)
        return original(self, held.ref if held else ref)

    _replace("_go", go)


def _keeps_fenced_calls() -> None:
    _replace("_give_up", lambda _, ref: iter(()))


def _hears_no_cancel() -> None:
    _replace("_cancelled", lambda _, ref: iter(()))


def _forgets_calls() -> None:
    original = Session.connected

    def connected(self: Session) -> list[Action]:
        self.attempts.clear()
        return original(self)

    _replace("connected", connected)


def _forgets_results() -> None:
    original = Session.connected

    def connected(self: Session) -> list[Action]:
        self.unacknowledged.clear()
        return original(self)

    _replace("connected", connected)


def _hears_no_acknowledgement() -> None:
    _replace("_is_newest", lambda _, results, ref: False)


def _finds_nothing() -> None:
    def found(self: Session, result: pb.ProbeResult) -> list[Action]:
        nothing = pb.ProbeResult(ref=result.ref, effect=pb.EFFECT_NONE)
        return [Send(service.SessionRequest(probe_result=nothing))]

    _replace("found", found)


def _gives_nothing_back() -> None:
    drain = service.SessionRequest(drain=pb.Drain())
    _replace("stop", lambda _: [Send(drain)])


def _ends_with_the_server() -> None:
    original = Session.heard

    def heard(self: Session, message: service.SessionResponse) -> list[Action]:
        if message.HasField("drain"):
            raise SystemExit
        return original(self, message)

    _replace("heard", heard)


def _asks_once() -> None:
    original = Session.connected

    def connected(self: Session) -> list[Action]:
        self.questions.clear()
        return original(self)

    _replace("connected", connected)


def _trusts_the_connection() -> None:
    running._seconds = lambda duration: 0.0 if duration.seconds else 0.2


FAULTS: Mapping[str, Callable[[], None]] = {
    each.__name__.strip("_").replace("_", "-"): each
    for each in (
        _says_nothing_of_calls,
        _grants_too_much,
        _starts_without_go,
        _takes_any_go,
        _keeps_fenced_calls,
        _hears_no_cancel,
        _forgets_calls,
        _forgets_results,
        _hears_no_acknowledgement,
        _finds_nothing,
        _gives_nothing_back,
        _ends_with_the_server,
        _asks_once,
        _trusts_the_connection,
    )
}


def _replace(name: str, function: Callable[..., Any]) -> None:
    setattr(Session, name, function)


if __name__ == "__main__":
    for fault in sys.argv[1:]:
        FAULTS[fault]()
    runpy.run_path(str(WORKER))["worker"].main([])
