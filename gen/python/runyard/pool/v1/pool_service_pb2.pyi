import datetime

from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from runyard.pool.v1 import pool_pb2 as _pool_pb2
from runyard.types.v1 import content_pb2 as _content_pb2
from runyard.types.v1 import stream_pb2 as _stream_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OpenPoolRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "config")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    config: _pool_pb2.PoolConfig
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., config: _Optional[_Union[_pool_pb2.PoolConfig, _Mapping]] = ...) -> None: ...

class OpenPoolResponse(_message.Message):
    __slots__ = ("pool", "opened")
    POOL_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    pool: _pool_pb2.Pool
    opened: bool
    def __init__(self, pool: _Optional[_Union[_pool_pb2.Pool, _Mapping]] = ..., opened: bool = ...) -> None: ...

class GetPoolRequest(_message.Message):
    __slots__ = ("pool_id",)
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    def __init__(self, pool_id: _Optional[str] = ...) -> None: ...

class GetPoolResponse(_message.Message):
    __slots__ = ("pool",)
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool: _pool_pb2.Pool
    def __init__(self, pool: _Optional[_Union[_pool_pb2.Pool, _Mapping]] = ...) -> None: ...

class ListPoolsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPoolsResponse(_message.Message):
    __slots__ = ("pools", "next_page_token")
    POOLS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    pools: _containers.RepeatedCompositeFieldContainer[_pool_pb2.Pool]
    next_page_token: str
    def __init__(self, pools: _Optional[_Iterable[_Union[_pool_pb2.Pool, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdatePoolRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "config", "etag")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    config: _pool_pb2.PoolConfig
    etag: str
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., config: _Optional[_Union[_pool_pb2.PoolConfig, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class UpdatePoolResponse(_message.Message):
    __slots__ = ("pool", "changed")
    POOL_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    pool: _pool_pb2.Pool
    changed: bool
    def __init__(self, pool: _Optional[_Union[_pool_pb2.Pool, _Mapping]] = ..., changed: bool = ...) -> None: ...

class ClosePoolRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "etag", "reason")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    etag: str
    reason: str
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., etag: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ClosePoolResponse(_message.Message):
    __slots__ = ("pool", "changed")
    POOL_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    pool: _pool_pb2.Pool
    changed: bool
    def __init__(self, pool: _Optional[_Union[_pool_pb2.Pool, _Mapping]] = ..., changed: bool = ...) -> None: ...

class GetPoolSnapshotRequest(_message.Message):
    __slots__ = ("pool_id",)
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    def __init__(self, pool_id: _Optional[str] = ...) -> None: ...

class GetPoolSnapshotResponse(_message.Message):
    __slots__ = ("pool", "members", "messages", "wakes", "cursor", "last_part")
    POOL_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    WAKES_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    LAST_PART_FIELD_NUMBER: _ClassVar[int]
    pool: _pool_pb2.Pool
    members: _containers.RepeatedCompositeFieldContainer[_pool_pb2.Member]
    messages: _containers.RepeatedCompositeFieldContainer[_pool_pb2.MessageRecord]
    wakes: _containers.RepeatedCompositeFieldContainer[_pool_pb2.Wake]
    cursor: bytes
    last_part: bool
    def __init__(self, pool: _Optional[_Union[_pool_pb2.Pool, _Mapping]] = ..., members: _Optional[_Iterable[_Union[_pool_pb2.Member, _Mapping]]] = ..., messages: _Optional[_Iterable[_Union[_pool_pb2.MessageRecord, _Mapping]]] = ..., wakes: _Optional[_Iterable[_Union[_pool_pb2.Wake, _Mapping]]] = ..., cursor: _Optional[bytes] = ..., last_part: bool = ...) -> None: ...

class VerifyPoolRequest(_message.Message):
    __slots__ = ("pool_id",)
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    def __init__(self, pool_id: _Optional[str] = ...) -> None: ...

class VerifyPoolResponse(_message.Message):
    __slots__ = ("consistent", "records", "differences")
    CONSISTENT_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    consistent: bool
    records: int
    differences: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, consistent: bool = ..., records: _Optional[int] = ..., differences: _Optional[_Iterable[str]] = ...) -> None: ...

class JoinPoolRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "run_id", "agent_id", "topics", "policy_refs", "lease")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    POLICY_REFS_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    run_id: str
    agent_id: str
    topics: _containers.RepeatedScalarFieldContainer[str]
    policy_refs: _containers.RepeatedCompositeFieldContainer[_pool_pb2.PolicyRef]
    lease: _duration_pb2.Duration
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., run_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., topics: _Optional[_Iterable[str]] = ..., policy_refs: _Optional[_Iterable[_Union[_pool_pb2.PolicyRef, _Mapping]]] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class JoinPoolResponse(_message.Message):
    __slots__ = ("member", "changed", "cursor", "sequence")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    member: _pool_pb2.Member
    changed: bool
    cursor: bytes
    sequence: int
    def __init__(self, member: _Optional[_Union[_pool_pb2.Member, _Mapping]] = ..., changed: bool = ..., cursor: _Optional[bytes] = ..., sequence: _Optional[int] = ...) -> None: ...

class LeavePoolRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "run_id", "incarnation")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    run_id: str
    incarnation: int
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., run_id: _Optional[str] = ..., incarnation: _Optional[int] = ...) -> None: ...

