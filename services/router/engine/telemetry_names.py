"""The router's metrics, and the names of its spans and attributes, beyond those of the chassis."""

from __future__ import annotations

from typing import Final

from services.chassis.observe.metrics import (
    SHORT_SECONDS,
    Counter,
    Gauge,
    Histogram,
    ObservedUpDownCounter,
)

# Of the conventions for generative AI.
OPERATION: Final = "gen_ai.operation.name"
OPERATION_CHAT: Final = "chat"
PROVIDER_NAME: Final = "gen_ai.provider.name"
PROVIDER_BUILTIN: Final = "runyard.builtin"
PROVIDER_GRPC: Final = "runyard.grpc"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"

# Of the router, until the conventions cover gateways.
TARGET: Final = "router.target"
POOL_REVISION: Final = "router.pool.revision"
REGISTRY_VERSION: Final = "router.registry.version"
HOME_MEMBER: Final = "router.home.member.id"
STICKY: Final = "router.sticky"
ATTEMPTS: Final = "router.attempts"
ATTEMPT_ID: Final = "router.attempt.id"
ATTEMPT_NUMBER: Final = "router.attempt.number"
ATTEMPT_KIND: Final = "router.attempt.kind"
MEMBER_ID: Final = "router.member.id"
MEMBER_ROLE: Final = "router.member.role"
IS_HOME: Final = "router.home"
COMMIT: Final = "router.commit"
ROUTER_LINK_TYPE: Final = "router.link.type"
FAILOVER_EVENT: Final = "router.failover"
LINK_RETRY_OF: Final = "retry_of"

# Of metrics alone.
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105  # of a language model
PROVIDER_ID: Final = "router.provider.id"
CIRCUIT: Final = "router.circuit"
FAILOVER_FROM: Final = "router.failover.from"
FAILOVER_TO: Final = "router.failover.to"
FAILOVER_REASON: Final = "router.failover.reason"
CANCELLED_WHERE: Final = "router.cancelled.where"
QUOTA_KIND: Final = "router.quota.kind"

# The bounds of the conventions for generative AI.
_INFERENCE_SECONDS = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
ATTEMPT_DURATION = Histogram(
    "gen_ai.client.inference.duration",
    "s",
    "How long requests to providers took, answers to their end.",
    _INFERENCE_SECONDS,
)
FIRST_CHUNK_DURATION = Histogram(
    "gen_ai.client.inference.time_to_first_chunk",
    "s",
    "From a request to a provider to the first content of its answer.",
    _INFERENCE_SECONDS,
)
TOKENS = Counter("router.tokens", "{token}", "Tokens of requests to providers.")
OVERHEAD = Histogram(
    "router.overhead",
    "s",
    "What the router itself took up to the first content, without providers and pauses.",
    SHORT_SECONDS,
)
FAILOVERS = Counter("router.failovers", "{move}", "Moves to another member after a failure.")
STICKY_CALLS = Counter("router.sticky", "{call}", "Calls, by how their session is routed.")
INTERRUPTED = Counter(
    "router.interrupted", "{call}", "Calls whose answer broke off after its first content."
)
CANCELLED = Counter("router.cancelled", "{call}", "Calls whose caller left.")
CIRCUITS = ObservedUpDownCounter(
    "router.breaker.state", "{circuit}", "Circuits of members that have failed, by their state."
)
CIRCUIT_CHANGES = Counter(
    "router.breaker.transitions", "{transition}", "Circuits that changed to a state."
)
QUOTA_REMAINING = Gauge(
    "router.quota.remaining",
    "{unit}",
    "What the provider's last answer said that remains of a limit.",
)
RETRY_TOKENS = ObservedUpDownCounter(
    "router.retry_budget.tokens", "{token}", "Retries that the budget of the process allows now."
)
