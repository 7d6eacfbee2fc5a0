"""The smallest legal form of requests and of messages in them, by full name.

A message that is legal when it is empty has no row, unless it is a request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.protobuf.message import Message

from runyard.pool.v1 import pool_pb2 as pool
from runyard.pool.v1 import pool_service_pb2 as pool_service
from runyard.provider.v1 import provider_pb2 as provider
from runyard.registry.v1 import registry_pb2 as registry
from runyard.registry.v1 import registry_service_pb2 as registry_service
from runyard.router.v1 import router_service_pb2 as router_service
from runyard.runcontrol.v1 import runcontrol_internal_service_pb2 as internal
from runyard.runcontrol.v1 import runcontrol_pb2 as run
from runyard.runcontrol.v1 import runcontrol_service_pb2 as run_service
from runyard.types.v1 import content_pb2 as content
from runyard.worker.v1 import worker_pb2 as worker
from runyard.worker.v1 import worker_service_pb2 as worker_service

TEXT = content.Part(text=content.Text(text="t"))
SAID = content.Message(role=content.MESSAGE_ROLE_USER, parts=[TEXT])
ANSWERED = content.Message(role=content.MESSAGE_ROLE_ASSISTANT, parts=[TEXT])
RETURNED = content.Message(
    role=content.MESSAGE_ROLE_TOOL, parts=[content.Part(tool_result=content.ToolResult())]
)
# A choice of a tool names one of the request.
CHOOSABLE = [content.ToolDefinition(tool_id=id_) for id_ in ("a1", "b2")]
PROVIDER = registry.Provider(id="p", builtin=registry.BuiltinAdapter())
TOOL = registry.Tool(id="t", worker=registry.WorkerExecutor())
BODY = pool.InlineBody(data=b"d", media_type="text/plain")
MESSAGE = pool.Message(
    from_run_id="r", to=pool.Address(run_id="r"), inline_body=BODY, idempotency_key="k"
)
CONDITION = pool.WakeCondition(
    condition_id="c", run_id="r", filters=[pool.EventFilter()], idempotency_key="k"
)

# Ignored when it is sent: what was read may be applied again.
SET_BY_THE_REGISTRY = frozenset({registry.ResourceMeta.DESCRIPTOR.full_name})


def _by_name(*messages: Message) -> Mapping[str, Message]:
    return {message.DESCRIPTOR.full_name: message for message in messages}


REF = worker.CallRef(tool_call_id="c", attempt=1, fence=1)
RESULT = worker.Result(ref=REF, succeeded=worker.Succeeded(content="x"))
HELLO = worker.Hello(
    worker_id="w",
    instance_id="i",
    min_protocol=1,
    max_protocol=1,
    tools=[worker.ServedTool(tool_id="t")],
)
NESTED = _by_name(
    run.Label(name="n"),
    run.WakeEvent(kind="k"),
    HELLO,
    REF,
    RESULT,
    worker.NeedInput(ref=REF, question="q"),
    worker.Accept(ref=REF),
    worker.CallProgress(ref=REF),
    worker.Handback(ref=REF),
    worker.ProbeResult(ref=REF),
    worker.ServedTool(tool_id="t"),
    PROVIDER,
    TOOL,
    SAID,
    TEXT,
    CONDITION,
    MESSAGE,
    BODY,
    content.Image(url="https://image.example"),
    registry.Resource(provider=PROVIDER),
    registry.Model(id="m"),
    registry.ModelPool(id="mp"),
    registry.Agent(id="a"),
    registry.ApprovalRule(tool_id="t", approval=content.APPROVAL_ASK),
    registry.BuiltinStep(reply=registry.BuiltinReply()),
    registry.BuiltinFault(kind=registry.BUILTIN_FAULT_KIND_CUT),
    registry.HttpHeader(name="x", value="v"),
    registry.CredentialRef(env="E"),
    provider.JsonSchemaFormat(name="n", json_schema="{}"),
    pool.Address(run_id="r"),
    pool.Correlation(key="k", value="v"),
    pool.PolicyRef(policy_id="p"),
    pool.ResponseContract(expected_responses=1),
    run.PoolMembership(pool_id="p"),
    run.Verdict(approve=run.Approve()),
)

# Several of one request, where what one of them refuses is legal in another.
REQUESTS: Sequence[Message] = (
    registry_service.ApplyResourcesRequest(),
    registry_service.ValidateResourcesRequest(),
    registry_service.GetResourceRequest(kind=registry.RESOURCE_KIND_TOOL, id="t"),
    registry_service.ListResourcesRequest(),
    registry_service.GetSnapshotRequest(),
    registry_service.WatchSnapshotRequest(),
    registry_service.DeleteResourceRequest(kind=registry.RESOURCE_KIND_TOOL, id="t"),
    registry_service.RegisterProviderRequest(provider=PROVIDER),
    registry_service.ReplaceProviderRequest(provider=PROVIDER),
    registry_service.PreviewRemoveProviderRequest(provider_id="p"),
    registry_service.RemoveProviderRequest(
        provider_id="p", policy=registry_service.PROVIDER_REMOVAL_POLICY_BLOCK_IF_REFERENCED
    ),
    registry_service.ListVersionsRequest(),
    registry_service.DiffVersionsRequest(from_version=1),
    registry_service.RollbackRequest(version=1),
    registry_service.ListAuditEntriesRequest(),
    *(
        router_service.InferRequest(target_id="m", messages=[message], tools=CHOOSABLE)
        for message in (SAID, ANSWERED, RETURNED)
    ),
    router_service.GenerateRequest(
        request=router_service.InferRequest(target_id="m", messages=[SAID], tools=CHOOSABLE)
    ),
    router_service.ExplainRequest(
        request=router_service.InferRequest(target_id="m", messages=[SAID], tools=CHOOSABLE)
    ),
    router_service.GetRoutingStateRequest(),
    router_service.WatchRoutingStateRequest(),
    router_service.ResetMemberRequest(target_id="m"),
    router_service.UnpinSessionRequest(pool_id="mp", session="thread:t"),
    router_service.CordonMemberRequest(target_id="mp", member_id="m"),
    router_service.UncordonMemberRequest(target_id="mp", member_id="m"),
    run_service.SubmitRunRequest(messages=[SAID], agent_id="a"),
    run_service.SubscribeRunRequest(run_id="r"),
    run_service.SubscribeThreadRequest(thread_id="t"),
    run_service.GetRunRequest(run_id="r"),
    run_service.CancelRunRequest(run_id="r"),
    run_service.InterruptThreadRequest(thread_id="t"),
    run_service.InjectInputRequest(thread_id="t", messages=[SAID]),
    run_service.EditInputRequest(input_id="i", revision=1, messages=[SAID]),
    run_service.RetractInputRequest(input_id="i", revision=1),
    run_service.ListPendingInputsRequest(thread_id="t"),
    run_service.SubmitDecisionRequest(
        ticket_id="t", decision_id="d", verdict=run.Verdict(approve=run.Approve())
    ),
    run_service.ListTicketsRequest(),
    run_service.SubscribeTicketsRequest(),
    run_service.GetToolCallRequest(run_id="r", tool_call_id="c"),
    run_service.ListRunsRequest(),
    run_service.ListThreadsRequest(),
    run_service.ListDeadDispatchesRequest(),
    run_service.DeleteThreadRequest(thread_id="t"),
    run_service.RedriveDispatchRequest(dispatch_id="d"),
    run_service.ListMessagesRequest(thread_id="t"),
    run_service.GetThreadRequest(thread_id="t"),
    run_service.GetActiveRunRequest(thread_id="t"),
    run_service.GetTicketRequest(ticket_id="t"),
    internal.DeliverWakeRequest(
        pool_id="p", condition_id="c", run_id="r", status=run.WAKE_STATUS_TRIGGERED
    ),
    worker_service.SessionRequest(hello=HELLO),
    worker_service.ReportResultRequest(result=RESULT),
    pool_service.OpenPoolRequest(pool_id="p"),
    pool_service.GetPoolRequest(pool_id="p"),
    pool_service.JoinPoolRequest(pool_id="p", run_id="r", agent_id="a"),
    pool_service.ListMembersRequest(pool_id="p"),
    pool_service.SendMessageRequest(pool_id="p", message=MESSAGE),
    pool_service.RespondRequest(
        pool_id="p", request_message_id="m", run_id="r", inline_body=BODY, idempotency_key="k"
    ),
    pool_service.GetMessageRequest(pool_id="p", message_id="m"),
    pool_service.FetchInboxRequest(pool_id="p", run_id="r"),
    pool_service.AckDeliveryRequest(pool_id="p", run_id="r", message_id="m", lease_token="l"),
    pool_service.SuspendUntilRequest(pool_id="p", condition=CONDITION),
    pool_service.GetWakeRequest(pool_id="p", condition_id="c"),
    pool_service.CancelWakeRequest(pool_id="p", condition_id="c"),
)

# By request, the fields that are sent and that nobody reads yet. A row that is read fails too.
UNREAD: Mapping[str, set[str]] = {
    # There is one mode, which is also the default.
    run_service.InterruptThreadRequest.DESCRIPTOR.full_name: {"mode"},
    # A model has no use for an event's id, place and trace.
    internal.DeliverWakeRequest.DESCRIPTOR.full_name: {
        f"events.{name}" for name in ("event_id", "sequence", "traceparent")
    },
}
