"""The spans of a call, ``route {target}`` around one ``chat {model}`` per attempt, and its metrics.

Spans are started and ended by hand, never made current: calls are asynchronous generators, and a
current span would leak into whoever consumes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind, StatusCode

from services.chassis.observe.metrics import Attributes, Measuring
from services.chassis.observe.names import (
    ERROR_TYPE,
    LINK_FAILOVER_FROM,
    LINK_MOVED_BY,
    LINK_TYPE,
    RUN_ID,
    THREAD_ID,
)
from services.chassis.observe.telemetry import current_traceparent, link_to, mark_failed, tracer
from services.content.model import FinishReason, Usage
from services.router.core.decision import Attempt, AttemptKind, AttemptOutcome, RouteDecision
from services.router.core.items import Opened
from services.router.core.model import Adapter, Anthropic, Builtin, Grpc, Member, OpenAi, QuotaKey
from services.router.core.quota_windows import QuotaWindow
from services.router.core.session import Session
from services.router.engine import telemetry_names as names

_LINK_OF_KIND: Mapping[AttemptKind, str] = {
    AttemptKind.RETRY: names.LINK_RETRY_OF,
    AttemptKind.FAILOVER: LINK_FAILOVER_FROM,
}
_PROVIDER_NAMES: Mapping[type[Adapter], str] = {
    Builtin: names.PROVIDER_BUILTIN,
    OpenAi: "openai",
    Anthropic: "anthropic",
    Grpc: names.PROVIDER_GRPC,
}
_QUOTA_KINDS = frozenset({"requests", "tokens", "input-tokens", "output-tokens"})


def traceparent_of(span: Span) -> str:
    """The traceparent of a span; empty when the span is not recorded."""
    with trace.use_span(span, end_on_exit=False):
        return current_traceparent()


def start_route(decision: RouteDecision, session: Session, moved_by: str) -> Span:
    """Start the span of the call, a child of the current span.

    Args:
        moved_by: Traceparent of what moved the session before this call; empty for none.
    """
    attributes: dict[str, str | int] = {
        names.OPERATION: names.OPERATION_CHAT,
        names.REQUEST_MODEL: decision.target_id,
        names.TARGET: decision.target_id,
        names.POOL_REVISION: decision.pool_revision,
        names.REGISTRY_VERSION: decision.registry_version,
        names.HOME_MEMBER: decision.home_member_id,
    }
    if session.thread_id:
        attributes |= {names.CONVERSATION_ID: session.thread_id, THREAD_ID: session.thread_id}
    if session.run_id:
        attributes[RUN_ID] = session.run_id
    return tracer().start_span(
        f"route {decision.target_id}",
        kind=SpanKind.INTERNAL,
        links=_links(moved_by, LINK_MOVED_BY),
        attributes=attributes,
    )


def end_route(span: Span, decision: RouteDecision, error: BaseException | None) -> None:
    span.set_attribute(names.STICKY, decision.sticky.value)
    span.set_attribute(names.ATTEMPTS, len(decision.attempts))
    if decision.member_id:
        span.set_attribute(names.MEMBER_ID, decision.member_id)
    if error is not None:
        mark_failed(span, error)
    span.end()
    _measure_call(decision, error)


def record_failover(span: Span, before: Attempt, to_member_id: str) -> None:
    """Add the failover event to the span of the call, and count it."""
    facts: dict[str, str | float] = {"from": before.member_id, "to": to_member_id}
    if before.failure is not None:
        facts["reason"] = before.failure.kind.value
        if before.failure.retry_after_s is not None:
            facts["retry_after_s"] = before.failure.retry_after_s
    span.add_event(names.FAILOVER_EVENT, facts)
    names.FAILOVERS.add(
        1,
        {
            names.FAILOVER_FROM: before.member_id,
            names.FAILOVER_TO: to_member_id,
            names.FAILOVER_REASON: "" if before.failure is None else before.failure.kind.value,
        },
    )


def start_attempt(
    route: Span, attempt: Attempt, member: Member, *, is_home: bool, before: str
) -> Span:
    """Start the span of an attempt, a child of the span of the call.

    Args:
        before: Traceparent of the attempt that this one retries or replaces; empty for the first.
    """
    attributes: dict[str, str | int | bool] = {
        names.OPERATION: names.OPERATION_CHAT,
        names.PROVIDER_NAME: provider_name(member),
        names.REQUEST_MODEL: attempt.upstream_model,
        names.REQUEST_STREAM: True,
        names.ATTEMPT_ID: attempt.id,
        names.ATTEMPT_NUMBER: attempt.number,
        names.ATTEMPT_KIND: attempt.kind.value,
        names.MEMBER_ID: attempt.member_id,
        names.MEMBER_ROLE: "failover_only" if member.failover_only else "member",
        names.IS_HOME: is_home,
        **_server(member),
    }
    return tracer().start_span(
        f"chat {attempt.upstream_model}",
        context=trace.set_span_in_context(route),
        kind=SpanKind.CLIENT,
        links=_links(before, _LINK_OF_KIND.get(attempt.kind, "")),
        attributes=attributes,
    )


def end_attempt(
    span: Span, attempt: Attempt, usage: Usage | None, finish: FinishReason | None
) -> None:
    """End the span of an attempt with its outcome; a cancelled one is not marked as an error."""
    if attempt.failure is not None:
        span.set_attribute(ERROR_TYPE, attempt.failure.kind.value)
        if attempt.outcome is not AttemptOutcome.CANCELLED:
            span.set_status(StatusCode.ERROR)
    if finish is not None:
        span.set_attribute(names.FINISH_REASONS, [finish.value])
    if usage is not None:
        span.set_attributes(
            {
                names.INPUT_TOKENS: usage.input_tokens,
                names.OUTPUT_TOKENS: usage.output_tokens,
                names.CACHE_READ_TOKENS: usage.cache_read_input_tokens,
                names.CACHE_WRITE_TOKENS: usage.cache_write_input_tokens,
                names.REASONING_TOKENS: usage.reasoning_output_tokens,
            }
        )
    span.end()


def as_parent(span: Span) -> AbstractContextManager[object]:
    """In the block, spans that others start are children of ``span``; their errors are not its."""
    return trace.use_span(span, record_exception=False, set_status_on_exception=False)


def record_commit_point(span: Span, opened: Opened, first_chunk_s: float) -> None:
    """Mark the attempt whose answer is relayed."""
    span.set_attribute(names.COMMIT, True)
    span.set_attribute(names.TIME_TO_FIRST_CHUNK, first_chunk_s)
    if opened.response_id:
        span.set_attribute(names.RESPONSE_ID, opened.response_id)
    if opened.upstream_model:
        span.set_attribute(names.RESPONSE_MODEL, opened.upstream_model)


def provider_name(member: Member) -> str:
    """The value of ``gen_ai.provider.name`` for the adapter."""
    return _PROVIDER_NAMES[type(member.provider.adapter)]


def _server(member: Member) -> dict[str, str | int]:
    adapter = member.provider.adapter
    if isinstance(adapter, Grpc):
        host, _, number = adapter.target.removeprefix("dns:///").rpartition(":")
        return {names.SERVER_ADDRESS: host, names.SERVER_PORT: int(number)}
    if not isinstance(adapter, OpenAi | Anthropic):
        return {}
    url = urlsplit(adapter.base_url)
    port = url.port or (443 if url.scheme == "https" else 80)
    return {names.SERVER_ADDRESS: url.hostname or "", names.SERVER_PORT: port}


def _links(traceparent: str, kind: str) -> list[Link]:
    if not kind:
        return []
    link = link_to(traceparent, **{LINK_TYPE: kind, names.ROUTER_LINK_TYPE: kind})
    return [] if link is None else [link]


def measure_first_chunk(member: Member, attempt: Attempt) -> None:
    """Record the time to the first content of an attempt that has just got there."""
    if Measuring.provider is not None:
        names.FIRST_CHUNK_DURATION.record(attempt.elapsed_s, _of_attempt(member, attempt))


def measure_attempt(member: Member, attempt: Attempt, usage: Usage | None) -> None:
    """Record the duration and the tokens of an attempt that has ended."""
    if Measuring.provider is None:
        return
    attributes = _of_attempt(member, attempt)
    names.ATTEMPT_DURATION.record(attempt.elapsed_s, attributes)
    if usage is None:
        return
    for kind, tokens in (
        ("input", usage.input_tokens),
        ("output", usage.output_tokens),
        ("cache_read", usage.cache_read_input_tokens),
        ("cache_write", usage.cache_write_input_tokens),
        ("reasoning", usage.reasoning_output_tokens),
    ):
        if tokens:
            names.TOKENS.add(tokens, {**attributes, names.TOKEN_TYPE: kind})


def measure_windows(key: QuotaKey, windows: Iterable[QuotaWindow]) -> None:
    """Record what remains of the limits that an answer told of.

    Args:
        key: Whose limits they are.
    """
    provider_id, _, upstream_model = key
    for window in windows:
        if window.remaining is not None:
            # A provider may name what it likes.
            kind = window.kind if window.kind in _QUOTA_KINDS else "other"
            attributes = {
                names.PROVIDER_ID: provider_id,
                names.REQUEST_MODEL: upstream_model,
                names.QUOTA_KIND: kind,
            }
            names.QUOTA_REMAINING.set(window.remaining, attributes)


def measure_overhead(target_id: str, seconds: float) -> None:
    if Measuring.provider is not None:
        names.OVERHEAD.record(max(seconds, 0.0), {names.TARGET: target_id})


def _of_attempt(member: Member, attempt: Attempt) -> Attributes:
    """The ids are those of the registry, and few."""
    found: dict[str, str] = {
        names.OPERATION: names.OPERATION_CHAT,
        names.PROVIDER_NAME: provider_name(member),
        names.PROVIDER_ID: member.provider.id,
        names.REQUEST_MODEL: member.model.upstream_model,
        names.MEMBER_ID: member.id,
    }
    if attempt.failure is not None:
        found[ERROR_TYPE] = attempt.failure.kind.value
    return found


def _measure_call(decision: RouteDecision, error: BaseException | None) -> None:
    if Measuring.provider is None:
        return
    target = {names.TARGET: decision.target_id}
    names.STICKY_CALLS.add(1, {**target, names.STICKY: decision.sticky.value})
    last = decision.attempts[-1] if decision.attempts else None
    if last is not None and last.outcome is AttemptOutcome.INTERRUPTED and last.failure:
        reason = last.failure.kind.value
        names.INTERRUPTED.add(1, {**target, names.MEMBER_ID: last.member_id, ERROR_TYPE: reason})
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        names.CANCELLED.add(1, {**target, names.CANCELLED_WHERE: _where(decision, last)})


def _where(decision: RouteDecision, last: Attempt | None) -> str:
    """What the router was doing when the caller left."""
    if last is None:
        return "routing"
    if last.outcome is AttemptOutcome.CANCELLED:
        return "streaming" if decision.member_id else "opening"
    # Else the provider is done with its answer, and the caller has not taken all of it.
    return "pausing" if last.outcome is AttemptOutcome.FAILED else "delivering"
