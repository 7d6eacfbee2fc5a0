"""What commands show: events, decisions, errors; and where they look for servers."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import text_format

from runyard.provider.v1 import provider_pb2 as provider
from runyard.registry.v1 import registry_service_pb2 as registry_pb
from runyard.router.v1 import router_pb2
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from services.chassis.calls.rpc_status import status_of
from services.chassis.errors import InvalidRequestError, StoreUnavailableError, Violation
from services.cli.base.exits import CliError
from services.cli.base.layout import safe
from services.cli.base.terminal import Output, error_json
from services.cli.demo.manifests import RealModel, quickstart
from services.cli.local.plan import make_plan
from services.cli.registry.applying import show_applied
from services.cli.runs.decision import describe
from services.cli.runs.view import RunView
from services.cli.talk.clients import explain_error
from services.cli.talk.endpoints import DEFAULTS, read_endpoints
from tests.unit.cli.test_changes import change, screen


def shown(*events: pb.Event, **view: object) -> list[str]:
    terminal, file = screen()
    run_view = RunView(terminal, **view)  # type: ignore[arg-type]
    for event in events:
        run_view.show(event)
    return file.getvalue().splitlines()


def said(text: str) -> pb.Event:
    return pb.Event(text_delta={"text": text})


CALL = pb.ToolInvocation(tool_call_id="c1", tool_id="pool_send", arguments_json="{}")
PLANNED = pb.Event(tool_call_planned={"call": CALL})


def test_text_goes_on_in_its_line_until_something_else_happens() -> None:
    assert shown(said("The "), said("harbour"), PLANNED, said("wakes")) == [
        "» The harbour",
        "· calls pool_send {}",
        "» wakes",
    ]


def heard(seq: int, text: str) -> pb.Event:
    return pb.Event(run_seq=seq, text_delta={"text": text})


def committed(seq: int, text: str, first: int, last: int) -> pb.Event:
    message = pb.ThreadMessage(message={"parts": [{"text": {"text": text}}]})
    covering = pb.MessageCommitted(
        message=message, covers_from_run_seq=first, covers_to_run_seq=last
    )
    return pb.Event(run_seq=seq, message_committed=covering)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        # all its deltas came; none was there any more; only the first and the last came; it was
        # streamed without deltas; the next one is not mixed up with it
        ([heard(4, "a "), heard(5, "b"), committed(6, "a b", 4, 5)], ["» a b"]),
        ([committed(6, "a b", 4, 5)], ["» a b"]),
        (
            [heard(4, "a "), heard(6, "c"), committed(7, "a b c", 4, 6)],
            ["» a c", "· the whole answer:", "» a b c"],
        ),
        ([committed(6, "a b", 0, 0)], []),
        (
            [committed(6, "a", 4, 5), PLANNED, heard(8, "b"), committed(9, "b", 8, 8)],
            ["» a", "· calls pool_send {}", "» b"],
        ),
    ],
)
def test_an_answer_whose_deltas_are_gone_is_shown_by_its_message(
    events: list[pb.Event], expected: list[str]
) -> None:
    assert shown(*events) == expected


def test_two_runs_that_speak_at_once_do_not_share_a_line() -> None:
    # given two views of one terminal, one of which waits for whole texts
    terminal, file = screen()
    live = RunView(terminal, label="a")
    whole = RunView(terminal, label="b", whole=True)

    # when they take turns
    for text in ("one ", "two"):
        live.show(said(text))
        whole.show(said(text))
    whole.show(PLANNED)

    # then each text is in a line of its own
    assert file.getvalue().splitlines() == [
        "a » one two",
        "b » one two",
        "b · calls pool_send {}",
    ]


def test_what_a_run_waits_for_and_what_wakes_it_is_named() -> None:
    waiting = pb.WaitingReason(kind=pb.WAITING_KIND_APPROVAL, ticket_id="t1", tool_call_id="c1")
    ticket = pb.Ticket(ticket_id="t1", tool_id="pool_send", arguments_json='{"body": "hi"}')
    decision = pb.Decision(verdict={"deny": {}}, decided_by="ann", comment="no")
    failed = {"tool_call_id": "c1", "state": pb.ToolInvocation.STATE_FAILED, "result": "denied"}
    assert shown(
        PLANNED,
        pb.Event(ticket_opened={"ticket": ticket}),
        pb.Event(run_parked={"reasons": [waiting]}),
        pb.Event(ticket_decided={"decision": decision}),
        pb.Event(run_woken={"cause": "wake", "wake_status": pb.WAKE_STATUS_TIMED_OUT}),
        pb.Event(run_resumed={"causes": ["recovery", "wake"]}),
        pb.Event(tool_call_settled=failed),
    )[1:] == [
        '· asks for a decision: may it call pool_send with {"body": "hi"}',
        "·   runyard decide t1 approve",
        "· parked, holds nothing, waits for approval (pool_send)",
        "· decision: deny by ann: no",
        "· woken by a wake from the pool (timed out)",
        "· goes on for a recovery",
        "· pool_send failed: denied",
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {
                "failure": provider.FAILURE_CLASS_RATE_LIMIT,
                "sticky": router_pb2.STICKY_OUTCOME_MOVED,
            },
            "rate limit",
        ),
        (
            {
                "skip_reason": router_pb2.SKIP_REASON_CIRCUIT_OPEN,
                "sticky": router_pb2.STICKY_OUTCOME_MOVED,
            },
            "circuit open",
        ),
        ({"sticky": router_pb2.STICKY_OUTCOME_PINNED}, "pinned"),
    ],
)
def test_a_moved_call_names_both_models_and_the_reason(fields: dict[str, Any], words: str) -> None:
    moved = pb.Routed(
        target_id="narration",
        model_id="south",
        switched_from_model_id="north",
        attempts=2,
        **fields,
    )
    assert shown(pb.Event(routed=moved)) == [
        f"· routed narration: north → south because of {words}, 2 attempts"
    ]


@pytest.mark.parametrize(
    ("reason", "completed"),
    [
        (pb.TERMINATION_REASON_NATURAL_END, True),
        (pb.TERMINATION_REASON_MAX_ROUNDS, True),
        (pb.TERMINATION_REASON_CANCELLED, False),
        (pb.TERMINATION_REASON_ERROR, False),
    ],
)
def test_only_an_answer_counts_as_completed(
    reason: pb.TerminationReason.ValueType, completed: bool
) -> None:
    view = RunView(screen()[0])
    view.show(pb.Event(run_finished={"termination": {"reason": reason}}))
    assert view.completed is completed


def test_what_a_model_says_cannot_act_on_the_terminal() -> None:
    (line,) = shown(said("\x1b[2Jgone\x07\r"))
    assert "\x1b" not in line
    assert "\x07" not in line
    assert safe("tab\tline\nübung ✓") == "tab\tline\nübung ✓"


def test_programs_get_one_json_value_per_event_and_nothing_else() -> None:
    terminal, file = screen(Output.JSON)
    view = RunView(terminal)
    view.show(said("The "))
    view.show(PLANNED)
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert lines[0]["text_delta"] == {"text": "The "}
    assert lines[0]["run_seq"] == "0"
    assert lines[1]["tool_call_planned"]["call"]["tool_id"] == "pool_send"


def test_a_decision_tells_who_answered_and_who_did_not() -> None:
    # given a call that passed one member over, failed on the second and moved to the third
    written = """
        target_id: "narration" pool: true registry_version: 7
        member_id: "c" provider_id: "p" home_member_id: "a" sticky: STICKY_OUTCOME_MOVED
        skipped { member_id: "a" reason: SKIP_REASON_QUOTA_DEADLINE until { seconds: 3661 } }
        attempts {
          member_id: "b" upstream_model: "big" kind: ATTEMPT_KIND_INITIAL
          outcome: ATTEMPT_OUTCOME_FAILED failure: FAILURE_CLASS_RATE_LIMIT
          http_status: 429 retry_after { seconds: 30 }
        }
        attempts {
          member_id: "c" upstream_model: "small" kind: ATTEMPT_KIND_FAILOVER
          outcome: ATTEMPT_OUTCOME_SUCCEEDED
          usage { input_tokens: 90 output_tokens: 8 cost: "0.0021" currency: "EUR" }
        }
    """
    decision = text_format.Parse(written, router_pb2.RouteDecision())

    # when it is described
    terminal, file = screen()
    for parts in describe(decision):
        terminal.line(*parts)

    # then it reads in the order in which it happened
    assert file.getvalue().splitlines() == [
        "pool narration, at home on a, registry version 7",
        "· a was not called: quota deadline until 01:01:01 UTC",
        "✗ b (big): failed, rate limit (HTTP 429), asked to be left alone for 30 s",
        "✓ c (small): succeeded, 90 tokens in, 8 out, 0.0021 EUR [failover]",
        "answered by c of provider p instead of a (session: moved)",
    ]


@pytest.mark.parametrize(
    ("moved", "why"),
    [
        ("move_reason: FAILURE_CLASS_RATE_LIMIT", ", rate limit"),
        ("move_skip_reason: SKIP_REASON_CIRCUIT_OPEN", ", circuit open"),
        ("", ""),
    ],
)
def test_a_decision_tells_since_when_and_why_its_session_is_elsewhere(moved: str, why: str) -> None:
    # given
    since = "1970-01-01 01:01:01 UTC"
    written = f"""
        target_id: "narration" pool: true registry_version: 7 session: "thread:t"
        member_id: "c" provider_id: "p" home_member_id: "a" sticky: STICKY_OUTCOME_PINNED
        move_time {{ seconds: 3661 }} {moved}
    """

    # when
    terminal, file = screen()
    for parts in describe(text_format.Parse(written, router_pb2.RouteDecision())):
        terminal.line(*parts)

    # then
    assert file.getvalue().splitlines() == [
        "pool narration, session thread:t, at home on a, registry version 7",
        f"answered by c of provider p instead of a (session: pinned since {since}{why})",
    ]


def rpc_error(error: Exception | grpc.StatusCode) -> grpc.aio.AioRpcError:
    if isinstance(error, grpc.StatusCode):
        return grpc.aio.AioRpcError(error, grpc.aio.Metadata(), grpc.aio.Metadata(), "details")
    status = status_of(error, "registry.runyard.dev")  # type: ignore[arg-type]
    trailers = grpc.aio.Metadata(*status.trailers)
    return grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), trailers, status.message)


def test_a_server_that_is_not_there_is_told_with_the_way_to_start_it() -> None:
    error = explain_error("router", "127.0.0.1:7402", rpc_error(grpc.StatusCode.UNAVAILABLE))
    assert error.message == "cannot reach router at 127.0.0.1:7402"
    assert error.exit_code == 3
    assert "runyard up" in error.hint


def test_an_error_of_a_server_keeps_its_reason_and_its_violations() -> None:
    refused = InvalidRequestError.of([Violation("a.b", "must not be empty")])
    error = explain_error("registry", "x:1", rpc_error(refused))
    assert (error.reason, error.exit_code) == ("INVALID_REQUEST", 2)
    assert error.details == ("a.b: must not be empty",)
    assert error_json(error)["error"]["reason"] == "INVALID_REQUEST"
    assert error_json(error)["error"]["details"] == ["a.b: must not be empty"]
    assert error_json(error)["error"]["metadata"]["retry"]


def test_a_server_that_says_when_to_come_back_is_believed() -> None:
    away = StoreUnavailableError("the database is away", retry_after_s=2.5)
    error = explain_error("registry", "x:1", rpc_error(away))
    assert (error.hint, error.exit_code) == ("try again in 2.5 s", 3)


def test_endpoints_come_from_options_then_the_environment_then_the_defaults() -> None:
    environment = {"RUNYARD_ENDPOINTS": "router=a:1, pool=b:2"}
    assert read_endpoints(environment, ["pool=c:3", "runcontrol=[::1]:4"]) == {
        "registry": "127.0.0.1:7401",
        "router": "a:1",
        "runcontrol": "[::1]:4",
        "pool": "c:3",
    }


@pytest.mark.parametrize("text", ["router", "router=host", "router=:1", "router=host:x"])
def test_a_malformed_endpoint_is_wrong_use(text: str) -> None:
    with pytest.raises(CliError, match="is not service=host:port") as error:
        read_endpoints({}, [text])
    assert error.value.exit_code == 2


def test_an_unknown_service_is_told_with_the_nearest_one() -> None:
    with pytest.raises(CliError, match="did you mean 'router'"):
        read_endpoints({}, ["ruoter=a:1"])


def test_a_plan_gives_each_server_its_own_settings_over_inherited_ones(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 0)
    kept = {"KEY": "secret", "RUNYARD_RUNCONTROL_LOG_LEVEL": "debug"}
    inherited = {**kept, "RUNYARD_RUNCONTROL_LISTEN": "0.0.0.0:1"}
    settings = plan.environment("runcontrol", inherited)
    ports = plan.ports
    assert len({plan.receiver_port, *ports.values()}) == 5
    assert settings == {
        **kept,
        "RUNYARD_RUNCONTROL_LISTEN": f"127.0.0.1:{ports['runcontrol']}",
        "RUNYARD_RUNCONTROL_DATABASE_URL": f"sqlite:///{tmp_path}/runcontrol.db",
        "RUNYARD_RUNCONTROL_REGISTRY_TARGET": f"127.0.0.1:{ports['registry']}",
        "RUNYARD_RUNCONTROL_ROUTER_TARGET": f"127.0.0.1:{ports['router']}",
        "RUNYARD_RUNCONTROL_POOL_TARGET": f"127.0.0.1:{ports['pool']}",
        "RUNYARD_RUNCONTROL_OTLP_ENDPOINT": f"http://127.0.0.1:{plan.receiver_port}",
    }


def test_ports_follow_the_first_and_a_taken_one_is_refused(tmp_path: Path) -> None:
    # given a port that is free, and one above it that is taken
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert port > 1024 + 4

        # when a plan would need it
        with pytest.raises(CliError, match=f"port .*{port}.* is taken") as refused:
            make_plan(tmp_path, port - 2)

    # then the way out is told, and without it the ports are in a row
    assert "--port-base" in refused.value.hint
    assert refused.value.exit_code == 2
    assert DEFAULTS == {
        "registry": "127.0.0.1:7401",
        "router": "127.0.0.1:7402",
        "runcontrol": "127.0.0.1:7403",
        "pool": "127.0.0.1:7404",
    }


def test_the_quickstart_is_valid_and_a_real_model_takes_the_place_of_one_member() -> None:
    plain = quickstart()
    real = quickstart(RealModel("http://127.0.0.1:8000/v1", "small-135m", "KEY"))
    both = zip(plain.resources, real.resources, strict=True)
    changed = [after for before, after in both if before != after]
    assert plain.problems == []
    assert [r.WhichOneof("resource") for r in changed] == ["provider", "model"]
    assert changed[0].provider.WhichOneof("adapter") == "openai"
    assert changed[0].provider.credential_ref.env == "KEY"
    assert changed[1].model.upstream_model == "small-135m"


def test_a_plan_says_where_it_is_not_complete() -> None:
    # given an update of which two fields differ and one found no room
    terminal, file = screen()
    updated = change("UPDATED", ("base_url", "", '"https://h"'), kind="PROVIDER")
    updated.fields_truncated = True
    answer = registry_pb.ApplyResourcesResponse(version=3, changes=[updated])

    # when
    show_applied(answer, terminal, dry_run=True)

    # then
    assert file.getvalue().splitlines() == [
        "  ~ provider/x updated",
        '      + base_url: "https://h"',
        "      more fields differ than fit into an answer",
        "1 updated; the registry would be at version 3",
    ]


@pytest.mark.parametrize("kind", [pb.Ticket.KIND_QUESTION, pb.Ticket.KIND_TOOL_INPUT])
def test_a_question_says_how_it_is_answered(kind: pb.Ticket.Kind) -> None:
    ticket = pb.Ticket(ticket_id="t1", kind=kind, question="which one?")
    assert shown(pb.Event(ticket_opened={"ticket": ticket})) == [
        "· asks for a decision: which one?",
        '·   runyard answer t1 "…"',
    ]
