"""Which events of a run are worth a line, and when: what passes at once is not shown."""

from __future__ import annotations

from runyard.runcontrol.v1 import runcontrol_pb2 as pb

# A wait that ends within this time is none that a person has to know of.
HOLD_S = 0.1

_HELD = frozenset({"tool_call_planned", "run_parked"})
# Their lines say what the run waits for, and their decision that it goes on.
_TICKET_WAITS = frozenset(
    {
        pb.WAITING_KIND_APPROVAL,
        pb.WAITING_KIND_USER_INPUT,
        pb.WAITING_KIND_RECONCILE,
        pb.WAITING_KIND_TOOL_INPUT,
    }
)
# A resumption for one of these has no line of its own before.
_UNANNOUNCED = frozenset({"backoff", "recovery"})


class Quiet:
    """Takes those events of one run that have text or a line, in order.

    A call and a wait are held until something follows, or for ``HOLD_S``: a call whose result has
    come is one line, and a wait that has ended is none.
    """

    def __init__(self) -> None:
        self._held: list[pb.Event] = []
        self._route = ("", "")

    @property
    def holds(self) -> bool:
        return bool(self._held)

    def release(self) -> list[pb.Event]:
        """What is held, which nothing followed in time."""
        held, self._held = self._held, []
        return held

    def take(self, event: pb.Event) -> list[pb.Event]:
        """The events to show now."""
        kind = event.WhichOneof("kind")
        if self._says_nothing(event):
            return []
        if kind in _HELD:
            self._held.append(event)
            return []
        if kind == "ticket_opened":
            self._drop_call(event.ticket_opened.ticket.tool_call_id)
        if kind == "tool_call_settled":
            self._drop_call(event.tool_call_settled.tool_call_id)
            return [event]
        return [*self.release(), event]

    def _says_nothing(self, event: pb.Event) -> bool:
        match event.WhichOneof("kind"):
            case "run_queued" | "run_started":
                return True
            case "routed":
                return self._is_known(event.routed)
            case "run_resumed":
                return _UNANNOUNCED.isdisjoint(event.run_resumed.causes)
            case "run_parked":
                return all(reason.kind in _TICKET_WAITS for reason in event.run_parked.reasons)
            case "run_woken":
                return event.run_woken.cause == "decision" or self._ends_held_wait(event)
            case _:
                return False

    def _is_known(self, routed: pb.Routed) -> bool:
        """Whether the model is the one that was asked for, or the one that answered before."""
        before, self._route = self._route, (routed.target_id, routed.model_id)
        if routed.switched_from_model_id:
            return False
        return routed.model_id == routed.target_id or self._route == before

    def _ends_held_wait(self, woken: pb.Event) -> bool:
        """Whether the wait was too short to be shown; it is forgotten then."""
        parked = next((each for each in self._held if each.HasField("run_parked")), None)
        if parked is None or _seconds(parked, woken) >= HOLD_S:
            return False
        self._held.remove(parked)
        return True

    def _drop_call(self, call_id: str) -> None:
        """Forget a held call: the line that follows tells of it."""
        self._held = [each for each in self._held if _call_of(each) != call_id]


def _call_of(event: pb.Event) -> str | None:
    if not event.HasField("tool_call_planned"):
        return None
    return event.tool_call_planned.call.tool_call_id


def _seconds(earlier: pb.Event, later: pb.Event) -> float:
    """Between two events, by the server's clock."""
    return (later.create_time.ToDatetime() - earlier.create_time.ToDatetime()).total_seconds()