class LeavePoolResponse(_message.Message):
    __slots__ = ("member",)
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    member: _pool_pb2.Member
    def __init__(self, member: _Optional[_Union[_pool_pb2.Member, _Mapping]] = ...) -> None: ...

class HeartbeatRequest(_message.Message):
    __slots__ = ("pool_id", "run_id", "incarnation", "request_id")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    run_id: str
    incarnation: int
    request_id: str
    def __init__(self, pool_id: _Optional[str] = ..., run_id: _Optional[str] = ..., incarnation: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class HeartbeatResponse(_message.Message):
    __slots__ = ("lease_expire_time",)
    LEASE_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    lease_expire_time: _timestamp_pb2.Timestamp
    def __init__(self, lease_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class UpdateMemberRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "run_id", "incarnation", "topics", "policy_refs")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    POLICY_REFS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    run_id: str
    incarnation: int
    topics: _containers.RepeatedScalarFieldContainer[str]
    policy_refs: _containers.RepeatedCompositeFieldContainer[_pool_pb2.PolicyRef]
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., run_id: _Optional[str] = ..., incarnation: _Optional[int] = ..., topics: _Optional[_Iterable[str]] = ..., policy_refs: _Optional[_Iterable[_Union[_pool_pb2.PolicyRef, _Mapping]]] = ...) -> None: ...

class UpdateMemberResponse(_message.Message):
    __slots__ = ("member", "changed")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    member: _pool_pb2.Member
    changed: bool
    def __init__(self, member: _Optional[_Union[_pool_pb2.Member, _Mapping]] = ..., changed: bool = ...) -> None: ...

class ListMembersRequest(_message.Message):
    __slots__ = ("pool_id", "page_size", "page_token", "agent_id", "topic")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    page_size: int
    page_token: str
    agent_id: str
    topic: str
    def __init__(self, pool_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., agent_id: _Optional[str] = ..., topic: _Optional[str] = ...) -> None: ...

class ListMembersResponse(_message.Message):
    __slots__ = ("members", "next_page_token")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[_pool_pb2.Member]
    next_page_token: str
    def __init__(self, members: _Optional[_Iterable[_Union[_pool_pb2.Member, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class StartMemberRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "agent_id", "thread_id", "messages", "topics", "policy_refs")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    THREAD_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    POLICY_REFS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    agent_id: str
    thread_id: str
    messages: _containers.RepeatedCompositeFieldContainer[_content_pb2.Message]
    topics: _containers.RepeatedScalarFieldContainer[str]
    policy_refs: _containers.RepeatedCompositeFieldContainer[_pool_pb2.PolicyRef]
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., thread_id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_content_pb2.Message, _Mapping]]] = ..., topics: _Optional[_Iterable[str]] = ..., policy_refs: _Optional[_Iterable[_Union[_pool_pb2.PolicyRef, _Mapping]]] = ...) -> None: ...

