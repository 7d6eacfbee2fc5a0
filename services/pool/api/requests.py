"""Requests as commands: every mistake of a request is reported at once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from runyard.pool.v1 import pool_pb2 as pb
from runyard.pool.v1 import pool_service_pb2 as rpc
from services.chassis.errors import UnimplementedError
from services.pool.api import enums
from services.pool.api.cursors import cursor_from_pb, page_start, page_token
from services.pool.api.decoding import Decoder
from services.pool.core.events import (
    EventFilter,
    ResumePolicy,
    Start,
    WakeCondition,
)
from services.pool.core.inboxes import AckCommand, FetchCommand
from services.pool.core.joining import JoinCommand
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
)
from services.pool.core.policies import canonical
from services.pool.core.ports import MemberQuery
from services.pool.core.results import MemberPage

MAX_BODY_BYTES = 65_536
MAX_MEDIA_TYPE_BYTES = 255
MAX_TOPICS = 64
MAX_POLICIES = 64
MAX_CORRELATION = 16
MAX_FILTERS = 16
MAX_FILTER_VALUES = 64
MAX_AFTER_MATCHES = 64
# A wake comes back whole in answers, which every client accepts up to 4 MiB.
MAX_CONDITION_BYTES = 1_048_576
MAX_FETCH = 64
MAX_PAGE = 500

_DEFAULT_FETCH = 16
_DEFAULT_PAGE = 50
_DEFAULT_LEASE = timedelta(seconds=30)
_SHORTEST_LEASE = timedelta(seconds=1)
_LONGEST_LEASE = timedelta(hours=12)
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
        envelope_only=_flag(config.wake_policy, "envelope_only"),
        policy_refs=_policies(decoder, config.policy_refs, "config.policy_refs"),
        auto_leave=_flag(config, "auto_leave"),
        leaver_policy=decoder.enum(
            enums.LEAVER_POLICY,
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
        limit=min(request.page_size, MAX_PAGE) if request.page_size > 0 else _DEFAULT_PAGE,
        after_run_id=page_start(request.page_token, _query_of(request), "page_token", decoder),
        agent_id=decoder.optional_id(request.agent_id, "agent_id"),
        topic=decoder.optional_id(request.topic, "topic"),
    )
    decoder.check()
    return query


def members_page_token(request: rpc.ListMembersRequest, page: MemberPage) -> str:
    """Continues after ``page``; empty when it is the last."""
    return page_token(_query_of(request), page.members[-1].run_id) if page.more else ""


def _query_of(request: rpc.ListMembersRequest) -> tuple[str, ...]:
    return request.pool_id, request.agent_id, request.topic


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
        correlation=_labels(decoder, message.correlation, f"{at}.correlation"),
        reply_to=decoder.optional_id(message.reply_to, f"{at}.reply_to"),
        contract=_contract(decoder, message, f"{at}.response_contract"),
        expire_time=decoder.time(message, "expire_time", f"{at}.expire_time"),
        policy_refs=_policies(decoder, message.policy_refs, f"{at}.policy_refs"),
    )
    decoder.check()
    return draft


def answer_from_pb(request: rpc.RespondRequest) -> Answer:
    decoder = Decoder()
    decoder.id(request.pool_id, "pool_id")
    correlation = _labels(decoder, request.correlation, "correlation")
    answer = Answer(
        request_message_id=decoder.id(request.request_message_id, "request_message_id"),
        run_id=decoder.id(request.run_id, "run_id"),
        content=_content(decoder, request, "content"),
        idempotency_key=decoder.id(request.idempotency_key, "idempotency_key"),
        message_id=decoder.optional_id(request.message_id, "message_id"),
        correlation=correlation or None,
        policy_refs=_policies(decoder, request.policy_refs, "policy_refs"),
    )
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
    lease = decoder.duration(request, "lease", "lease")
    if lease is not None and not _SHORTEST_LEASE <= lease <= _LONGEST_LEASE:
        decoder.wrong("lease", "must be from 1 s to 12 h")
    command = FetchCommand(
        run_id=decoder.id(request.run_id, "run_id"),
        limit=_fetch_limit(request, len(named)),
        lease=_DEFAULT_LEASE if lease is None else lease,
        message_ids=named,
    )
    decoder.check()
    return command


def _fetch_limit(request: rpc.FetchInboxRequest, named: int) -> int:
    return min(request.max_deliveries or named or _DEFAULT_FETCH, MAX_FETCH)


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
    if not filters:
        decoder.wrong(f"{at}.filters", "must have at least one entry")
    if condition.ByteSize() > MAX_CONDITION_BYTES:
        decoder.wrong(
            at, f"is {condition.ByteSize()} bytes, at most {MAX_CONDITION_BYTES} are allowed"
        )
    if condition.after_matches > MAX_AFTER_MATCHES:
        decoder.wrong(f"{at}.after_matches", f"must be at most {MAX_AFTER_MATCHES}")
    decoded = WakeCondition(
        condition_id=decoder.id(condition.condition_id, f"{at}.condition_id"),
        run_id=decoder.id(condition.run_id, f"{at}.run_id"),
        filters=tuple(filters),
        idempotency_key=decoder.id(condition.idempotency_key, f"{at}.idempotency_key"),
        after_matches=condition.after_matches or 1,
        timeout=decoder.duration(condition, "timeout", f"{at}.timeout"),
        match_from=_match_from(decoder, condition, request.pool_id),
        resume_with=decoder.enum(
            enums.RESUME_POLICY,
            condition.resume_with,
            f"{at}.resume_with",
            ResumePolicy.MATCHING_EVENT_REFS,
        ),
        policy_refs=_policies(decoder, condition.policy_refs, f"{at}.policy_refs"),
    )
    decoder.check()
    return decoded


def _match_from(decoder: Decoder, condition: pb.WakeCondition, pool_id: str) -> Start | int:
    if condition.WhichOneof("match_from") == "cursor" and condition.cursor:
        return cursor_from_pb(condition.cursor, pool_id, "condition.cursor", decoder)
    return decoder.enum(enums.START, condition.start, "condition.start", Start.EARLIEST)


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


def _flag(parent: pb.PoolConfig | pb.WakePolicy, name: str) -> bool:
    """An optional flag whose default is true."""
    return bool(getattr(parent, name)) if parent.HasField(name) else True


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
        enums.CARDINALITY, to.cardinality, f"{at}.cardinality", Cardinality.ALL
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
    body = parent.inline_body
    if len(body.data) > MAX_BODY_BYTES:
        decoder.wrong(at, f"is {len(body.data)} bytes, at most {MAX_BODY_BYTES} are allowed")
    if which and not 1 <= len(body.media_type.encode()) <= MAX_MEDIA_TYPE_BYTES:
        decoder.wrong(f"{at}.media_type", f"must be 1 to {MAX_MEDIA_TYPE_BYTES} bytes")
    if not body.media_type.isprintable():
        decoder.wrong(f"{at}.media_type", "must not contain control characters")
    return InlineBody(body.data, body.media_type)


def _correlation(
    decoder: Decoder, entries: Iterable[pb.Correlation], at: str
) -> tuple[Correlation, ...]:
    def read(entry: pb.Correlation, field: str) -> Correlation:
        return Correlation(
            decoder.id(entry.key, f"{field}.key"), decoder.id(entry.value, f"{field}.value")
        )

    return tuple(sorted(set(decoder.each(entries, at, MAX_CORRELATION, read))))


def _labels(
    decoder: Decoder, entries: Iterable[pb.Correlation], at: str
) -> tuple[Correlation, ...]:
    """Of a message: each key once."""
    labels = _correlation(decoder, entries, at)
    if len({each.key for each in labels}) < len(labels):
        decoder.wrong(at, "has a key twice")
    return labels


def _contract(decoder: Decoder, message: pb.Message, at: str) -> ResponseContract | None:
    if not message.HasField("response_contract"):
        return None
    contract = message.response_contract
    if contract.expected_responses == 0:
        decoder.wrong(f"{at}.expected_responses", "must be at least 1")
    timeout = decoder.duration(contract, "timeout", f"{at}.timeout")
    return ResponseContract(contract.expected_responses, timeout)
