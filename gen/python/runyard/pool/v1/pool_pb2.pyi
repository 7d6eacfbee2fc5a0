import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LeaverPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEAVER_POLICY_UNSPECIFIED: _ClassVar[LeaverPolicy]
    LEAVER_POLICY_DEAD_LETTER: _ClassVar[LeaverPolicy]
    LEAVER_POLICY_REROUTE_TO_AGENT: _ClassVar[LeaverPolicy]

class MessageState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MESSAGE_STATE_UNSPECIFIED: _ClassVar[MessageState]
    MESSAGE_STATE_ACCEPTED: _ClassVar[MessageState]
    MESSAGE_STATE_DELIVERED: _ClassVar[MessageState]
    MESSAGE_STATE_RESPONDED: _ClassVar[MessageState]
    MESSAGE_STATE_FAILED: _ClassVar[MessageState]
    MESSAGE_STATE_TIMED_OUT: _ClassVar[MessageState]
    MESSAGE_STATE_EXPIRED: _ClassVar[MessageState]
    MESSAGE_STATE_CANCELLED: _ClassVar[MessageState]

class UndeliveredReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNDELIVERED_REASON_UNSPECIFIED: _ClassVar[UndeliveredReason]
    UNDELIVERED_REASON_NO_SUCH_MEMBER: _ClassVar[UndeliveredReason]
    UNDELIVERED_REASON_NO_TOPIC_MEMBERS: _ClassVar[UndeliveredReason]
    UNDELIVERED_REASON_POLICY_REQUIRED_MISSING: _ClassVar[UndeliveredReason]
    UNDELIVERED_REASON_RECIPIENT_POLICY_MISMATCH: _ClassVar[UndeliveredReason]
    UNDELIVERED_REASON_FOREIGN_POOL: _ClassVar[UndeliveredReason]
    UNDELIVERED_REASON_SENDER_EXCLUDED: _ClassVar[UndeliveredReason]
    UNDELIVERED_REASON_AMBIGUOUS_RECIPIENT: _ClassVar[UndeliveredReason]
    UNDELIVERED_REASON_TARGET_TERMINAL: _ClassVar[UndeliveredReason]
    UNDELIVERED_REASON_EXPIRED: _ClassVar[UndeliveredReason]

class ResumePolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESUME_POLICY_UNSPECIFIED: _ClassVar[ResumePolicy]
    RESUME_POLICY_MATCHING_EVENT_REFS: _ClassVar[ResumePolicy]
    RESUME_POLICY_REDACTED_SUMMARY: _ClassVar[ResumePolicy]
    RESUME_POLICY_NONE: _ClassVar[ResumePolicy]

class DeliveryOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DELIVERY_OUTCOME_UNSPECIFIED: _ClassVar[DeliveryOutcome]
    DELIVERY_OUTCOME_QUEUED: _ClassVar[DeliveryOutcome]
    DELIVERY_OUTCOME_ACCEPTED: _ClassVar[DeliveryOutcome]
    DELIVERY_OUTCOME_RUN_FINISHED: _ClassVar[DeliveryOutcome]
    DELIVERY_OUTCOME_REFUSED: _ClassVar[DeliveryOutcome]
