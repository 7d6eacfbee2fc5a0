"""Names of the router's spans and their attributes, beyond those of the chassis."""

from __future__ import annotations

from typing import Final

# Of the conventions for generative AI.
OPERATION: Final = "gen_ai.operation.name"
OPERATION_CHAT: Final = "chat"
PROVIDER_NAME: Final = "gen_ai.provider.name"
PROVIDER_BUILTIN: Final = "runyard.builtin"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
RESPONSE_ID: Final = "gen_ai.response.id"
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