class StartMemberResponse(_message.Message):
    __slots__ = ("member",)
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    member: _pool_pb2.Member
    def __init__(self, member: _Optional[_Union[_pool_pb2.Member, _Mapping]] = ...) -> None: ...

class SendMessageRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "message")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    message: _pool_pb2.Message
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., message: _Optional[_Union[_pool_pb2.Message, _Mapping]] = ...) -> None: ...

class SendMessageResponse(_message.Message):
    __slots__ = ("receipt",)
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    receipt: _pool_pb2.Receipt
    def __init__(self, receipt: _Optional[_Union[_pool_pb2.Receipt, _Mapping]] = ...) -> None: ...

class SendMessagesRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "messages")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    messages: _containers.RepeatedCompositeFieldContainer[_pool_pb2.Message]
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_pool_pb2.Message, _Mapping]]] = ...) -> None: ...

class SendMessagesResponse(_message.Message):
    __slots__ = ("receipts",)
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    receipts: _containers.RepeatedCompositeFieldContainer[_pool_pb2.Receipt]
    def __init__(self, receipts: _Optional[_Iterable[_Union[_pool_pb2.Receipt, _Mapping]]] = ...) -> None: ...

class RequestRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "message")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    message: _pool_pb2.Message
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., message: _Optional[_Union[_pool_pb2.Message, _Mapping]] = ...) -> None: ...

class RequestResponse(_message.Message):
    __slots__ = ("receipt", "replies")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    receipt: _pool_pb2.Receipt
    replies: _containers.RepeatedCompositeFieldContainer[_pool_pb2.Message]
    def __init__(self, receipt: _Optional[_Union[_pool_pb2.Receipt, _Mapping]] = ..., replies: _Optional[_Iterable[_Union[_pool_pb2.Message, _Mapping]]] = ...) -> None: ...

class RespondRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "request_message_id", "run_id", "message_id", "content_ref", "inline_body", "correlation", "idempotency_key", "policy_refs")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_REF_FIELD_NUMBER: _ClassVar[int]
    INLINE_BODY_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    POLICY_REFS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    request_message_id: str
    run_id: str
    message_id: str
    content_ref: str
    inline_body: _pool_pb2.InlineBody
    correlation: _containers.RepeatedCompositeFieldContainer[_pool_pb2.Correlation]
    idempotency_key: str
    policy_refs: _containers.RepeatedCompositeFieldContainer[_pool_pb2.PolicyRef]
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., request_message_id: _Optional[str] = ..., run_id: _Optional[str] = ..., message_id: _Optional[str] = ..., content_ref: _Optional[str] = ..., inline_body: _Optional[_Union[_pool_pb2.InlineBody, _Mapping]] = ..., correlation: _Optional[_Iterable[_Union[_pool_pb2.Correlation, _Mapping]]] = ..., idempotency_key: _Optional[str] = ..., policy_refs: _Optional[_Iterable[_Union[_pool_pb2.PolicyRef, _Mapping]]] = ...) -> None: ...

class RespondResponse(_message.Message):
    __slots__ = ("receipt", "request_state", "late")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_STATE_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    receipt: _pool_pb2.Receipt
    request_state: _pool_pb2.MessageState
    late: bool
    def __init__(self, receipt: _Optional[_Union[_pool_pb2.Receipt, _Mapping]] = ..., request_state: _Optional[_Union[_pool_pb2.MessageState, str]] = ..., late: bool = ...) -> None: ...

class GetMessageRequest(_message.Message):
    __slots__ = ("pool_id", "message_id")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    message_id: str
    def __init__(self, pool_id: _Optional[str] = ..., message_id: _Optional[str] = ...) -> None: ...