LEAVER_POLICY_UNSPECIFIED: LeaverPolicy
LEAVER_POLICY_DEAD_LETTER: LeaverPolicy
LEAVER_POLICY_REROUTE_TO_AGENT: LeaverPolicy
MESSAGE_STATE_UNSPECIFIED: MessageState
MESSAGE_STATE_ACCEPTED: MessageState
MESSAGE_STATE_DELIVERED: MessageState
MESSAGE_STATE_RESPONDED: MessageState
MESSAGE_STATE_FAILED: MessageState
MESSAGE_STATE_TIMED_OUT: MessageState
MESSAGE_STATE_EXPIRED: MessageState
MESSAGE_STATE_CANCELLED: MessageState
UNDELIVERED_REASON_UNSPECIFIED: UndeliveredReason
UNDELIVERED_REASON_NO_SUCH_MEMBER: UndeliveredReason
UNDELIVERED_REASON_NO_TOPIC_MEMBERS: UndeliveredReason
UNDELIVERED_REASON_POLICY_REQUIRED_MISSING: UndeliveredReason
UNDELIVERED_REASON_RECIPIENT_POLICY_MISMATCH: UndeliveredReason
UNDELIVERED_REASON_FOREIGN_POOL: UndeliveredReason
UNDELIVERED_REASON_SENDER_EXCLUDED: UndeliveredReason
UNDELIVERED_REASON_AMBIGUOUS_RECIPIENT: UndeliveredReason
UNDELIVERED_REASON_TARGET_TERMINAL: UndeliveredReason
UNDELIVERED_REASON_EXPIRED: UndeliveredReason
RESUME_POLICY_UNSPECIFIED: ResumePolicy
RESUME_POLICY_MATCHING_EVENT_REFS: ResumePolicy
RESUME_POLICY_REDACTED_SUMMARY: ResumePolicy
RESUME_POLICY_NONE: ResumePolicy
DELIVERY_OUTCOME_UNSPECIFIED: DeliveryOutcome
DELIVERY_OUTCOME_QUEUED: DeliveryOutcome
DELIVERY_OUTCOME_ACCEPTED: DeliveryOutcome
DELIVERY_OUTCOME_RUN_FINISHED: DeliveryOutcome
DELIVERY_OUTCOME_REFUSED: DeliveryOutcome

class Pool(_message.Message):
    __slots__ = ("pool_id", "config", "state", "etag", "created", "member_count", "head_sequence", "oldest_sequence", "create_time", "update_time")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Pool.State]
        STATE_OPEN: _ClassVar[Pool.State]
        STATE_CLOSED: _ClassVar[Pool.State]
    STATE_UNSPECIFIED: Pool.State
    STATE_OPEN: Pool.State
    STATE_CLOSED: Pool.State
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    MEMBER_COUNT_FIELD_NUMBER: _ClassVar[int]
    HEAD_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OLDEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    config: PoolConfig
    state: Pool.State
    etag: str
    created: bool
    member_count: int
    head_sequence: int
    oldest_sequence: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, pool_id: _Optional[str] = ..., config: _Optional[_Union[PoolConfig, _Mapping]] = ..., state: _Optional[_Union[Pool.State, str]] = ..., etag: _Optional[str] = ..., created: bool = ..., member_count: _Optional[int] = ..., head_sequence: _Optional[int] = ..., oldest_sequence: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PoolConfig(_message.Message):
    __slots__ = ("message_policy", "wake_policy", "policy_refs", "auto_leave", "leaver_policy")
    MESSAGE_POLICY_FIELD_NUMBER: _ClassVar[int]
    WAKE_POLICY_FIELD_NUMBER: _ClassVar[int]
    POLICY_REFS_FIELD_NUMBER: _ClassVar[int]
    AUTO_LEAVE_FIELD_NUMBER: _ClassVar[int]
    LEAVER_POLICY_FIELD_NUMBER: _ClassVar[int]
    message_policy: MessagePolicy
    wake_policy: WakePolicy
    policy_refs: _containers.RepeatedCompositeFieldContainer[PolicyRef]
    auto_leave: bool
    leaver_policy: LeaverPolicy
    def __init__(self, message_policy: _Optional[_Union[MessagePolicy, _Mapping]] = ..., wake_policy: _Optional[_Union[WakePolicy, _Mapping]] = ..., policy_refs: _Optional[_Iterable[_Union[PolicyRef, _Mapping]]] = ..., auto_leave: bool = ..., leaver_policy: _Optional[_Union[LeaverPolicy, str]] = ...) -> None: ...

class MessagePolicy(_message.Message):
    __slots__ = ("required_policy_refs", "include_sender_in_pool_broadcast")
    REQUIRED_POLICY_REFS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_SENDER_IN_POOL_BROADCAST_FIELD_NUMBER: _ClassVar[int]
    required_policy_refs: _containers.RepeatedCompositeFieldContainer[PolicyRef]
    include_sender_in_pool_broadcast: bool
    def __init__(self, required_policy_refs: _Optional[_Iterable[_Union[PolicyRef, _Mapping]]] = ..., include_sender_in_pool_broadcast: bool = ...) -> None: ...

class WakePolicy(_message.Message):
    __slots__ = ("envelope_only",)
    ENVELOPE_ONLY_FIELD_NUMBER: _ClassVar[int]
    envelope_only: bool
    def __init__(self, envelope_only: bool = ...) -> None: ...

