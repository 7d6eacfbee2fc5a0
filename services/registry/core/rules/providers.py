"""The rules of the fields of a provider, which depend on no other resource."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import chain
from typing import assert_never

from services.chassis.errors import Violation
from services.chassis.slices import give_way
from services.registry.core.model import (
    HOUR,
    MINUTE,
    AnthropicAdapter,
    BuiltinAdapter,
    BuiltinFault,
    BuiltinStep,
    GrpcAdapter,
    HttpHeader,
    OpenAiAdapter,
    Provider,
    QueryParameter,
)
from services.registry.core.rules import fields
from services.registry.core.rules.secrets import (
    is_secret_header,
    is_secret_parameter,
    looks_like_secret,
)

MAX_STEPS = 256
MAX_PATTERN_CHARS = 1024
MAX_TOOL_CALLS = 64
MAX_HEADERS = 64
MAX_HEADER_NAME_CHARS = 256
MAX_PARAMETERS = 16
MAX_PARAMETER_NAME_CHARS = 256
MAX_PORT = 65_535
_OPENAI_PATH = "/chat/completions"
_GRPC_TARGET = re.compile(r"(dns:///)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
_IGNORES_CASE = re.compile(r"\(\?[aLmsux]*i")
_WIDE_RANGE = re.compile(r"-(?:[^\x00-\xff]|\\[uUN])")
# What a connection says about itself; a second opinion on where a message ends lets requests be
# smuggled into it.
_CONNECTION_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_HEADER_NAME = re.compile(rf"[!#$%&'*+.^_`|~0-9A-Za-z-]{{1,{MAX_HEADER_NAME_CHARS}}}")


def provider_violations(provider: Provider, field: str) -> Iterator[Violation]:
    yield from fields.positive(provider.timeout, HOUR, f"{field}.timeout")
    yield from fields.credential(provider.credential_ref, f"{field}.credential_ref")
    yield from _base_url(provider, f"{field}.base_url")
    match provider.adapter:
        case BuiltinAdapter() as adapter:
            yield from _builtin(adapter, f"{field}.builtin")
        case OpenAiAdapter() as adapter:
            yield from _openai(adapter, f"{field}.openai")
        case AnthropicAdapter() as adapter:
            yield from _anthropic(adapter, f"{field}.anthropic")
        case GrpcAdapter(authority=authority):
            yield from fields.public_address(authority, f"{field}.grpc.authority")
            yield from fields.header_text(authority, f"{field}.grpc.authority")
        case _:
            assert_never(provider.adapter)


def _base_url(provider: Provider, field: str) -> Iterator[Violation]:
    match provider.adapter:
        case BuiltinAdapter():
            if provider.base_url:
                yield Violation(field, "must be empty: a builtin provider is inside the router")
        case GrpcAdapter():
            yield from fields.public_address(provider.base_url, field)
            target = _GRPC_TARGET.fullmatch(provider.base_url)
            if target is None or not 1 <= int(target["port"]) <= MAX_PORT:
                yield Violation(field, "must be a gRPC target, host:port or dns:///host:port")
        case _:
            if provider.base_url:
                yield from fields.url(provider.base_url, field)
            is_openai = isinstance(provider.adapter, OpenAiAdapter)
            if is_openai and provider.base_url.rstrip("/").endswith(_OPENAI_PATH):
                yield Violation(field, f"must not end in {_OPENAI_PATH}, which is appended")


def _openai(adapter: OpenAiAdapter, field: str) -> Iterator[Violation]:
    yield from fields.public_header(adapter.organization, f"{field}.organization")
    yield from fields.public_header(adapter.project, f"{field}.project")
    yield from _headers(adapter.headers, f"{field}.headers")
    query = f"{field}.query"
    yield from fields.at_most(len(adapter.query), MAX_PARAMETERS, "parameters", query)
    yield from fields.distinct((each.name for each in adapter.query), query, ".name")
    for index, parameter in enumerate(adapter.query):
        yield from _parameter(parameter, f"{query}[{index}]")


def _parameter(parameter: QueryParameter, field: str) -> Iterator[Violation]:
    name = parameter.name
    if is_secret_parameter(name):
        yield Violation(f"{field}.name", "carries a secret; send it as a header, by value_ref")
    elif not name or len(name) > MAX_PARAMETER_NAME_CHARS:
        yield Violation(f"{field}.name", f"must have 1 to {MAX_PARAMETER_NAME_CHARS} characters")
    else:
        yield from fields.public_header(name, f"{field}.name")
    yield from fields.public_header(parameter.value, f"{field}.value")


def _anthropic(adapter: AnthropicAdapter, field: str) -> Iterator[Violation]:
    yield from fields.public_header(adapter.api_version, f"{field}.api_version")
    yield from fields.at_most(len(adapter.betas), MAX_HEADERS, "betas", f"{field}.betas")
    for index, beta in enumerate(adapter.betas):
        yield from fields.name(beta, f"{field}.betas[{index}]")
        yield from fields.public_header(beta, f"{field}.betas[{index}]")
    yield from _headers(adapter.headers, f"{field}.headers")


def _headers(headers: tuple[HttpHeader, ...], field: str) -> Iterator[Violation]:
    yield from fields.at_most(len(headers), MAX_HEADERS, "headers", field)
    yield from fields.distinct((header.name.lower() for header in headers), field, ".name")
    for index, header in enumerate(headers):
        yield from _header(header, f"{field}[{index}]")


def _header(header: HttpHeader, field: str) -> Iterator[Violation]:
    if looks_like_secret(header.name):
        yield Violation(f"{field}.name", fields.PASTED)
    elif not _HEADER_NAME.fullmatch(header.name):
        yield Violation(f"{field}.name", "must be a header name of RFC 9110")
    elif header.name.lower() in _CONNECTION_HEADERS:
        yield Violation(f"{field}.name", "must not be a header that the connection itself sets")
    yield from fields.credential(header.value_ref, f"{field}.value_ref")
    if header.value is None:
        return
    if is_secret_header(header.name):
        yield Violation(f"{field}.value", "carries a secret; use value_ref")
    else:
        yield from fields.public_header(header.value, f"{field}.value")


def _builtin(adapter: BuiltinAdapter, field: str) -> Iterator[Violation]:
    yield from fields.lasts(adapter.delta_interval, timedelta(0), MINUTE, f"{field}.delta_interval")
    yield from fields.at_most(len(adapter.steps), MAX_STEPS, "steps", f"{field}.steps")
    yield from chain.from_iterable(
        _step(step, f"{field}.steps[{index}]") for index, step in enumerate(adapter.steps)
    )


def _step(step: BuiltinStep, field: str) -> Iterator[Violation]:
    # Each pattern is compiled.
    give_way()
    yield from _pattern(step.matches, f"{field}.matches")
    if isinstance(step.outcome, BuiltinFault):
        hint = step.outcome.retry_after
        yield from fields.lasts(hint, timedelta(0), 24 * HOUR, f"{field}.fault.retry_after")
        return
    calls = f"{field}.reply.tool_calls"
    yield from fields.at_most(len(step.outcome.tool_calls), MAX_TOOL_CALLS, "calls", calls)
    for index, call in enumerate(step.outcome.tool_calls):
        yield from fields.name(call.tool_id, f"{calls}[{index}].tool_id")


def _pattern(pattern: str, field: str) -> Iterator[Violation]:
    if len(pattern) > MAX_PATTERN_CHARS:
        yield Violation(
            field, f"is {len(pattern)} characters, at most {MAX_PATTERN_CHARS:,} are allowed"
        )
        return
    if _IGNORES_CASE.search(pattern) and _WIDE_RANGE.search(pattern):
        # Each of its characters is folded, one by one.
        yield Violation(field, "must not combine (?i) with a range that ends beyond U+00FF")
        return
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        yield Violation(field, f"is no regular expression: {error}")
