"""What a call would do, in words: its members in order, and who of them is set aside."""

from __future__ import annotations

from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1.router_service_pb2 import ExplainRequest, ExplainResponse, InferRequest
from services.cli.base.terminal import Terminal
from services.cli.runs.decision import history, title, why_skipped, words
from services.cli.runs.routing import pin_line
from services.cli.talk.clients import CALL_TIMEOUT_S, Clients
from services.wire.session_header import session_header

_COLUMNS = ("MEMBER", "RANK", "WEIGHT", "CIRCUIT", "SET ASIDE")
_BREAKERS = pb.BreakerState.DESCRIPTOR


async def explained(stubs: Clients, asked: InferRequest) -> ExplainResponse:
    """What the router says that it would do; behind a mesh, the one that the session is kept on."""
    session = asked.session
    header = session_header(
        thread_id=session.thread_id,
        run_id=session.run_id,
        session_key=session.session_key,
        agent_id=session.agent_id,
    )
    async with stubs.talking_to("router"):
        request = ExplainRequest(request=asked)
        return await stubs.router.Explain(request, timeout=CALL_TIMEOUT_S, metadata=header)


def show(answer: ExplainResponse, terminal: Terminal) -> None:
    """Show an answer to ``Explain``."""
    terminal.line(*title(answer.decision))
    terminal.line(_needed(answer.needs))
    if answer.HasField("pin"):
        terminal.line(*pin_line(answer.pin))
    if answer.HasField("switches_left"):
        terminal.line(f"may move {answer.switches_left} more times until it is answered")
    rows = [_row(each) for each in answer.candidates]
    terminal.table(_COLUMNS, rows, wrapping="SET ASIDE")
    if answer.HasField("error"):
        reason = f"{_reason(answer.error)}: {answer.error.message}"
        terminal.line(("no member would be called", "bold red"), f", {reason}")
        return
    decision = answer.decision
    terminal.line(
        "the first call would go to ",
        (decision.member_id, "bold green"),
        f" of provider {decision.provider_id}",
        f" (session: {history(decision)})",
    )


def _needed(needs: pb.Needs) -> str:
    found = [each.replace("_", " ") for each in needs.features]
    if needs.input_tokens:
        found.insert(0, f"a context of {needs.input_tokens:,} or more tokens")
    return f"needs {', '.join(found)}" if found else "needs nothing that a model could lack"


def _row(candidate: pb.Candidate) -> list[str]:
    weight = "failover only" if candidate.failover_only else str(candidate.weight)
    circuit = words(_BREAKERS, candidate.state.breaker)
    why = why_skipped(candidate.skipped) if candidate.HasField("skipped") else ""
    return [candidate.member_id, str(candidate.rank), weight, circuit, why]


def _reason(error: Status) -> str:
    info = ErrorInfo()
    for detail in error.details:
        detail.Unpack(info)
    return info.reason
