"""The five kinds of resources in normalised form: every default filled, None where absence means
something of its own. Field names are those of the contract, so that a path into a resource is the
same here, in a violation and in a diff.

A field whose value has a ``tag`` is a ``oneof`` of the contract; the tag is the name of the arm.

A field that is added has a default and ``metadata={"since": "<release>"}``: the content hash leaves
it out while it is at its default, so that no stored hash changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import ClassVar

from services.content.model import Approval, EffectClass, Sampling
from services.registry.core.executors import BuiltinTool, WorkerExecutor
from services.registry.core.refs import Kind, Ref

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
CALL_TIMEOUT = timedelta(seconds=300)


@dataclass(frozen=True, slots=True)
class EnvCredential:
    """The environment variable of the consuming process that holds the secret."""

    env: str


@dataclass(frozen=True, slots=True)
class FileCredential:
    """The mounted file whose whole content is the secret."""

    file: str


CredentialRef = EnvCredential | FileCredential


@dataclass(frozen=True, slots=True)
class BuiltinToolCall:
    tool_id: str
    arguments_json: str = ""


@dataclass(frozen=True, slots=True)
class BuiltinReply:
    tag: ClassVar[str] = "reply"
    text: str = ""
    tool_calls: tuple[BuiltinToolCall, ...] = ()
    reasoning: str = ""


class BuiltinFaultKind(Enum):
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    UNAUTHORIZED = "unauthorized"
    INVALID_REQUEST = "invalid_request"
    CUT = "cut"
    STALL = "stall"
    GARBAGE = "garbage"


@dataclass(frozen=True, slots=True)
class BuiltinFault:
    """A scripted failure; ``retry_after`` None gives no hint."""

    tag: ClassVar[str] = "fault"
    kind: BuiltinFaultKind
    retry_after: timedelta | None = None
    after_deltas: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class BuiltinStep:
    """One rule of a script; ``tool_results`` None fits any number of them."""

    outcome: BuiltinReply | BuiltinFault
    matches: str = ""
    tool_results: int | None = None
    upstream_model: str = ""


@dataclass(frozen=True, slots=True)
class BuiltinAdapter:
    tag: ClassVar[str] = "builtin"
    steps: tuple[BuiltinStep, ...] = ()
    delta_interval: timedelta = timedelta(0)


class TokenLimitField(Enum):
    MAX_TOKENS = "max_tokens"
    MAX_COMPLETION_TOKENS = "max_completion_tokens"


@dataclass(frozen=True, slots=True)
class HttpHeader:
    """A header of every request; exactly one of ``value`` and ``value_ref`` is set."""

    name: str
    value: str | None = None
    value_ref: CredentialRef | None = None


@dataclass(frozen=True, slots=True)
class QueryParameter:
    name: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class OpenAiAdapter:
    tag: ClassVar[str] = "openai"
    organization: str = ""
    project: str = ""
    token_limit_field: TokenLimitField = TokenLimitField.MAX_TOKENS
    stream_usage: bool = True
    headers: tuple[HttpHeader, ...] = ()
    query: tuple[QueryParameter, ...] = field(default=(), metadata={"since": "0.2"})


@dataclass(frozen=True, slots=True)
class AnthropicAdapter:
    tag: ClassVar[str] = "anthropic"
    api_version: str = "2023-06-01"
    betas: tuple[str, ...] = ()
    headers: tuple[HttpHeader, ...] = ()


class GrpcTransport(Enum):
    TLS = "tls"
    PLAINTEXT = "plaintext"


@dataclass(frozen=True, slots=True)
class GrpcAdapter:
    tag: ClassVar[str] = "grpc"
    transport: GrpcTransport = GrpcTransport.TLS
    authority: str = ""


Adapter = BuiltinAdapter | OpenAiAdapter | AnthropicAdapter | GrpcAdapter


@dataclass(frozen=True, slots=True)
class Provider:
    id: str
    adapter: Adapter
    base_url: str = ""
    credential_ref: CredentialRef | None = None
    timeout: timedelta = CALL_TIMEOUT

    @property
    def ref(self) -> Ref:
        return Ref(Kind.PROVIDER, self.id)


class Modality(Enum):
    TEXT = "text"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class ModelCapabilities:
    tools: bool = False
    parallel_tool_calls: bool = False
    json_object: bool = False
    json_schema: bool = False
    reasoning: bool = False


@dataclass(frozen=True, slots=True)
class ModelPrices:
    """Per million tokens, decimal strings; empty is unknown."""

    currency: str = "USD"
    input_per_million: str = ""
    output_per_million: str = ""
    cache_read_per_million: str = ""
    cache_write_per_million: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """One offering of one provider; None means that it was not declared.

    Attributes:
        context_window: Tokens of input and output together.
        max_output_tokens: Tokens of one answer.
    """

    id: str
    provider_id: str
    upstream_model: str
    context_window: int | None = None
    max_output_tokens: int | None = None
    modalities: tuple[Modality, ...] = (Modality.TEXT,)
    capabilities: ModelCapabilities | None = None
    prices: ModelPrices | None = None
    cache_ttl: timedelta = timedelta(0)
    knowledge_cutoff: str = ""

    @property
    def ref(self) -> Ref:
        return Ref(Kind.MODEL, self.id)


class MemberRole(Enum):
    MEMBER = "member"
    FAILOVER_ONLY = "failover_only"


@dataclass(frozen=True, slots=True)
class PoolMember:
    model_id: str
    weight: int = 1
    role: MemberRole = MemberRole.MEMBER


class HomeStrategy(Enum):
    DETERMINISTIC = "deterministic"
    ROUND_ROBIN = "round_robin"
    FIRST_HEALTHY = "first_healthy"


class StickyScope(Enum):
    THREAD = "thread"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class PoolRouting:
    home: HomeStrategy = HomeStrategy.DETERMINISTIC
    sticky_scope: StickyScope = StickyScope.THREAD


@dataclass(frozen=True, slots=True)
class PoolSwitch:
    """Which failures move a session.

    Attributes:
        quota_retry_after_threshold: None moves on any quota signal.
        max_switches_per_session: 0 never moves, None is unbounded.
    """

    on_circuit_open: bool = True
    on_quota: bool = True
    on_permanent: bool = True
    on_retry_exhausted: bool = False
    quota_retry_after_threshold: timedelta | None = None
    max_switches_per_session: int | None = None


@dataclass(frozen=True, slots=True)
class PoolBreaker:
    failure_threshold: int = 5
    cooldown: timedelta = timedelta(seconds=30)
    half_open_max: int = 1


class ReturnHome(Enum):
    NEVER = "never"
    NEXT_SESSION = "next_session"


@dataclass(frozen=True, slots=True)
class PoolStickiness:
    pin_ttl: timedelta = HOUR
    return_home: ReturnHome = ReturnHome.NEVER


@dataclass(frozen=True, slots=True)
class PoolRetry:
    in_place: int = 1


@dataclass(frozen=True, slots=True)
class PoolClocks:
    """How long a call may take; ``total`` None leaves it to the caller, at most an hour."""

    first_chunk: timedelta = MINUTE
    idle: timedelta = MINUTE
    total: timedelta | None = None


class MidStream(Enum):
    INTERRUPT = "interrupt"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class ModelPool:
    """Models that behave as one; the order of members is significant."""

    id: str
    members: tuple[PoolMember, ...]
    routing: PoolRouting = PoolRouting()
    switch: PoolSwitch = PoolSwitch()
    breaker: PoolBreaker = PoolBreaker()
    stickiness: PoolStickiness = PoolStickiness()
    retry: PoolRetry = PoolRetry()
    clocks: PoolClocks = PoolClocks()
    mid_stream: MidStream = MidStream.INTERRUPT

    @property
    def ref(self) -> Ref:
        return Ref(Kind.MODEL_POOL, self.id)


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """Fits calls of one tool, or of every tool with ``*``.

    Attributes:
        approval_timeout: How long a call waits for consent; None = for ever.
    """

    tool_id: str
    approval: Approval
    approval_timeout: timedelta | None = field(default=None, metadata={"since": "0.2"})


@dataclass(frozen=True, slots=True)
class AgentEndpoint:
    base_url: str
    credential_ref: CredentialRef | None = None
    timeout: timedelta = CALL_TIMEOUT


@dataclass(frozen=True, slots=True)
class Agent:
    """A model with instructions, tools and limits; remote when it has an endpoint.

    Attributes:
        model_id: A model or a pool; not checked for a remote agent.
        max_total_tokens: Input and output of one run; None is unbounded.
    """

    id: str
    model_id: str = ""
    system_prompt: str = ""
    tools: tuple[str, ...] = ()
    approval_rules: tuple[ApprovalRule, ...] = ()
    max_rounds: int = 16
    max_total_tokens: int | None = None
    sampling: Sampling = field(default_factory=Sampling)
    endpoint: AgentEndpoint | None = None

    @property
    def ref(self) -> Ref:
        return Ref(Kind.AGENT, self.id)


@dataclass(frozen=True, slots=True)
class Tool:
    """Something an agent may call.

    Attributes:
        effect_class: None where the caller set none; never None once normalised.
        timeout: Of one attempt; None for a built-in tool means none, for a worker it is filled.
        approval_timeout: How long a call waits for consent; None = for ever.
    """

    id: str
    executor: BuiltinTool | WorkerExecutor
    description: str = ""
    json_schema: str = ""
    effect_class: EffectClass | None = None
    approval: Approval = Approval.ALLOW
    timeout: timedelta | None = None
    approval_timeout: timedelta | None = field(default=None, metadata={"since": "0.2"})

    @property
    def ref(self) -> Ref:
        return Ref(Kind.TOOL, self.id)


Resource = Provider | Model | ModelPool | Agent | Tool