class GetMessageResponse(_message.Message):
    __slots__ = ("message", "receipt", "deliveries")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    message: _pool_pb2.Message
    receipt: _pool_pb2.Receipt
    deliveries: _containers.RepeatedCompositeFieldContainer[_pool_pb2.Delivery]
    def __init__(self, message: _Optional[_Union[_pool_pb2.Message, _Mapping]] = ..., receipt: _Optional[_Union[_pool_pb2.Receipt, _Mapping]] = ..., deliveries: _Optional[_Iterable[_Union[_pool_pb2.Delivery, _Mapping]]] = ...) -> None: ...

class ListMessagesRequest(_message.Message):
    __slots__ = ("pool_id", "page_size", "page_token", "from_run_id", "states")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FROM_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    page_size: int
    page_token: str
    from_run_id: str
    states: _containers.RepeatedScalarFieldContainer[_pool_pb2.MessageState]
    def __init__(self, pool_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., from_run_id: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_pool_pb2.MessageState, str]]] = ...) -> None: ...

class ListMessagesResponse(_message.Message):
    __slots__ = ("messages", "next_page_token")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_pool_pb2.MessageRecord]
    next_page_token: str
    def __init__(self, messages: _Optional[_Iterable[_Union[_pool_pb2.MessageRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelMessageRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "message_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    message_id: str
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., message_id: _Optional[str] = ...) -> None: ...

class CancelMessageResponse(_message.Message):
    __slots__ = ("receipt", "changed", "acked_run_ids")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    ACKED_RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    receipt: _pool_pb2.Receipt
    changed: bool
    acked_run_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, receipt: _Optional[_Union[_pool_pb2.Receipt, _Mapping]] = ..., changed: bool = ..., acked_run_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class FetchInboxRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "run_id", "max_deliveries", "message_ids", "lease")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_IDS_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    run_id: str
    max_deliveries: int
    message_ids: _containers.RepeatedScalarFieldContainer[str]
    lease: _duration_pb2.Duration
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., run_id: _Optional[str] = ..., max_deliveries: _Optional[int] = ..., message_ids: _Optional[_Iterable[str]] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class FetchInboxResponse(_message.Message):
    __slots__ = ("deliveries", "unfetched", "cursor", "more")
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    UNFETCHED_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[_pool_pb2.Delivery]
    unfetched: _containers.RepeatedCompositeFieldContainer[UnfetchedMessage]
    cursor: bytes
    more: bool
    def __init__(self, deliveries: _Optional[_Iterable[_Union[_pool_pb2.Delivery, _Mapping]]] = ..., unfetched: _Optional[_Iterable[_Union[UnfetchedMessage, _Mapping]]] = ..., cursor: _Optional[bytes] = ..., more: bool = ...) -> None: ...

class UnfetchedMessage(_message.Message):
    __slots__ = ("message_id", "state")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    state: _pool_pb2.Delivery.State
    def __init__(self, message_id: _Optional[str] = ..., state: _Optional[_Union[_pool_pb2.Delivery.State, str]] = ...) -> None: ...

class StreamInboxRequest(_message.Message):
    __slots__ = ("start", "credit", "ack", "nack", "extend")
    START_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    NACK_FIELD_NUMBER: _ClassVar[int]
    EXTEND_FIELD_NUMBER: _ClassVar[int]
    start: InboxStart
    credit: int
    ack: AckDeliveryRequest
    nack: NackDeliveryRequest
    extend: ExtendDeliveryRequest
    def __init__(self, start: _Optional[_Union[InboxStart, _Mapping]] = ..., credit: _Optional[int] = ..., ack: _Optional[_Union[AckDeliveryRequest, _Mapping]] = ..., nack: _Optional[_Union[NackDeliveryRequest, _Mapping]] = ..., extend: _Optional[_Union[ExtendDeliveryRequest, _Mapping]] = ...) -> None: ...

class InboxStart(_message.Message):
    __slots__ = ("pool_id", "run_id", "credit", "lease")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    run_id: str
    credit: int
    lease: _duration_pb2.Duration
    def __init__(self, pool_id: _Optional[str] = ..., run_id: _Optional[str] = ..., credit: _Optional[int] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class StreamInboxResponse(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[StreamInboxItem]
    def __init__(self, items: _Optional[_Iterable[_Union[StreamInboxItem, _Mapping]]] = ...) -> None: ...

class StreamInboxItem(_message.Message):
    __slots__ = ("delivery", "settled", "heartbeat", "reconnect", "refused")
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    RECONNECT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    delivery: _pool_pb2.Delivery
    settled: _pool_pb2.Delivery
    heartbeat: _stream_pb2.Heartbeat
    reconnect: _stream_pb2.Reconnect
    refused: InboxRefusal
    def __init__(self, delivery: _Optional[_Union[_pool_pb2.Delivery, _Mapping]] = ..., settled: _Optional[_Union[_pool_pb2.Delivery, _Mapping]] = ..., heartbeat: _Optional[_Union[_stream_pb2.Heartbeat, _Mapping]] = ..., reconnect: _Optional[_Union[_stream_pb2.Reconnect, _Mapping]] = ..., refused: _Optional[_Union[InboxRefusal, _Mapping]] = ...) -> None: ...

class InboxRefusal(_message.Message):
    __slots__ = ("message_id", "reason")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    reason: str
    def __init__(self, message_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class AckDeliveryRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "run_id", "message_id", "lease_token")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    run_id: str
    message_id: str
    lease_token: str
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., run_id: _Optional[str] = ..., message_id: _Optional[str] = ..., lease_token: _Optional[str] = ...) -> None: ...

class AckDeliveryResponse(_message.Message):
    __slots__ = ("delivery", "changed")
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    delivery: _pool_pb2.Delivery
    changed: bool
    def __init__(self, delivery: _Optional[_Union[_pool_pb2.Delivery, _Mapping]] = ..., changed: bool = ...) -> None: ...

class NackDeliveryRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "run_id", "message_id", "lease_token", "delay", "terminate")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DELAY_FIELD_NUMBER: _ClassVar[int]
    TERMINATE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    run_id: str
    message_id: str
    lease_token: str
    delay: _duration_pb2.Duration
    terminate: bool
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., run_id: _Optional[str] = ..., message_id: _Optional[str] = ..., lease_token: _Optional[str] = ..., delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., terminate: bool = ...) -> None: ...

class NackDeliveryResponse(_message.Message):
    __slots__ = ("delivery",)
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    delivery: _pool_pb2.Delivery
    def __init__(self, delivery: _Optional[_Union[_pool_pb2.Delivery, _Mapping]] = ...) -> None: ...

class ExtendDeliveryRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "run_id", "message_id", "lease_token", "lease")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    run_id: str
    message_id: str
    lease_token: str
    lease: _duration_pb2.Duration
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., run_id: _Optional[str] = ..., message_id: _Optional[str] = ..., lease_token: _Optional[str] = ..., lease: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ExtendDeliveryResponse(_message.Message):
    __slots__ = ("delivery",)
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    delivery: _pool_pb2.Delivery
    def __init__(self, delivery: _Optional[_Union[_pool_pb2.Delivery, _Mapping]] = ...) -> None: ...

