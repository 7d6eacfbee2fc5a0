"""Arguments of tool calls, over real servers: a model's and an approver's, checked alike."""

from __future__ import annotations

import hashlib
import json

from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard.types.v1 import content_pb2 as content
from tests.contract.runcontrol.conftest import Suite
from tests.support import clients as s
from tests.support.engines import on_both_engines
from tests.support.raw_worker import hello, session
from tests.support.refusals import refused

SCHEMA = '{"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}'
WRITTEN = '{ "order":\n4712 }'


def lookup(approval: content.Approval.ValueType = content.APPROVAL_ALLOW) -> registry.Resource:
    return registry.Resource(
        tool=registry.Tool(
            id="lookup",
            description="looks up an order",
            json_schema=SCHEMA,
            effect_class=content.EFFECT_CLASS_IDEMPOTENT,
            approval=approval,
            worker=registry.WorkerExecutor(),
        )
    )


@on_both_engines
async def test_a_worker_gets_no_call_that_violates_its_schema(suite: Suite) -> None:
    # given a model that calls a tool with a wrong argument, and corrects it when it is told
    await suite.apply_agent(
        "clerk",
        s.calling("lookup", '{"order": "4711"}', tool_results=0),
        s.calling("lookup", '{"order": 4711}', matches="is not of type 'integer'"),
        s.replying("it is ${all}", matches="(?P<all>shipped)"),
        tools=[lookup()],
    )
    async with session(suite.channel("runcontrol"), hello("lookup"), credit=2) as clerk:
        # when it runs
        run_id = await suite.submit("clerk")
        call = await clerk.take()
        await clerk.succeed(call.ref, "shipped")
        events = await suite.follow(run_id)

    # then the worker got the second call alone
    assert call.arguments_json == '{"order": 4711}'
    assert [m.WhichOneof("message") for m in clerk.said].count("call") == 1
    assert events[-1].run_finished.output_text == "it is shipped"
    first, second = [e.tool_call_settled for e in events if e.HasField("tool_call_settled")]
    assert (first.state, second.state) == (
        pb.ToolInvocation.STATE_FAILED,
        pb.ToolInvocation.STATE_SUCCEEDED,
    )
    assert first.result == (
        "the arguments do not fit the tool: $.order: '4711' is not of type 'integer'"
    )


@on_both_engines
async def test_a_worker_executes_exactly_what_an_approver_wrote(suite: Suite) -> None:
    # given a run that waits for approval of a worker's call
    await suite.apply_agent(
        "clerk",
        s.calling("lookup", '{"order": 4711}', tool_results=0),
        s.replying("it is ${all}", matches="(?P<all>shipped)"),
        tools=[lookup(content.APPROVAL_ASK)],
    )
    async with session(suite.channel("runcontrol"), hello("lookup")) as clerk:
        run_id = await suite.submit("clerk")
        _, event = await suite.until(run_id, "ticket_opened")
        ticket = event.ticket_opened.ticket

        # when it is approved with arguments that violate the schema, and with others
        wrong = pb.Verdict(approve_edited=pb.ApproveEdited(arguments_json='{"order": "x"}'))
        refusal = await refused(suite.decide(wrong, ticket_id=ticket.ticket_id))
        found = await suite.runs.GetTicket(service.GetTicketRequest(ticket_id=ticket.ticket_id))
        right = pb.Verdict(approve_edited=pb.ApproveEdited(arguments_json=WRITTEN))
        decided = await suite.decide(right, ticket_id=ticket.ticket_id)
        call = await clerk.take()
        await clerk.succeed(call.ref, "shipped")
        events = await suite.follow(run_id)

    # then the first was refused, and the worker got the bytes of the second
    assert refusal.reason == "INVALID_REQUEST"
    assert "$.order: 'x' is not of type 'integer'" in refusal.message
    assert found.ticket.state == pb.Ticket.STATE_OPEN
    assert decided.outcome == service.DECISION_OUTCOME_ACCEPTED
    parts = ["lookup", call.tool_version, '{"order":4712}']
    digest = hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).digest()
    assert (call.arguments_json, call.argument_digest) == (WRITTEN, digest)

    # and the record names who wrote them
    (kept,) = (await suite.view(run_id)).tool_calls
    assert (kept.arguments_json, kept.arguments_by) == (WRITTEN, "local")
    decision = next(e.ticket_decided for e in events if e.HasField("ticket_decided")).decision
    assert decision.verdict.approve_edited.arguments_json == WRITTEN
    assert decision.decided_by == "local"