class PolicyRef(_message.Message):
    __slots__ = ("kind", "policy_id", "version")
    KIND_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    kind: str
    policy_id: str
    version: str
    def __init__(self, kind: _Optional[str] = ..., policy_id: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("run_id", "agent_id", "policy_refs", "topics", "incarnation", "join_time", "lease_expire_time")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_REFS_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    JOIN_TIME_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    agent_id: str
    policy_refs: _containers.RepeatedCompositeFieldContainer[PolicyRef]
    topics: _containers.RepeatedScalarFieldContainer[str]
    incarnation: int
    join_time: _timestamp_pb2.Timestamp
    lease_expire_time: _timestamp_pb2.Timestamp
    def __init__(self, run_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., policy_refs: _Optional[_Iterable[_Union[PolicyRef, _Mapping]]] = ..., topics: _Optional[_Iterable[str]] = ..., incarnation: _Optional[int] = ..., join_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lease_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Address(_message.Message):
    __slots__ = ("run_id", "agent_id", "topic", "pool_id", "cardinality")
    class Cardinality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CARDINALITY_UNSPECIFIED: _ClassVar[Address.Cardinality]
        CARDINALITY_ALL: _ClassVar[Address.Cardinality]
        CARDINALITY_EXACTLY_ONE: _ClassVar[Address.Cardinality]
        CARDINALITY_ANY_ONE: _ClassVar[Address.Cardinality]
    CARDINALITY_UNSPECIFIED: Address.Cardinality
    CARDINALITY_ALL: Address.Cardinality
    CARDINALITY_EXACTLY_ONE: Address.Cardinality
    CARDINALITY_ANY_ONE: Address.Cardinality
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    CARDINALITY_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    agent_id: str
    topic: str
    pool_id: str
    cardinality: Address.Cardinality
    def __init__(self, run_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., topic: _Optional[str] = ..., pool_id: _Optional[str] = ..., cardinality: _Optional[_Union[Address.Cardinality, str]] = ...) -> None: ...

class InlineBody(_message.Message):
    __slots__ = ("data", "media_type")
    DATA_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    media_type: str
    def __init__(self, data: _Optional[bytes] = ..., media_type: _Optional[str] = ...) -> None: ...

class Correlation(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class ResponseContract(_message.Message):
    __slots__ = ("expected_responses", "timeout")
    EXPECTED_RESPONSES_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    expected_responses: int
    timeout: _duration_pb2.Duration
    def __init__(self, expected_responses: _Optional[int] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("message_id", "from_run_id", "from_agent_id", "to", "content_ref", "inline_body", "correlation", "reply_to", "response_contract", "expire_time", "idempotency_key", "policy_refs", "accept_time", "late", "body_bytes", "body_sha256")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    CONTENT_REF_FIELD_NUMBER: _ClassVar[int]
    INLINE_BODY_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_CONTRACT_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    POLICY_REFS_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_TIME_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    BODY_BYTES_FIELD_NUMBER: _ClassVar[int]
    BODY_SHA256_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    from_run_id: str
    from_agent_id: str
    to: Address
    content_ref: str
    inline_body: InlineBody
    correlation: _containers.RepeatedCompositeFieldContainer[Correlation]
    reply_to: str
    response_contract: ResponseContract
    expire_time: _timestamp_pb2.Timestamp
    idempotency_key: str
    policy_refs: _containers.RepeatedCompositeFieldContainer[PolicyRef]
    accept_time: _timestamp_pb2.Timestamp
    late: bool
    body_bytes: int
    body_sha256: bytes
    def __init__(self, message_id: _Optional[str] = ..., from_run_id: _Optional[str] = ..., from_agent_id: _Optional[str] = ..., to: _Optional[_Union[Address, _Mapping]] = ..., content_ref: _Optional[str] = ..., inline_body: _Optional[_Union[InlineBody, _Mapping]] = ..., correlation: _Optional[_Iterable[_Union[Correlation, _Mapping]]] = ..., reply_to: _Optional[str] = ..., response_contract: _Optional[_Union[ResponseContract, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., idempotency_key: _Optional[str] = ..., policy_refs: _Optional[_Iterable[_Union[PolicyRef, _Mapping]]] = ..., accept_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., late: bool = ..., body_bytes: _Optional[int] = ..., body_sha256: _Optional[bytes] = ...) -> None: ...

class Recipient(_message.Message):
    __slots__ = ("run_id", "agent_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    agent_id: str
    def __init__(self, run_id: _Optional[str] = ..., agent_id: _Optional[str] = ...) -> None: ...

class Exclusion(_message.Message):
    __slots__ = ("run_id", "agent_id", "reason")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    agent_id: str
    reason: UndeliveredReason
    def __init__(self, run_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., reason: _Optional[_Union[UndeliveredReason, str]] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("pool_id", "message_id", "state", "delivered_to", "excluded", "excluded_count", "failure_reason", "sequence", "cursor", "replies", "deduplicated")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_TO_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_REASON_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    DEDUPLICATED_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    message_id: str
    state: MessageState
    delivered_to: _containers.RepeatedCompositeFieldContainer[Recipient]
    excluded: _containers.RepeatedCompositeFieldContainer[Exclusion]
    excluded_count: int
    failure_reason: UndeliveredReason
    sequence: int
    cursor: bytes
    replies: _containers.RepeatedCompositeFieldContainer[Reply]
    deduplicated: bool
    def __init__(self, pool_id: _Optional[str] = ..., message_id: _Optional[str] = ..., state: _Optional[_Union[MessageState, str]] = ..., delivered_to: _Optional[_Iterable[_Union[Recipient, _Mapping]]] = ..., excluded: _Optional[_Iterable[_Union[Exclusion, _Mapping]]] = ..., excluded_count: _Optional[int] = ..., failure_reason: _Optional[_Union[UndeliveredReason, str]] = ..., sequence: _Optional[int] = ..., cursor: _Optional[bytes] = ..., replies: _Optional[_Iterable[_Union[Reply, _Mapping]]] = ..., deduplicated: bool = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("request_message_id", "responder_run_id", "reply_message_id", "late", "sequence", "reply_time")
    REQUEST_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    RESPONDER_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    REPLY_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPLY_TIME_FIELD_NUMBER: _ClassVar[int]
    request_message_id: str
    responder_run_id: str
    reply_message_id: str
    late: bool
    sequence: int
    reply_time: _timestamp_pb2.Timestamp
    def __init__(self, request_message_id: _Optional[str] = ..., responder_run_id: _Optional[str] = ..., reply_message_id: _Optional[str] = ..., late: bool = ..., sequence: _Optional[int] = ..., reply_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("pool_id", "run_id", "message", "sequence", "state", "attempt", "lease_token", "lease_expire_time", "due_time", "dead_reason", "traceparent")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Delivery.State]
        STATE_PENDING: _ClassVar[Delivery.State]
        STATE_LEASED: _ClassVar[Delivery.State]
        STATE_ACKED: _ClassVar[Delivery.State]
        STATE_DEAD: _ClassVar[Delivery.State]
        STATE_EXPIRED: _ClassVar[Delivery.State]
        STATE_CANCELLED: _ClassVar[Delivery.State]
    STATE_UNSPECIFIED: Delivery.State
    STATE_PENDING: Delivery.State
    STATE_LEASED: Delivery.State
    STATE_ACKED: Delivery.State
    STATE_DEAD: Delivery.State
    STATE_EXPIRED: Delivery.State
    STATE_CANCELLED: Delivery.State
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    DEAD_REASON_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    run_id: str
    message: Message
    sequence: int
    state: Delivery.State
    attempt: int
    lease_token: str
    lease_expire_time: _timestamp_pb2.Timestamp
    due_time: _timestamp_pb2.Timestamp
    dead_reason: str
    traceparent: str
    def __init__(self, pool_id: _Optional[str] = ..., run_id: _Optional[str] = ..., message: _Optional[_Union[Message, _Mapping]] = ..., sequence: _Optional[int] = ..., state: _Optional[_Union[Delivery.State, str]] = ..., attempt: _Optional[int] = ..., lease_token: _Optional[str] = ..., lease_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., due_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., dead_reason: _Optional[str] = ..., traceparent: _Optional[str] = ...) -> None: ...

class EventFilter(_message.Message):
    __slots__ = ("kinds", "recipient_run_ids", "message_ids", "reply_to", "topics", "sender_run_ids", "sender_agent_ids", "correlation", "correlation_keys", "terminal_only")
    KINDS_FIELD_NUMBER: _ClassVar[int]
    RECIPIENT_RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_IDS_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    SENDER_RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    SENDER_AGENT_IDS_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_KEYS_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_ONLY_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedScalarFieldContainer[str]
    recipient_run_ids: _containers.RepeatedScalarFieldContainer[str]
    message_ids: _containers.RepeatedScalarFieldContainer[str]
    reply_to: _containers.RepeatedScalarFieldContainer[str]
    topics: _containers.RepeatedScalarFieldContainer[str]
    sender_run_ids: _containers.RepeatedScalarFieldContainer[str]
    sender_agent_ids: _containers.RepeatedScalarFieldContainer[str]
    correlation: _containers.RepeatedCompositeFieldContainer[Correlation]
    correlation_keys: _containers.RepeatedScalarFieldContainer[str]
    terminal_only: bool
    def __init__(self, kinds: _Optional[_Iterable[str]] = ..., recipient_run_ids: _Optional[_Iterable[str]] = ..., message_ids: _Optional[_Iterable[str]] = ..., reply_to: _Optional[_Iterable[str]] = ..., topics: _Optional[_Iterable[str]] = ..., sender_run_ids: _Optional[_Iterable[str]] = ..., sender_agent_ids: _Optional[_Iterable[str]] = ..., correlation: _Optional[_Iterable[_Union[Correlation, _Mapping]]] = ..., correlation_keys: _Optional[_Iterable[str]] = ..., terminal_only: bool = ...) -> None: ...

class WakeCondition(_message.Message):
    __slots__ = ("condition_id", "run_id", "filters", "after_matches", "timeout", "start", "cursor", "resume_with", "idempotency_key", "policy_refs")
    class Start(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        START_UNSPECIFIED: _ClassVar[WakeCondition.Start]
        START_EARLIEST: _ClassVar[WakeCondition.Start]
        START_NOW: _ClassVar[WakeCondition.Start]
    START_UNSPECIFIED: WakeCondition.Start
    START_EARLIEST: WakeCondition.Start
    START_NOW: WakeCondition.Start
    CONDITION_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    AFTER_MATCHES_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    RESUME_WITH_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    POLICY_REFS_FIELD_NUMBER: _ClassVar[int]
    condition_id: str
    run_id: str
    filters: _containers.RepeatedCompositeFieldContainer[EventFilter]
    after_matches: int
    timeout: _duration_pb2.Duration
    start: WakeCondition.Start
    cursor: bytes
    resume_with: ResumePolicy
    idempotency_key: str
    policy_refs: _containers.RepeatedCompositeFieldContainer[PolicyRef]
    def __init__(self, condition_id: _Optional[str] = ..., run_id: _Optional[str] = ..., filters: _Optional[_Iterable[_Union[EventFilter, _Mapping]]] = ..., after_matches: _Optional[int] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., start: _Optional[_Union[WakeCondition.Start, str]] = ..., cursor: _Optional[bytes] = ..., resume_with: _Optional[_Union[ResumePolicy, str]] = ..., idempotency_key: _Optional[str] = ..., policy_refs: _Optional[_Iterable[_Union[PolicyRef, _Mapping]]] = ...) -> None: ...

class Wake(_message.Message):
    __slots__ = ("pool_id", "condition", "state", "matched_events", "registered_sequence", "ended_sequence", "cursor", "deadline_time", "end_reason", "suspend_traceparent", "cause_traceparent", "filter_fingerprint", "register_time", "end_time", "delivery")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Wake.State]
        STATE_REGISTERED: _ClassVar[Wake.State]
        STATE_TRIGGERED: _ClassVar[Wake.State]
        STATE_TIMED_OUT: _ClassVar[Wake.State]
        STATE_CANCELLED: _ClassVar[Wake.State]
        STATE_FAILED: _ClassVar[Wake.State]
    STATE_UNSPECIFIED: Wake.State
    STATE_REGISTERED: Wake.State
    STATE_TRIGGERED: Wake.State
    STATE_TIMED_OUT: Wake.State
    STATE_CANCELLED: Wake.State
    STATE_FAILED: Wake.State
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MATCHED_EVENTS_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ENDED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_REASON_FIELD_NUMBER: _ClassVar[int]
    SUSPEND_TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    CAUSE_TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    REGISTER_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    condition: WakeCondition
    state: Wake.State
    matched_events: _containers.RepeatedCompositeFieldContainer[EventRef]
    registered_sequence: int
    ended_sequence: int
    cursor: bytes
    deadline_time: _timestamp_pb2.Timestamp
    end_reason: str
    suspend_traceparent: str
    cause_traceparent: str
    filter_fingerprint: str
    register_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    delivery: DeliveryOutcome
    def __init__(self, pool_id: _Optional[str] = ..., condition: _Optional[_Union[WakeCondition, _Mapping]] = ..., state: _Optional[_Union[Wake.State, str]] = ..., matched_events: _Optional[_Iterable[_Union[EventRef, _Mapping]]] = ..., registered_sequence: _Optional[int] = ..., ended_sequence: _Optional[int] = ..., cursor: _Optional[bytes] = ..., deadline_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_reason: _Optional[str] = ..., suspend_traceparent: _Optional[str] = ..., cause_traceparent: _Optional[str] = ..., filter_fingerprint: _Optional[str] = ..., register_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., delivery: _Optional[_Union[DeliveryOutcome, str]] = ...) -> None: ...

class EventRef(_message.Message):
    __slots__ = ("event_id", "sequence", "kind", "message_id", "reply_to", "sender_run_id", "content_ref", "traceparent")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    SENDER_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_REF_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    sequence: int
    kind: str
    message_id: str
    reply_to: str
    sender_run_id: str
    content_ref: str
    traceparent: str
    def __init__(self, event_id: _Optional[str] = ..., sequence: _Optional[int] = ..., kind: _Optional[str] = ..., message_id: _Optional[str] = ..., reply_to: _Optional[str] = ..., sender_run_id: _Optional[str] = ..., content_ref: _Optional[str] = ..., traceparent: _Optional[str] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("event_id", "pool_id", "sequence", "kind", "sender_run_id", "sender_agent_id", "message_id", "reply_to", "topic", "to_agent_id", "recipient_run_ids", "correlation", "condition_id", "policy_refs", "terminal", "summary", "event_time", "traceparent", "reply_message_id")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SENDER_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SENDER_AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    TO_AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    RECIPIENT_RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    CONDITION_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_REFS_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    REPLY_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    pool_id: str
    sequence: int
    kind: str
    sender_run_id: str
    sender_agent_id: str
    message_id: str
    reply_to: str
    topic: str
    to_agent_id: str
    recipient_run_ids: _containers.RepeatedScalarFieldContainer[str]
    correlation: _containers.RepeatedCompositeFieldContainer[Correlation]
    condition_id: str
    policy_refs: _containers.RepeatedCompositeFieldContainer[PolicyRef]
    terminal: bool
    summary: str
    event_time: _timestamp_pb2.Timestamp
    traceparent: str
    reply_message_id: str
    def __init__(self, event_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., sequence: _Optional[int] = ..., kind: _Optional[str] = ..., sender_run_id: _Optional[str] = ..., sender_agent_id: _Optional[str] = ..., message_id: _Optional[str] = ..., reply_to: _Optional[str] = ..., topic: _Optional[str] = ..., to_agent_id: _Optional[str] = ..., recipient_run_ids: _Optional[_Iterable[str]] = ..., correlation: _Optional[_Iterable[_Union[Correlation, _Mapping]]] = ..., condition_id: _Optional[str] = ..., policy_refs: _Optional[_Iterable[_Union[PolicyRef, _Mapping]]] = ..., terminal: bool = ..., summary: _Optional[str] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., traceparent: _Optional[str] = ..., reply_message_id: _Optional[str] = ...) -> None: ...

class LogRecord(_message.Message):
    __slots__ = ("event", "pool", "member", "message", "wake", "actor")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    WAKE_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    event: Event
    pool: Pool
    member: Member
    message: MessageRecord
    wake: Wake
    actor: str
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ..., pool: _Optional[_Union[Pool, _Mapping]] = ..., member: _Optional[_Union[Member, _Mapping]] = ..., message: _Optional[_Union[MessageRecord, _Mapping]] = ..., wake: _Optional[_Union[Wake, _Mapping]] = ..., actor: _Optional[str] = ...) -> None: ...

class MessageRecord(_message.Message):
    __slots__ = ("message", "receipt")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    message: Message
    receipt: Receipt
    def __init__(self, message: _Optional[_Union[Message, _Mapping]] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ...) -> None: ...
