"""Commands as processes against real servers: what they print, and how they exit."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from runyard.runcontrol.v1 import runcontrol_service_pb2_grpc as rpc
from services.cli.manifests.files import read_files
from services.cli.manifests.resources import load
from services.pool.main import SERVICE as POOL
from services.pool.settings import PoolSettings
from tests.contract.cli.process import registry, runyard
from tests.contract.cli.scripted import served
from tests.support.serving import serving

pytestmark = pytest.mark.slow

QUICKSTART = Path(__file__).resolve().parents[3] / "examples" / "quickstart"


class Tickets(rpc.RunControlServiceServicer):
    """A run control with one open ticket, which the first decision closes."""

    def __init__(self) -> None:
        self.ticket = pb.Ticket(
            ticket_id="t1",
            kind=pb.Ticket.KIND_APPROVAL,
            state=pb.Ticket.STATE_OPEN,
            run_id="r1",
            agent_id="scout",
            tool_id="pool_send",
            arguments_json='{"body": "hi"}',
        )

    async def ListTickets(
        self, request: service_pb.ListTicketsRequest, context: Any
    ) -> service_pb.ListTicketsResponse:
        """Two pages, the first of them empty."""
        if not request.page_token:
            return service_pb.ListTicketsResponse(next_page_token="2")
        still_open = self.ticket.state == pb.Ticket.STATE_OPEN
        return service_pb.ListTicketsResponse(tickets=[self.ticket] if still_open else [])

    async def GetTicket(
        self, request: service_pb.GetTicketRequest, context: Any
    ) -> service_pb.GetTicketResponse:
        return service_pb.GetTicketResponse(ticket=self.ticket)

    async def SubmitDecision(
        self, request: service_pb.SubmitDecisionRequest, context: Any
    ) -> service_pb.SubmitDecisionResponse:
        outcome = service_pb.DECISION_OUTCOME_ACCEPTED
        if self.ticket.state == pb.Ticket.STATE_OPEN:
            self.ticket.state = pb.Ticket.STATE_DECIDED
            self.ticket.decision.decided_by = "ann"
            self.ticket.decision.decision_id = request.decision_id
            self.ticket.decision.verdict.CopyFrom(request.verdict)
            self.ticket.decision.comment = request.comment
        elif self.ticket.decision.decision_id == request.decision_id:
            outcome = service_pb.DECISION_OUTCOME_DUPLICATE
        else:
            outcome = service_pb.DECISION_OUTCOME_CONFLICT
        return service_pb.SubmitDecisionResponse(outcome=outcome, ticket=self.ticket)


async def test_manifests_are_applied_planned_and_found_unchanged(tmp_path: Path) -> None:
    async with registry(tmp_path) as at:
        # when the quickstart is planned, applied, and applied again
        endpoint = ("--endpoint", at["RUNYARD_ENDPOINTS"])
        planned = await runyard("apply", "-f", str(QUICKSTART), "--dry-run", *endpoint)
        applied = await runyard("apply", "-f", str(QUICKSTART), "-o", "json", **at)
        again = await runyard("apply", "-f", str(QUICKSTART), **at)

    # then the plan changed nothing, and the second time nothing was left to do
    assert "the registry would be at version 2" in planned.out
    assert "+ model_pool/narration created" in planned.out
    answer = json.loads(applied.out)
    assert answer["version"] == "2"
    assert {change["action"] for change in answer["changes"]} == {"CHANGE_ACTION_CREATED"}
    assert len(answer["changes"]) == len(load(read_files([str(QUICKSTART)])).resources)
    assert "= model_pool/narration unchanged" in again.out
    assert "the registry is at version 2" in again.out
    assert [planned.code, applied.code, again.code] == [0, 0, 0]


async def test_a_dry_run_shows_the_fields_that_would_change(tmp_path: Path) -> None:
    async with registry(tmp_path) as at:
        before = "kind: Provider\nid: p\nspec: {builtin: {}, timeout: 30s}\n"
        await runyard("apply", "-f", "-", text=before, **at)
        after = before.replace("30s", "60s")
        planned = await runyard("apply", "-f", "-", "--dry-run", text=after, **at)
    assert "~ provider/p updated" in planned.out
    assert '~ timeout: "30s" → "60s"' in planned.out


async def test_every_one_of_many_problems_is_reported(tmp_path: Path) -> None:
    """An error has room for a few dozen; the command asks for the rest."""
    # given more dangling references than one error can name
    dangling = tmp_path / "dangling.yaml"
    agent = "{{kind: Agent, id: a{}, spec: {{model_id: nowhere}}}}\n"
    dangling.write_text("---\n".join(agent.format(n) for n in range(300)))

    # when
    async with registry(tmp_path) as at:
        answer = await runyard("apply", "-f", str(dangling), **at)

    # then
    assert "300 problem(s); nothing was applied" in answer.err
    assert answer.err.count("spec.model_id: needs model or pool 'nowhere'") == 300


async def test_problems_name_file_line_and_field_wherever_they_are_found(tmp_path: Path) -> None:
    # given one file that is malformed, and one whose reference dangles
    malformed = tmp_path / "malformed.yaml"
    malformed.write_text("kind: Agent\nid: a\nspec:\n  modle_id: m\n")
    dangling = tmp_path / "dangling.yaml"
    dangling.write_text("# missing model\nkind: Agent\nid: a\nspec:\n  model_id: nowhere\n")

    # when
    async with registry(tmp_path) as at:
        here = await runyard("apply", "-f", str(malformed), **at)
        there = await runyard("apply", "-f", str(dangling), **at)

    # then
    assert (here.code, there.code) == (2, 2)
    assert f'{malformed}:4: spec.modle_id: unknown field "modle_id", did you mean "model_id"?' in (
        here.err
    )
    assert f"{dangling}:5: Agent a: spec.model_id: " in there.err
    assert "nowhere" in there.err
    assert "Traceback" not in here.err + there.err


async def test_the_version_is_that_of_the_distribution() -> None:
    answer = await runyard("--version")
    assert (answer.code, answer.out) == (0, f"runyard {metadata.version('runyard-services')}\n")


async def test_a_pool_is_opened_once(tmp_path: Path) -> None:
    # given a pool server
    settings = PoolSettings(listen="127.0.0.1:0", database_url=f"sqlite:///{tmp_path / 'pool.db'}")
    async with serving(POOL.build, settings) as served:
        endpoint = f"pool={served.target}"

        # when the same pool is opened twice, the second time for a program
        first = await runyard("pool", "open", "harbour", "--endpoint", endpoint)
        again = await runyard("pool", "open", "harbour", "--endpoint", endpoint, "-o", "json")

    # then it is there after the first and unchanged by the second
    assert (first.code, first.out) == (0, "pool harbour is open\n")
    assert again.code == 0
    assert json.loads(again.out)["pool"]["pool_id"] == "harbour"
    assert json.loads(again.out)["opened"] is False


async def test_tickets_are_listed_and_decided_once() -> None:
    scripted = Tickets()  # type: ignore[abstract]  # no other method is called
    async with served(rpc.add_RunControlServiceServicer_to_server, scripted) as address:
        at = {"RUNYARD_ENDPOINTS": f"runcontrol={address}"}

        # when a ticket is looked at, decided, decided again, and decided by somebody else
        waiting = await runyard("tickets", **at)
        as_json = await runyard("tickets", "-o", "json", **at)
        approve = ("decide", "t1", "approve", "--reason", "fine", "--decision-id", "d1")
        first = await runyard(*approve, **at)
        repeat = await runyard(*approve, **at)
        late = await runyard("decide", "t1", "deny", **at)
        nothing = await runyard("tickets", **at)

    # then one decision won, its repeat is harmless, and the loser hears who won
    assert "t1  approval" in waiting.out
    assert "may scout call pool_send?" in waiting.out
    assert json.loads(as_json.out)["tickets"][0]["ticket_id"] == "t1"
    assert (first.code, repeat.code, late.code) == (0, 0, 1)
    assert "accepted before" in repeat.out
    assert "decided before: approve by ann" in late.err
    assert nothing.out == "nothing waits for a decision\n"
    assert scripted.ticket.decision.comment == "fine"


@pytest.mark.parametrize(
    ("kind", "verdict", "fitting"),
    [
        ("question", ("approve",), "answer, deny, cancel_call, cancel_run"),
        ("reconcile", ("answer", "--content", "yes"), "happened, did_not_happen, abandon"),
        ("approval", ("did_not_happen",), "approve, approve_edited, pass_to_tool, deny, answer"),
    ],
)
async def test_a_verdict_that_does_not_fit_the_ticket_is_not_sent(
    kind: str, verdict: tuple[str, ...], fitting: str
) -> None:
    # given a ticket
    scripted = Tickets()  # type: ignore[abstract]  # no other method is called
    scripted.ticket.kind = pb.Ticket.Kind.Value(f"KIND_{kind.upper()}")
    async with served(rpc.add_RunControlServiceServicer_to_server, scripted) as address:
        # when something is decided that does not fit its kind
        at = {"RUNYARD_ENDPOINTS": f"runcontrol={address}"}
        done = await runyard("decide", "t1", *verdict, **at)

    # then it is refused with what fits, and the ticket is open
    assert done.code == 1
    said = " ".join(done.err.split())
    assert f"{verdict[0]} does not decide a {kind} ticket; these do: {fitting}" in said
    assert scripted.ticket.state == pb.Ticket.STATE_OPEN


@pytest.mark.parametrize(
    ("kind", "arguments", "verdict"),
    [
        (
            pb.Ticket.KIND_APPROVAL,
            ("approve_edited", "--arguments", '{"a": 1}'),
            pb.Verdict(approve_edited=pb.ApproveEdited(arguments_json='{"a": 1}')),
        ),
        (
            pb.Ticket.KIND_RECONCILE,
            ("happened", "--content", "shipped"),
            pb.Verdict(happened=pb.Happened(content="shipped")),
        ),
        (99, ("cancel_call",), pb.Verdict(cancel_call=pb.CancelCall())),
    ],
    ids=["edited", "happened", "a kind of a newer server"],
)
async def test_a_verdict_is_sent_with_what_it_says(
    kind: pb.Ticket.Kind.ValueType, arguments: tuple[str, ...], verdict: pb.Verdict
) -> None:
    scripted = Tickets()  # type: ignore[abstract]  # no other method is called
    scripted.ticket.kind = kind
    async with served(rpc.add_RunControlServiceServicer_to_server, scripted) as address:
        at = {"RUNYARD_ENDPOINTS": f"runcontrol={address}"}
        done = await runyard("decide", "t1", *arguments, **at)
    assert done.code == 0
    assert scripted.ticket.decision.verdict == verdict


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("infer", "narration", "hi", "--endpoint", "router=127.0.0.1:1"), 3, "runyard up"),
        (("infer", "narration", "hi", "--endpoint", "router"), 2, "service=host:port"),
        (("run", "narrator", "hi", "--topic", "t"), 2, "--topic needs --pool"),
        (("watch", "run", "r", "--after", "#"), 2, "no cursor"),
        (("apply", "-f", "/nowhere.yaml"), 2, "cannot read /nowhere.yaml"),
        (("decide", "t1", "approve_edited"), 2, "approve_edited needs --arguments"),
        (("trace", "abcdef", "--data", "/nowhere"), 2, "--data DIR"),
        (("demo", "--base-url", "http://127.0.0.1:1/v1"), 2, "go together"),
        (("demo", "--base-url", "x", "--model", "m", "--api-key-env", "NO"), 2, "NO is not set"),
        (("serve", "rooter"), 2, "rooter"),
    ],
)
async def test_errors_say_what_to_do_and_exit_with_their_code(
    arguments: tuple[str, ...], code: int, words: str
) -> None:
    answer = await runyard(*arguments)
    assert answer.code == code, answer.err
    assert words in answer.err
    assert "Traceback" not in answer.err


async def test_an_error_for_programs_is_json_on_standard_error() -> None:
    answer = await runyard(
        "infer", "narration", "hi", "-o", "json", "--endpoint", "router=127.0.0.1:1"
    )
    assert json.loads(answer.err)["error"]["reason"] == "UNREACHABLE"
    assert answer.out == ""


async def test_settings_can_be_checked_before_a_start() -> None:
    fine = await runyard("check-config", "router", RUNYARD_ROUTER_LISTEN="127.0.0.1:9")
    typo = await runyard("check-config", RUNYARD_POOL_LISTN="127.0.0.1:9")
    assert "RUNYARD_ROUTER_LISTEN=127.0.0.1:9" in fine.out
    assert (fine.code, typo.code) == (0, 2)
    assert "RUNYARD_POOL_LISTEN" in typo.err