class ListDeadDeliveriesRequest(_message.Message):
    __slots__ = ("pool_id", "page_size", "page_token", "run_id")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    page_size: int
    page_token: str
    run_id: str
    def __init__(self, pool_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., run_id: _Optional[str] = ...) -> None: ...

class ListDeadDeliveriesResponse(_message.Message):
    __slots__ = ("deliveries", "next_page_token")
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[_pool_pb2.Delivery]
    next_page_token: str
    def __init__(self, deliveries: _Optional[_Iterable[_Union[_pool_pb2.Delivery, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RequeueDeliveryRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "run_id", "message_id", "to_run_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    TO_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    run_id: str
    message_id: str
    to_run_id: str
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., run_id: _Optional[str] = ..., message_id: _Optional[str] = ..., to_run_id: _Optional[str] = ...) -> None: ...

class RequeueDeliveryResponse(_message.Message):
    __slots__ = ("delivery",)
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    delivery: _pool_pb2.Delivery
    def __init__(self, delivery: _Optional[_Union[_pool_pb2.Delivery, _Mapping]] = ...) -> None: ...

class SuspendUntilRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "condition")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    condition: _pool_pb2.WakeCondition
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., condition: _Optional[_Union[_pool_pb2.WakeCondition, _Mapping]] = ...) -> None: ...

class SuspendUntilResponse(_message.Message):
    __slots__ = ("wake", "deduplicated")
    WAKE_FIELD_NUMBER: _ClassVar[int]
    DEDUPLICATED_FIELD_NUMBER: _ClassVar[int]
    wake: _pool_pb2.Wake
    deduplicated: bool
    def __init__(self, wake: _Optional[_Union[_pool_pb2.Wake, _Mapping]] = ..., deduplicated: bool = ...) -> None: ...

class WaitWakeRequest(_message.Message):
    __slots__ = ("pool_id", "condition_id")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    CONDITION_ID_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    condition_id: str
    def __init__(self, pool_id: _Optional[str] = ..., condition_id: _Optional[str] = ...) -> None: ...

class WaitWakeResponse(_message.Message):
    __slots__ = ("wake",)
    WAKE_FIELD_NUMBER: _ClassVar[int]
    wake: _pool_pb2.Wake
    def __init__(self, wake: _Optional[_Union[_pool_pb2.Wake, _Mapping]] = ...) -> None: ...

class GetWakeRequest(_message.Message):
    __slots__ = ("pool_id", "condition_id")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    CONDITION_ID_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    condition_id: str
    def __init__(self, pool_id: _Optional[str] = ..., condition_id: _Optional[str] = ...) -> None: ...

class GetWakeResponse(_message.Message):
    __slots__ = ("wake",)
    WAKE_FIELD_NUMBER: _ClassVar[int]
    wake: _pool_pb2.Wake
    def __init__(self, wake: _Optional[_Union[_pool_pb2.Wake, _Mapping]] = ...) -> None: ...

class ListWakesRequest(_message.Message):
    __slots__ = ("pool_id", "page_size", "page_token", "run_id", "states")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    page_size: int
    page_token: str
    run_id: str
    states: _containers.RepeatedScalarFieldContainer[_pool_pb2.Wake.State]
    def __init__(self, pool_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., run_id: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_pool_pb2.Wake.State, str]]] = ...) -> None: ...

