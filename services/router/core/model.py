"""Providers, models and pools of the registry, in the form that routing needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from services.router.core.script import Script

# Account of the provider by its id and revision, and upstream model: what shares one quota.
QuotaKey: TypeAlias = tuple[str, str, str]


class HomeStrategy(Enum):
    DETERMINISTIC = "deterministic"
    ROUND_ROBIN = "round_robin"
    FIRST_HEALTHY = "first_healthy"


class StickyScope(Enum):
    THREAD = "thread"
    RUN = "run"


class ReturnHome(Enum):
    NEVER = "never"
    NEXT_SESSION = "next_session"


class Feature(Enum):
    """What a request may need and a model may lack."""

    TOOLS = "tools"
    IMAGES = "images"
    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"


class MidStream(Enum):
    INTERRUPT = "interrupt"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Credential:
    """A reference to a secret, which is read per call. Exactly one of both is set."""

    env: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """A header of every request; exactly one of ``value`` and ``secret`` is set."""

    name: str
    value: str = ""
    secret: Credential | None = None


@dataclass(frozen=True, slots=True)
class Builtin:
    """A script in place of a provider."""

    script: Script


@dataclass(frozen=True, slots=True)
class OpenAi:
    """An endpoint compatible with OpenAI chat completions.

    Attributes:
        output_limit_field: The request field that takes the output limit.
        stream_usage: Ask for token counts in streams.
        query: Names and values, appended to the URL.
    """

    base_url: str
    organization: str = ""
    project: str = ""
    output_limit_field: str = "max_tokens"
    stream_usage: bool = True
    headers: tuple[Header, ...] = ()
    query: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Anthropic:
    """The Anthropic messages API, or an endpoint compatible with it.

    Attributes:
        version: Sent as ``anthropic-version``.
        betas: Sent as ``anthropic-beta``.
    """

    base_url: str
    version: str
    betas: tuple[str, ...] = ()
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True, slots=True)
class Grpc:
    """A server of ``runyard.provider.v1``.

    Attributes:
        target: ``host:port``, also with ``dns:///`` before it.
        tls: False sends in the clear: on loopback, or in a mesh that encrypts.
        authority: Also the name that the certificate must carry; empty for the host of ``target``.
    """

    target: str
    tls: bool = True
    authority: str = ""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A kind of provider that this version does not know, from a newer registry."""


Adapter: TypeAlias = Builtin | OpenAi | Anthropic | Grpc | Unsupported


@dataclass(frozen=True, slots=True)
class Provider:
    """Where models are served.

    Attributes:
        timeout_s: Upper bound of the first-chunk and idle clocks, and of a collected answer.
        revision: Changes with the content; a quota deadline applies to one revision.
    """

    id: str
    adapter: Adapter
    credential: Credential | None = None
    timeout_s: float = 300.0
    revision: str = ""

    @property
    def secrets(self) -> tuple[Credential, ...]:
        """References to all that is secret in a request."""
        headers = self.adapter.headers if isinstance(self.adapter, OpenAi | Anthropic) else ()
        found = (*(header.secret for header in headers), self.credential)
        return tuple(each for each in found if each is not None)


@dataclass(frozen=True, slots=True)
class Prices:
    """Of a million tokens, in millionths of the currency; None is unknown."""

    currency: str
    input_micros: int | None = None
    output_micros: int | None = None
    cache_read_micros: int | None = None
    cache_write_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a provider.

    Attributes:
        cache_ttl_s: How long its prompt cache is kept; a pin lasts at least as long.
        reasoning: It reasons before it answers; doubles its first-chunk and idle clocks.
        max_output_tokens: Of one answer; None when not declared.
        context_window: Tokens of input and output together; None when not declared.
        lacks: What it declares that it cannot do; what is not declared is not among it.
        prices: None when not declared.
    """

    id: str
    provider_id: str
    upstream_model: str
    cache_ttl_s: float = 0.0
    reasoning: bool = False
    max_output_tokens: int | None = None
    context_window: int | None = None
    lacks: frozenset[Feature] = frozenset()
    prices: Prices | None = None


@dataclass(frozen=True, slots=True)
class PoolMember:
    model_id: str
    weight: int = 1
    failover_only: bool = False


@dataclass(frozen=True, slots=True)
class SwitchPolicy:
    """Which failures fail over.

    Attributes:
        quota_threshold_s: With ``on_quota``, the shortest hint that fails over; None for any hint.
        max_switches: Consecutive failovers of one incident; None is unbounded.
    """

    on_circuit_open: bool = True
    on_quota: bool = True
    on_permanent: bool = True
    on_retry_exhausted: bool = False
    quota_threshold_s: float | None = None
    max_switches: int | None = None


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When the circuit of a member opens, and how it is probed.

    Attributes:
        failure_threshold: Consecutive failures that open it.
        cooldown_s: From its opening to the first probe.
        half_open_max: Probes at a time.
    """

    failure_threshold: int = 5
    cooldown_s: float = 30.0
    half_open_max: int = 1


@dataclass(frozen=True, slots=True)
class Clocks:
    """Upper bounds in seconds; ``total_s`` None leaves it to the caller's deadline."""

    first_chunk_s: float = 60.0
    idle_s: float = 60.0
    total_s: float | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """Several models behind one id; a model called directly becomes a pool of one member."""

    id: str
    members: tuple[PoolMember, ...]
    home: HomeStrategy = HomeStrategy.DETERMINISTIC
    sticky_scope: StickyScope = StickyScope.THREAD
    switch: SwitchPolicy = field(default_factory=SwitchPolicy)
    pin_ttl_s: float = 3600.0
    return_home: ReturnHome = ReturnHome.NEVER
    in_place_retries: int = 1
    clocks: Clocks = field(default_factory=Clocks)
    mid_stream: MidStream = MidStream.INTERRUPT
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)


@dataclass(frozen=True, slots=True)
class Member:
    """A pool member with the model and provider behind it."""

    model: Model
    provider: Provider
    weight: int = 1
    failover_only: bool = False

    @property
    def id(self) -> str:
        return self.model.id

    @property
    def quota_key(self) -> QuotaKey:
        return self.provider.id, self.provider.revision, self.model.upstream_model


@dataclass(frozen=True, slots=True)
class Target:
    """What ``target_id`` of a call names: a pool, or a model as a pool of one.

    Attributes:
        members: In the pool's order.
        revision: Hash of the pool's content, 16 hexadecimal digits; a pin is valid for one.
        is_pool: False for a model.
    """

    pool: Pool
    members: tuple[Member, ...]
    revision: str
    is_pool: bool

    @property
    def single_member(self) -> bool:
        """Whether there is no other member to fail over to."""
        return len(self.members) == 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One registry version, immutable."""

    version: int
    incarnation: str
    targets: Mapping[str, Target]
