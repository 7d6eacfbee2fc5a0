"""What every unary request means something to: state in the four services, and a request to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from runyard.pool.v1 import pool_pb2 as pool
from runyard.pool.v1 import pool_service_pb2 as pools
from runyard.registry.v1 import registry_pb2 as registry
from runyard.registry.v1 import registry_service_pb2 as registries
from runyard.router.v1 import router_service_pb2 as routers
from runyard.runcontrol.v1 import runcontrol_internal_service_pb2 as internal
from runyard.runcontrol.v1 import runcontrol_pb2 as run
from runyard.runcontrol.v1 import runcontrol_service_pb2 as runs
from runyard.types.v1 import content_pb2 as content
from runyard.types.v1 import server_info_service_pb2 as info
from runyard.worker.v1 import worker_pb2 as worker
from runyard.worker.v1 import worker_service_pb2 as workers
from tests.contract.runcontrol.conftest import Suite
from tests.support import clients as s
from tests.support.smallest_messages import BODY

ROOM = "room"
SPARE = ("s1", "s2", "s3")
# Its runs wait for approval, and have joined the room.
ASKER = "asker"


@dataclass(frozen=True, slots=True)
class Legal:
    """Requests that succeed.

    Attributes:
        requests: One of each type, each independent of the others.
        known: By the name of a field, texts that the servers know.
    """

    requests: Sequence[Message]
    known: Mapping[str, Sequence[str]]


async def prepared(suite: Suite) -> Legal:
    """Requests to the servers of ``suite``, which gets what they are about."""
    await _resources(suite)
    waiting = [await _ticket(suite) for _ in range(2)]
    await _pool(suite)
    done = await suite.submit("helper")
    await suite.follow(done)
    requests = [
        *_registry(),
        *_router(),
        *_runcontrol(waiting[0], waiting[1], done, await _dead_letter(suite)),
        *await _steering(suite),
        *await _messages(suite),
        info.GetServerInfoRequest(),
    ]
    known = {
        "run_id": ("r1", "r2", done, waiting[0].run_id),
        "pool_id": (ROOM,),
        "agent_id": ("helper", ASKER, "a1"),
        "tool_id": ("send",),
        "model_id": ("helper-model",),
        "provider_id": ("helper-provider",),
        "ticket_id": (waiting[0].ticket_id,),
        "thread_id": (waiting[0].thread_id,),
        "message_id": ("m1", "m2"),
        "condition_id": ("c1", "c2"),
        "topic": ("news",),
    }
    return Legal(requests, known)


async def _resources(suite: Suite) -> None:
    await suite.apply_agent("helper", s.replying("done"))
    await suite.open_pool(ROOM)
    await suite.apply_agent(
        ASKER,
        s.calling("send", '{"body": "hello"}', tool_results=0),
        s.replying("sent"),
        tools=[s.builtin_tool("send", registry.BUILTIN_TOOL_POOL_SEND, ask=True)],
    )
    models = s.pool_of("helper-pool", "helper-model", f"{ASKER}-model")
    await suite.apply(models, *(s.builtin_provider(spare) for spare in SPARE))


async def _ticket(suite: Suite) -> run.Ticket:
    run_id = await suite.submit(ASKER, pool_id=ROOM)
    _, event = await suite.until(run_id, "ticket_opened")
    return event.ticket_opened.ticket


async def _dead_letter(suite: Suite) -> str:
    """The dispatch of a run that could not join its pool."""
    await suite.follow(await suite.submit("helper", pool_id="nowhere"))
    found = await suite.runs.ListDeadDispatches(runs.ListDeadDispatchesRequest())
    return found.dispatches[0].dispatch_id


async def _pool(suite: Suite) -> None:
    for run_id in ("r1", "r2"):
        await suite.pools.JoinPool(
            pools.JoinPoolRequest(pool_id=ROOM, run_id=run_id, agent_id="a1", topics=["news"])
        )


def _registry() -> list[Message]:
    provider = registry.RESOURCE_KIND_PROVIDER
    new = registry.Provider(id="new", builtin=registry.BuiltinAdapter())
    agent = s.agent("helper", "helper-model")
    return [
        registries.ApplyResourcesRequest(resources=[agent], mode=registries.APPLY_MODE_UPSERT),
        registries.ValidateResourcesRequest(resources=[agent]),
        registries.GetResourceRequest(kind=provider, id="helper-provider"),
        registries.ListResourcesRequest(page_size=2),
        registries.GetSnapshotRequest(),
        registries.WatchSnapshotRequest(),
        registries.DeleteResourceRequest(kind=provider, id=SPARE[0]),
        registries.RegisterProviderRequest(provider=new),
        registries.ReplaceProviderRequest(provider=s.builtin_provider(SPARE[2]).provider),
        registries.PreviewRemoveProviderRequest(provider_id="helper-provider"),
        registries.RemoveProviderRequest(
            provider_id=SPARE[1], policy=registries.PROVIDER_REMOVAL_POLICY_BLOCK_IF_REFERENCED
        ),
        registries.ListVersionsRequest(page_size=2),
        registries.DiffVersionsRequest(from_version=1),
        registries.RollbackRequest(version=4),
        registries.ListAuditEntriesRequest(page_size=2),
    ]


def _router() -> list[Message]:
    tool = content.ToolDefinition(tool_id="send", json_schema="{}")
    asked = routers.InferRequest(
        target_id="helper-model", messages=[s.user_message("hello")], tools=[tool]
    )
    return [
        asked,
        routers.GenerateRequest(request=asked),
        routers.ExplainRequest(request=asked),
        routers.GetRoutingStateRequest(page_size=2),
        routers.WatchRoutingStateRequest(target_id="helper-model"),
        routers.ResetMemberRequest(target_id="helper-model", member_id="helper-model"),
        routers.UnpinSessionRequest(pool_id="helper-model", session="thread:t"),
        routers.CordonMemberRequest(target_id="helper-pool", member_id="helper-model"),
        routers.UncordonMemberRequest(target_id="helper-pool", member_id="helper-model"),
    ]


def _runcontrol(decided: run.Ticket, cancelled: run.Ticket, done: str, dead: str) -> list[Message]:
    return [
        runs.SubmitRunRequest(messages=[s.user_message("go")], agent_id="helper"),
        runs.SubscribeRunRequest(run_id=done),
        runs.SubscribeThreadRequest(thread_id=decided.thread_id),
        runs.GetRunRequest(run_id=done),
        runs.CancelRunRequest(run_id=cancelled.run_id, reason="enough"),
        runs.SubmitDecisionRequest(
            ticket_id=decided.ticket_id,
            decision_id="d1",
            comment="not now",
            verdict=run.Verdict(deny=run.Deny(reason="no")),
        ),
        runs.ListTicketsRequest(page_size=2),
        runs.SubscribeTicketsRequest(),
        runs.GetToolCallRequest(run_id=decided.run_id, tool_call_id=decided.tool_call_id),
        runs.ListRunsRequest(page_size=2),
        runs.ListThreadsRequest(page_size=2),
        runs.ListDeadDispatchesRequest(page_size=2),
        runs.RedriveDispatchRequest(dispatch_id=dead),
        runs.ListMessagesRequest(thread_id=decided.thread_id, page_size=2),
        runs.GetThreadRequest(thread_id=decided.thread_id),
        runs.GetActiveRunRequest(thread_id=decided.thread_id),
        runs.GetTicketRequest(ticket_id=decided.ticket_id),
        internal.DeliverWakeRequest(
            pool_id=ROOM,
            condition_id="c1",
            run_id=done,
            status=run.WAKE_STATUS_TRIGGERED,
            message_ids=["m1"],
            summary="one message",
        ),
        workers.ReportResultRequest(
            result=worker.Result(
                ref=worker.CallRef(tool_call_id=decided.tool_call_id, attempt=1, fence=1),
                succeeded=worker.Succeeded(content="late"),
            )
        ),
    ]


async def _steering(suite: Suite) -> list[Message]:
    """Requests about a thread whose run waits, with two inputs that it cannot read yet."""
    thread_id = (await _ticket(suite)).thread_id
    said = [(await suite.inject(text, thread_id=thread_id)).input for text in ("one", "two")]
    interrupted, deleted = [await suite.submit_run("helper") for _ in range(2)]
    for each in (interrupted, deleted):
        await suite.follow(each.run_id)
    return [
        runs.DeleteThreadRequest(thread_id=deleted.thread_id),
        runs.InterruptThreadRequest(
            thread_id=interrupted.thread_id, messages=[s.user_message("start over")]
        ),
        runs.InjectInputRequest(thread_id=thread_id, messages=[s.user_message("three")]),
        runs.EditInputRequest(
            input_id=said[0].input_id, revision=1, messages=[s.user_message("four")]
        ),
        runs.RetractInputRequest(input_id=said[1].input_id, revision=1),
        runs.ListPendingInputsRequest(thread_id=thread_id, page_size=1),
    ]


async def _messages(suite: Suite) -> list[Message]:
    """Requests to the pool, in which ``r2`` has asked ``r1`` and has something to fetch."""
    await suite.pools.SendMessage(_message("m1", asks=True))
    fetched = await suite.pools.FetchInbox(pools.FetchInboxRequest(pool_id=ROOM, run_id="r1"))
    await suite.pools.SuspendUntil(_wait("c1"))
    return [
        pools.OpenPoolRequest(pool_id="other"),
        pools.GetPoolRequest(pool_id=ROOM),
        pools.JoinPoolRequest(pool_id=ROOM, run_id="r3", agent_id="a1", topics=["news"]),
        pools.ListMembersRequest(pool_id=ROOM, page_size=1),
        _message("m2", asks=True),
        pools.RespondRequest(
            pool_id=ROOM,
            request_message_id="m1",
            run_id="r1",
            inline_body=BODY,
            idempotency_key="k3",
        ),
        pools.GetMessageRequest(pool_id=ROOM, message_id="m1"),
        pools.FetchInboxRequest(pool_id=ROOM, run_id="r2"),
        pools.AckDeliveryRequest(
            pool_id=ROOM,
            run_id="r1",
            message_id="m1",
            lease_token=fetched.deliveries[0].lease_token,
        ),
        _wait("c2"),
        pools.GetWakeRequest(pool_id=ROOM, condition_id="c1"),
        pools.CancelWakeRequest(pool_id=ROOM, condition_id="c1"),
    ]


def _message(message_id: str, *, asks: bool) -> pools.SendMessageRequest:
    contract: dict[str, Any] = {}
    if asks:
        contract["response_contract"] = pool.ResponseContract(expected_responses=1)
    message = pool.Message(
        from_run_id="r2",
        to=pool.Address(run_id="r1"),
        message_id=message_id,
        idempotency_key=message_id,
        inline_body=BODY,
        correlation=[pool.Correlation(key="k", value="v")],
        **contract,
    )
    return pools.SendMessageRequest(pool_id=ROOM, message=message)


def _wait(condition_id: str) -> pools.SuspendUntilRequest:
    condition = pool.WakeCondition(
        condition_id=condition_id,
        run_id="r1",
        idempotency_key=condition_id,
        filters=[pool.EventFilter(kinds=["message.delivered"], recipient_run_ids=["r1"])],
    )
    return pools.SuspendUntilRequest(pool_id=ROOM, condition=condition)