class ListWakesResponse(_message.Message):
    __slots__ = ("wakes", "next_page_token")
    WAKES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    wakes: _containers.RepeatedCompositeFieldContainer[_pool_pb2.Wake]
    next_page_token: str
    def __init__(self, wakes: _Optional[_Iterable[_Union[_pool_pb2.Wake, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelWakeRequest(_message.Message):
    __slots__ = ("request_id", "pool_id", "condition_id")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    CONDITION_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    pool_id: str
    condition_id: str
    def __init__(self, request_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., condition_id: _Optional[str] = ...) -> None: ...

class CancelWakeResponse(_message.Message):
    __slots__ = ("wake", "changed")
    WAKE_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    wake: _pool_pb2.Wake
    changed: bool
    def __init__(self, wake: _Optional[_Union[_pool_pb2.Wake, _Mapping]] = ..., changed: bool = ...) -> None: ...

class SubscribeEventsRequest(_message.Message):
    __slots__ = ("pool_id", "filters", "after")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    filters: _containers.RepeatedCompositeFieldContainer[_pool_pb2.EventFilter]
    after: bytes
    def __init__(self, pool_id: _Optional[str] = ..., filters: _Optional[_Iterable[_Union[_pool_pb2.EventFilter, _Mapping]]] = ..., after: _Optional[bytes] = ...) -> None: ...

class SubscribeEventsResponse(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[SubscribeEventsItem]
    def __init__(self, items: _Optional[_Iterable[_Union[SubscribeEventsItem, _Mapping]]] = ...) -> None: ...

class SubscribeEventsItem(_message.Message):
    __slots__ = ("event", "heartbeat", "reconnect", "cursor")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    RECONNECT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    event: _pool_pb2.Event
    heartbeat: _stream_pb2.Heartbeat
    reconnect: _stream_pb2.Reconnect
    cursor: bytes
    def __init__(self, event: _Optional[_Union[_pool_pb2.Event, _Mapping]] = ..., heartbeat: _Optional[_Union[_stream_pb2.Heartbeat, _Mapping]] = ..., reconnect: _Optional[_Union[_stream_pb2.Reconnect, _Mapping]] = ..., cursor: _Optional[bytes] = ...) -> None: ...

class WatchPoolRequest(_message.Message):
    __slots__ = ("pool_id", "after")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    after: bytes
    def __init__(self, pool_id: _Optional[str] = ..., after: _Optional[bytes] = ...) -> None: ...

class WatchPoolResponse(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[WatchPoolItem]
    def __init__(self, items: _Optional[_Iterable[_Union[WatchPoolItem, _Mapping]]] = ...) -> None: ...

class WatchPoolItem(_message.Message):
    __slots__ = ("record", "heartbeat", "reconnect", "cursor")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    RECONNECT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    record: _pool_pb2.LogRecord
    heartbeat: _stream_pb2.Heartbeat
    reconnect: _stream_pb2.Reconnect
    cursor: bytes
    def __init__(self, record: _Optional[_Union[_pool_pb2.LogRecord, _Mapping]] = ..., heartbeat: _Optional[_Union[_stream_pb2.Heartbeat, _Mapping]] = ..., reconnect: _Optional[_Union[_stream_pb2.Reconnect, _Mapping]] = ..., cursor: _Optional[bytes] = ...) -> None: ...

class PublishEventsRequest(_message.Message):
    __slots__ = ("request_id", "events")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    events: _containers.RepeatedCompositeFieldContainer[PublishedEvent]
    def __init__(self, request_id: _Optional[str] = ..., events: _Optional[_Iterable[_Union[PublishedEvent, _Mapping]]] = ...) -> None: ...

class PublishedEvent(_message.Message):
    __slots__ = ("event_id", "pool_id", "kind", "run_id", "correlation", "terminal", "event_time")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    pool_id: str
    kind: str
    run_id: str
    correlation: _containers.RepeatedCompositeFieldContainer[_pool_pb2.Correlation]
    terminal: bool
    event_time: _timestamp_pb2.Timestamp
    def __init__(self, event_id: _Optional[str] = ..., pool_id: _Optional[str] = ..., kind: _Optional[str] = ..., run_id: _Optional[str] = ..., correlation: _Optional[_Iterable[_Union[_pool_pb2.Correlation, _Mapping]]] = ..., terminal: bool = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PublishEventsResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[PublishedEventOutcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[PublishedEventOutcome, _Mapping]]] = ...) -> None: ...

class PublishedEventOutcome(_message.Message):
    __slots__ = ("event_id", "pools", "deduplicated")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    DEDUPLICATED_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    pools: int
    deduplicated: bool
    def __init__(self, event_id: _Optional[str] = ..., pools: _Optional[int] = ..., deduplicated: bool = ...) -> None: ...

class ValidateFilterRequest(_message.Message):
    __slots__ = ("filters",)
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    filters: _containers.RepeatedCompositeFieldContainer[_pool_pb2.EventFilter]
    def __init__(self, filters: _Optional[_Iterable[_Union[_pool_pb2.EventFilter, _Mapping]]] = ...) -> None: ...

class ValidateFilterResponse(_message.Message):
    __slots__ = ("valid", "violations", "filter_fingerprint", "indexed_fields")
    VALID_FIELD_NUMBER: _ClassVar[int]
    VIOLATIONS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    INDEXED_FIELDS_FIELD_NUMBER: _ClassVar[int]
    valid: bool
    violations: _containers.RepeatedScalarFieldContainer[str]
    filter_fingerprint: str
    indexed_fields: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, valid: bool = ..., violations: _Optional[_Iterable[str]] = ..., filter_fingerprint: _Optional[str] = ..., indexed_fields: _Optional[_Iterable[str]] = ...) -> None: ...
