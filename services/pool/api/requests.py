"""Requests as commands; every violation of a request is reported at once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from runyard.pool.v1 import pool_pb2 as pb
from runyard.pool.v1 import pool_service_pb2 as rpc
from services.chassis.errors import UnimplementedError
from services.chassis.ids import id_violations
from services.chassis.protobuf.cursors import Cursors
from services.chassis.protobuf.decoder import Decoder, optional
from services.chassis.protobuf.pages import FIELD, page_position
from services.pool.api import enums
from services.pool.core.events import EventFilter, ResumePolicy, Start, WakeCondition
from services.pool.core.inboxes import AckCommand, FetchCommand
from services.pool.core.joining import JoinCommand
from services.pool.core.limits import (
    DEFAULT_LEASE,
    MAX_CORRELATION,
    MAX_FETCH,
    MAX_FILTER_VALUES,
    MAX_FILTERS,
    MAX_POLICIES,
    MAX_TIMEOUT,
    MAX_TOPICS,
    answer_violations,
    condition_violations,
    draft_violations,
    fetch_limit,
    fetch_violations,
    page_limit,
)
from services.pool.core.model import (
    Address,
    Answer,
    Cardinality,
    Content,
    ContentRef,
    Correlation,
    Draft,
    InlineBody,
    LeaverPolicy,
    Policies,
    PolicyRef,
    PoolConfig,
    ResponseContract,
    TargetKind,
    canonical,
)
from services.pool.core.ports import MemberQuery

CURSORS = Cursors("pool")

_SET_BY_SERVER = ("from_agent_id", "accept_time", "late", "body_bytes", "body_sha256")
_TARGETS = {
    "run_id": TargetKind.RUN,
    "agent_id": TargetKind.AGENT,
    "topic": TargetKind.TOPIC,
    "pool_id": TargetKind.POOL,
}


def pool_id_from_pb(pool_id: str) -> str:
    decoder = Decoder()
    decoder.id(pool_id, "pool_id")
    decoder.check()
    return pool_id


def config_from_pb(request: rpc.OpenPoolRequest) -> PoolConfig:
    decoder = Decoder()
    decoder.id(request.pool_id, "pool_id")
    config = request.config
    required = config.message_policy.required_policy_refs
    decoded = PoolConfig(
        required_policy_refs=_policies(
            decoder, required, "config.message_policy.required_policy_refs"
        ),
        include_sender_in_pool_broadcast=config.message_policy.include_sender_in_pool_broadcast,
        envelope_only=optional(config.wake_policy, "envelope_only", True),
        policy_refs=_policies(decoder, config.policy_refs, "config.policy_refs"),
        auto_leave=optional(config, "auto_leave", True),
        leaver_policy=decoder.enum(
            enums.LEAVER_POLICIES,
            config.leaver_policy,
            "config.leaver_policy",
            LeaverPolicy.DEAD_LETTER,
        ),
    )
    decoder.check()
    return decoded


def join_from_pb(request: rpc.JoinPoolRequest) -> JoinCommand:
    if request.HasField("lease"):
        raise UnimplementedError("membership leases are not served by this version", field="lease")
    decoder = Decoder()
    decoder.id(request.pool_id, "pool_id")
    command = JoinCommand(
        run_id=decoder.id(request.run_id, "run_id"),
        agent_id=decoder.id(request.agent_id, "agent_id"),
        topics=decoder.ids(request.topics, "topics", MAX_TOPICS),
        policy_refs=_policies(decoder, request.policy_refs, "policy_refs"),
    )
    decoder.check()
    return command


def members_from_pb(request: rpc.ListMembersRequest) -> MemberQuery:
    decoder = Decoder()
    decoder.id(request.pool_id, "pool_id")
    query = MemberQuery(
        limit=page_limit(request.page_size),
        after_run_id=page_position(request, _run_id, decoder) or "",
        agent_id=decoder.optional_id(request.agent_id, "agent_id"),
        topic=decoder.optional_id(request.topic, "topic"),
    )
    decoder.check()
    return query


def _run_id(run_id: str) -> str:
    if id_violations(run_id, FIELD):
        raise ValueError(f"not a run: {run_id!r}")
    return run_id


def draft_from_pb(request: rpc.SendMessageRequest) -> Draft:
    decoder = Decoder()
    decoder.id(request.pool_id, "pool_id")
    message, at = request.message, "message"
    decoder.unset(message, _SET_BY_SERVER, at)
    draft = Draft(
        from_run_id=decoder.id(message.from_run_id, f"{at}.from_run_id"),
        to=_address(decoder, message.to, f"{at}.to"),
        content=_content(decoder, message, f"{at}.content"),
        idempotency_key=decoder.id(message.idempotency_key, f"{at}.idempotency_key"),
        message_id=decoder.optional_id(message.message_id, f"{at}.message_id"),
        correlation=_correlation(decoder, message.correlation, f"{at}.correlation"),
        reply_to=decoder.optional_id(message.reply_to, f"{at}.reply_to"),
        contract=_contract(decoder, message, f"{at}.response_contract"),
        expire_time=decoder.time(message, "expire_time", at),
        policy_refs=_policies(decoder, message.policy_refs, f"{at}.policy_refs"),
    )
    decoder.found += draft_violations(draft, at)
    decoder.check()
    return draft


def answer_from_pb(request: rpc.RespondRequest) -> Answer:
    decoder = Decoder()
    decoder.id(request.pool_id, "pool_id")
    correlation = _correlation(decoder, request.correlation, "correlation")
    answer = Answer(
        request_message_id=decoder.id(request.request_message_id, "request_message_id"),
        run_id=decoder.id(request.run_id, "run_id"),
        content=_content(decoder, request, "content"),
        idempotency_key=decoder.id(request.idempotency_key, "idempotency_key"),
        message_id=decoder.optional_id(request.message_id, "message_id"),
        correlation=correlation or None,
        policy_refs=_policies(decoder, request.policy_refs, "policy_refs"),
    )
    decoder.found += answer_violations(answer)
    decoder.check()
    return answer


def message_ref_from_pb(request: rpc.GetMessageRequest) -> tuple[str, str]:
    decoder = Decoder()
    decoder.id(request.pool_id, "pool_id")
    decoder.id(request.message_id, "message_id")
    decoder.check()
    return request.pool_id, request.message_id


def wake_ref_from_pb(request: rpc.GetWakeRequest | rpc.CancelWakeRequest) -> tuple[str, str]:
    decoder = Decoder()
    decoder.id(request.pool_id, "pool_id")
    decoder.id(request.condition_id, "condition_id")
    decoder.check()
    return request.pool_id, request.condition_id


def fetch_from_pb(request: rpc.FetchInboxRequest) -> FetchCommand:
    decoder = Decoder()
    decoder.id(request.pool_id, "pool_id")
    named = decoder.ids(request.message_ids, "message_ids", MAX_FETCH)
    command = FetchCommand(
        run_id=decoder.id(request.run_id, "run_id"),
        limit=fetch_limit(request.max_deliveries, len(named)),
        lease=decoder.duration(request, "lease", "", DEFAULT_LEASE),
        message_ids=named,
    )
    decoder.found += fetch_violations(command)
    decoder.check()
    return command


def ack_from_pb(request: rpc.AckDeliveryRequest) -> AckCommand:
    decoder = Decoder()
    decoder.id(request.pool_id, "pool_id")
    command = AckCommand(
        run_id=decoder.id(request.run_id, "run_id"),
        message_id=decoder.id(request.message_id, "message_id"),
        lease_token=decoder.id(request.lease_token, "lease_token"),
    )
    decoder.check()
    return command


def condition_from_pb(request: rpc.SuspendUntilRequest) -> WakeCondition:
    decoder = Decoder()
    decoder.id(request.pool_id, "pool_id")
    condition, at = request.condition, "condition"
    filters = decoder.each(
        condition.filters,
        f"{at}.filters",
        MAX_FILTERS,
        lambda each, field: _filter(decoder, each, field),
    )
    decoder.not_empty(filters, f"{at}.filters")
    decoded = WakeCondition(
        condition_id=decoder.id(condition.condition_id, f"{at}.condition_id"),
        run_id=decoder.id(condition.run_id, f"{at}.run_id"),
        filters=tuple(filters),
        idempotency_key=decoder.id(condition.idempotency_key, f"{at}.idempotency_key"),
        after_matches=condition.after_matches or 1,
        timeout=_timeout(condition, at, decoder),
        match_from=_match_from(decoder, condition, request.pool_id),
        resume_with=decoder.enum(
            enums.RESUME_POLICIES,
            condition.resume_with,
            f"{at}.resume_with",
            ResumePolicy.MATCHING_EVENT_REFS,
        ),
        policy_refs=_policies(decoder, condition.policy_refs, f"{at}.policy_refs"),
    )
    decoder.found += condition_violations(decoded, at, condition.ByteSize())
    decoder.check()
    return decoded


def _match_from(decoder: Decoder, condition: pb.WakeCondition, pool_id: str) -> Start | int:
    if condition.WhichOneof("match_from") == "cursor" and condition.cursor:
        return CURSORS.decode(condition.cursor, pool_id, "condition.cursor", decoder)
    return decoder.enum(enums.STARTS, condition.start, "condition.start", Start.EARLIEST)


def _filter(decoder: Decoder, each: pb.EventFilter, at: str) -> EventFilter:
    def ids(name: str) -> tuple[str, ...]:
        return decoder.ids(getattr(each, name), f"{at}.{name}", MAX_FILTER_VALUES)

    return EventFilter(
        kinds=ids("kinds"),
        recipient_run_ids=ids("recipient_run_ids"),
        message_ids=ids("message_ids"),
        reply_to=ids("reply_to"),
        topics=ids("topics"),
        sender_run_ids=ids("sender_run_ids"),
        sender_agent_ids=ids("sender_agent_ids"),
        correlation=_correlation(decoder, each.correlation, f"{at}.correlation"),
        correlation_keys=ids("correlation_keys"),
        terminal_only=each.terminal_only,
    )


def _policies(decoder: Decoder, refs: Iterable[pb.PolicyRef], at: str) -> Policies:
    def read(ref: pb.PolicyRef, field: str) -> PolicyRef:
        return PolicyRef(
            decoder.optional_id(ref.kind, f"{field}.kind") or "host",
            decoder.id(ref.policy_id, f"{field}.policy_id"),
            decoder.optional_id(ref.version, f"{field}.version"),
        )

    return canonical(decoder.each(refs, at, MAX_POLICIES, read))


def _address(decoder: Decoder, to: pb.Address, at: str) -> Address:
    if to.cardinality == pb.Address.CARDINALITY_ANY_ONE:
        raise UnimplementedError("any_one is not served by this version", field=at)
    name = to.WhichOneof("target")
    cardinality = decoder.enum(
        enums.CARDINALITIES, to.cardinality, f"{at}.cardinality", Cardinality.ALL
    )
    if name is None:
        decoder.wrong(at, "must name a run, an agent, a topic or the pool")
        return Address(TargetKind.RUN, "", cardinality)
    return Address(_TARGETS[name], decoder.id(getattr(to, name), f"{at}.{name}"), cardinality)


def _content(decoder: Decoder, parent: pb.Message | rpc.RespondRequest, at: str) -> Content:
    which = parent.WhichOneof("content")
    if which == "content_ref":
        return ContentRef(decoder.id(parent.content_ref, at))
    if which is None:
        decoder.wrong(at, "must be set")
        return ContentRef("")
    return InlineBody(parent.inline_body.data, parent.inline_body.media_type)


def _correlation(
    decoder: Decoder, entries: Iterable[pb.Correlation], at: str
) -> tuple[Correlation, ...]:
    def read(entry: pb.Correlation, field: str) -> Correlation:
        return Correlation(
            decoder.id(entry.key, f"{field}.key"), decoder.id(entry.value, f"{field}.value")
        )

    return tuple(sorted(set(decoder.each(entries, at, MAX_CORRELATION, read))))


def _contract(decoder: Decoder, message: pb.Message, at: str) -> ResponseContract | None:
    if not message.HasField("response_contract"):
        return None
    contract = message.response_contract
    return ResponseContract(contract.expected_responses, _timeout(contract, at, decoder))


def _timeout(
    parent: pb.WakeCondition | pb.ResponseContract, at: str, decoder: Decoder
) -> timedelta | None:
    return decoder.duration(parent, "timeout", at, None, least=timedelta(0), most=MAX_TIMEOUT)
