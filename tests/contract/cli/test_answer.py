"""`runyard answer` as a process: which verdict it submits, and which tickets it refuses."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from runyard.runcontrol.v1 import runcontrol_service_pb2_grpc as rpc
from tests.contract.cli.process import runyard
from tests.contract.cli.scripted import served

pytestmark = pytest.mark.slow

Kind = pb.Ticket.Kind
KINDS = {
    "approval": pb.Ticket.KIND_APPROVAL,
    "reconcile": pb.Ticket.KIND_RECONCILE,
    "question": pb.Ticket.KIND_QUESTION,
    "tool_input": pb.Ticket.KIND_TOOL_INPUT,
}
IDS = {kind: f"t-{number}{'0' * 31}" for number, kind in enumerate(KINDS)}


class FourTickets(rpc.RunControlServiceServicer):
    """Has a ticket of each kind, and accepts what is decided, unless told otherwise."""

    def __init__(self) -> None:
        self.decided: list[service_pb.SubmitDecisionRequest] = []
        self.outcome: service_pb.DecisionOutcome = service_pb.DECISION_OUTCOME_ACCEPTED

    async def ListTickets(self, request: Any, context: Any) -> service_pb.ListTicketsResponse:
        tickets = [pb.Ticket(ticket_id=IDS[kind], kind=KINDS[kind]) for kind in KINDS]
        return service_pb.ListTicketsResponse(tickets=tickets)

    async def GetTicket(
        self, request: service_pb.GetTicketRequest, context: Any
    ) -> service_pb.GetTicketResponse:
        for kind, ticket_id in IDS.items():
            if ticket_id == request.ticket_id:
                ticket = pb.Ticket(ticket_id=ticket_id, kind=KINDS[kind])
                return service_pb.GetTicketResponse(ticket=ticket)
        await context.abort(grpc.StatusCode.NOT_FOUND, f"no ticket {request.ticket_id}")
        raise AssertionError("abort raises")

    async def SubmitDecision(
        self, request: service_pb.SubmitDecisionRequest, context: Any
    ) -> service_pb.SubmitDecisionResponse:
        self.decided.append(request)
        decision = pb.Decision(verdict=request.verdict, decided_by="eve")
        ticket = pb.Ticket(ticket_id=request.ticket_id, decision=decision)
        return service_pb.SubmitDecisionResponse(outcome=self.outcome, ticket=ticket)


async def answered(
    *arguments: str, server: FourTickets | None = None, text: str = ""
) -> tuple[Any, list[service_pb.SubmitDecisionRequest]]:
    """The outcome of the command, and what it submitted."""
    scripted = server or FourTickets()  # type: ignore[abstract]  # no other method is called
    async with served(rpc.add_RunControlServiceServicer_to_server, scripted) as address:
        outcome = await runyard(
            "answer", *arguments, text=text, RUNYARD_ENDPOINTS=f"runcontrol={address}"
        )
    return outcome, scripted.decided


@pytest.mark.parametrize("kind", ["question", "tool_input"])
@pytest.mark.parametrize("length", [34, 6])
async def test_a_text_answers_questions_of_agents_and_tools(kind: str, length: int) -> None:
    # when a ticket is answered, by its id or by the beginning of it
    outcome, (request,) = await answered(IDS[kind][:length], "the blue one", "--reason", "so")

    # then the answer is submitted for that ticket
    assert outcome.code == 0, outcome.err
    assert "decided: answer" in outcome.out
    assert request.ticket_id == IDS[kind]
    assert request.verdict == pb.Verdict(answer=pb.Answer(content="the blue one"))
    assert request.comment == "so"


async def test_a_tool_is_handed_a_json_value_and_a_text_may_come_from_the_input() -> None:
    _, (value,) = await answered(IDS["tool_input"], '{"amount": 17}', "--json")
    _, (piped,) = await answered(IDS["question"], "-", text="from a file")
    assert value.verdict.pass_to_tool.payload_json == '{"amount": 17}'
    assert piped.verdict.answer.content == "from a file"


@pytest.mark.parametrize(
    ("kind", "arguments", "says"),
    [
        ("approval", [], f"runyard decide {IDS['approval']} approve|deny"),
        ("reconcile", [], "did_not_happen"),
        ("question", ["--json"], "leave out --json"),
    ],
)
async def test_a_ticket_that_asks_for_something_else_is_refused(
    kind: str, arguments: list[str], says: str
) -> None:
    outcome, decided = await answered(IDS[kind], "yes", *arguments)
    assert outcome.code == 2
    assert says in " ".join(outcome.err.split())
    assert decided == []


async def test_an_ambiguous_beginning_and_an_unknown_ticket_are_refused() -> None:
    # given tickets, two of which begin alike
    server = FourTickets()  # type: ignore[abstract]
    ambiguous = dict.fromkeys(("question", "tool_input"), "t-77777")

    # when one is named by what both begin with, and one that is not there is named
    known = dict(IDS)
    try:
        IDS.update({kind: f"{begin}{len(kind):027}" for kind, begin in ambiguous.items()})
        several, _ = await answered("t-7777", "yes", server=server)
    finally:
        IDS.update(known)
    none, _ = await answered("t-999999", "yes", server=server)

    # then neither is decided
    assert (several.code, none.code) == (2, 1)
    assert "2 tickets begin with t-7777" in several.err
    assert server.decided == []


async def test_losing_against_another_decision_is_exit_code_1() -> None:
    server = FourTickets()  # type: ignore[abstract]
    server.outcome = service_pb.DECISION_OUTCOME_CONFLICT
    outcome, _ = await answered(IDS["question"], "yes", server=server)
    assert outcome.code == 1
    assert "decided before: answer by eve" in outcome.err
