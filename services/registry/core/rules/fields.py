"""The rules of the fields of models, pools, agents and tools, which depend on no other resource.

The rules that several kinds share stand below; each yields every violation.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Hashable, Iterable, Iterator
from datetime import date, timedelta
from urllib.parse import urlsplit

from services.chassis.errors import Violation
from services.chassis.ids import id_violations
from services.content.model import (
    MAX_DESCRIPTION_BYTES,
    MAX_SCHEMA_BYTES,
    EffectClass,
    Sampling,
)
from services.registry.core.executors import BuiltinTool
from services.registry.core.model import (
    DAY,
    HOUR,
    Agent,
    AgentEndpoint,
    CredentialRef,
    EnvCredential,
    MemberRole,
    Model,
    ModelPool,
    ModelPrices,
    PoolMember,
    Tool,
)
from services.registry.core.rules.secrets import looks_like_secret, secret_in_address

ANY_TOOL = "*"
PASTED = "looks like a secret; name the environment variable or file that holds it"
MAX_TOOLS = 256
MAX_ROUNDS = 1000
MAX_TOTAL_TOKENS = 100_000_000
MAX_STOP_TEXTS = 16
MAX_STOP_CHARS = 4096
MAX_OUTPUT_TOKENS = (1 << 32) - 1
MAX_MODALITIES = 16
MAX_CURRENCY_CHARS = 3
MAX_PRICE_CHARS = 19
MAX_DATE_CHARS = 10
MAX_MEMBERS = 64
MAX_WEIGHT = 1_000_000
MAX_TOKENS = 1_000_000_000
MAX_ENV_NAME_CHARS = 256
MAX_PATH_CHARS = 4096
MAX_NAME_CHARS = 512
MAX_HEADER_CHARS = 4096
_BRINGS_ITS_OWN = "must be empty: a built-in tool brings its own"
_PRICE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ENV_NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{MAX_ENV_NAME_CHARS - 1}}}", re.ASCII)


def model_violations(model: Model, field: str) -> Iterator[Violation]:
    yield from id_violations(model.provider_id, f"{field}.provider_id")
    yield from name(model.upstream_model, f"{field}.upstream_model")
    yield from _token_limits(model, field)
    yield from distinct(model.modalities, f"{field}.modalities")
    yield from lasts(model.cache_ttl, timedelta(0), DAY, f"{field}.cache_ttl")
    if model.prices:
        yield from _prices(model.prices, f"{field}.prices")
    if model.knowledge_cutoff and not _is_date(model.knowledge_cutoff):
        yield Violation(f"{field}.knowledge_cutoff", "must be a date, YYYY-MM or YYYY-MM-DD")


def _token_limits(model: Model, field: str) -> Iterator[Violation]:
    window, output = model.context_window, model.max_output_tokens
    yield from between(window, 1, MAX_TOKENS, f"{field}.context_window")
    yield from between(output, 1, MAX_TOKENS, f"{field}.max_output_tokens")
    if window is not None and output is not None and output > window:
        yield Violation(
            f"{field}.max_output_tokens", f"is {output}, more than context_window, {window}"
        )


def _prices(prices: ModelPrices, field: str) -> Iterator[Violation]:
    if not _CURRENCY.fullmatch(prices.currency):
        yield Violation(f"{field}.currency", "must be an ISO 4217 code")
    for what in ("input", "output", "cache_read", "cache_write"):
        price: str = getattr(prices, f"{what}_per_million")
        if price and not _PRICE.fullmatch(price):
            yield Violation(
                f"{field}.{what}_per_million",
                "must be a decimal number, not negative, with at most 12 digits before the point "
                "and 6 after it",
            )


def _is_date(text: str) -> bool:
    if not (_MONTH.fullmatch(text) or _DAY.fullmatch(text)):
        return False
    try:
        date.fromisoformat(text if len(text) > len("YYYY-MM") else f"{text}-01")
    except ValueError:
        return False
    return True


def pool_violations(pool: ModelPool, field: str) -> Iterator[Violation]:
    yield from _members(pool.members, f"{field}.members")
    switch, breaker, clocks = pool.switch, pool.breaker, pool.clocks
    yield from lasts(
        switch.quota_retry_after_threshold,
        timedelta(0),
        DAY,
        f"{field}.switch.quota_retry_after_threshold",
    )
    yield from between(breaker.failure_threshold, 1, 1000, f"{field}.breaker.failure_threshold")
    yield from lasts(breaker.cooldown, timedelta(seconds=0.1), HOUR, f"{field}.breaker.cooldown")
    yield from between(breaker.half_open_max, 1, 100, f"{field}.breaker.half_open_max")
    yield from lasts(
        pool.stickiness.pin_ttl, timedelta(seconds=1), 30 * DAY, f"{field}.stickiness.pin_ttl"
    )
    yield from between(pool.retry.in_place, 0, 10, f"{field}.retry.in_place")
    for clock in ("first_chunk", "idle", "total"):
        yield from positive(getattr(clocks, clock), HOUR, f"{field}.clocks.{clock}")


def _members(members: tuple[PoolMember, ...], field: str) -> Iterator[Violation]:
    if not members:
        yield Violation(field, "must not be empty")
        return
    yield from at_most(len(members), MAX_MEMBERS, "members", field)
    if all(member.role is MemberRole.FAILOVER_ONLY for member in members):
        yield Violation(field, "must have at least one member that is not failover_only")
    yield from distinct((member.model_id for member in members), field, ".model_id")
    for index, member in enumerate(members):
        yield from id_violations(member.model_id, f"{field}[{index}].model_id")
        yield from between(member.weight, 1, MAX_WEIGHT, f"{field}[{index}].weight")


def agent_violations(agent: Agent, field: str) -> Iterator[Violation]:
    if agent.endpoint is None or agent.model_id:
        yield from id_violations(agent.model_id, f"{field}.model_id")
    yield from at_most(len(agent.tools), MAX_TOOLS, "tools", f"{field}.tools")
    yield from distinct(agent.tools, f"{field}.tools")
    for index, tool_id in enumerate(agent.tools):
        yield from id_violations(tool_id, f"{field}.tools[{index}]")
    rules = f"{field}.approval_rules"
    yield from at_most(len(agent.approval_rules), MAX_TOOLS, "rules", rules)
    for index, rule in enumerate(agent.approval_rules):
        yield from id_violations(rule.tool_id, f"{rules}[{index}].tool_id")
        yield from _consent(rule.approval_timeout, f"{rules}[{index}].approval_timeout")
    yield from between(agent.max_rounds, 1, MAX_ROUNDS, f"{field}.max_rounds")
    yield from between(agent.max_total_tokens, 1, MAX_TOTAL_TOKENS, f"{field}.max_total_tokens")
    yield from _sampling(agent.sampling, f"{field}.sampling")
    if agent.endpoint:
        yield from _endpoint(agent.endpoint, f"{field}.endpoint")


def _sampling(sampling: Sampling, field: str) -> Iterator[Violation]:
    yield from between(sampling.temperature, 0, 2, f"{field}.temperature")
    top_p = sampling.top_p
    if top_p is not None and not 0 < top_p <= 1:
        text = "not a number" if math.isnan(top_p) else f"{top_p:g}"
        yield Violation(f"{field}.top_p", f"is {text}, must be more than 0, at most 1")
    yield from between(
        sampling.max_output_tokens, 1, MAX_OUTPUT_TOKENS, f"{field}.max_output_tokens"
    )
    yield from at_most(len(sampling.stop), MAX_STOP_TEXTS, "texts", f"{field}.stop")
    for index, text in enumerate(sampling.stop):
        if not text:
            yield Violation(f"{field}.stop[{index}]", "must not be empty")


def _endpoint(endpoint: AgentEndpoint, field: str) -> Iterator[Violation]:
    yield from url(endpoint.base_url, f"{field}.base_url")
    yield from credential(endpoint.credential_ref, f"{field}.credential_ref")
    yield from positive(endpoint.timeout, DAY, f"{field}.timeout")


def tool_violations(tool: Tool, field: str) -> Iterator[Violation]:
    yield from lasts(tool.timeout, timedelta(seconds=0.1), DAY, f"{field}.timeout")
    yield from _consent(tool.approval_timeout, f"{field}.approval_timeout")
    if tool.id == ANY_TOOL:
        yield Violation(f"{field}.id", "must not be '*', which stands for every tool in rules")
    if isinstance(tool.executor, BuiltinTool):
        yield from _builtin(tool, field)
        return
    yield from _size(tool.description, MAX_DESCRIPTION_BYTES, f"{field}.description")
    yield from _schema(tool.json_schema, f"{field}.json_schema")
    label = tool.executor.label
    if label:
        yield from id_violations(label, f"{field}.worker.label")


def _consent(timeout: timedelta | None, field: str) -> Iterator[Violation]:
    return lasts(timeout, timedelta(seconds=1), 365 * DAY, field)


def _builtin(tool: Tool, field: str) -> Iterator[Violation]:
    if tool.description:
        yield Violation(f"{field}.description", _BRINGS_ITS_OWN)
    if tool.json_schema:
        yield Violation(f"{field}.json_schema", _BRINGS_ITS_OWN)
    if tool.effect_class not in {None, EffectClass.IDEMPOTENT}:
        yield Violation(
            f"{field}.effect_class", "must be idempotent or unset: the tool is built in"
        )


def _size(text: str, limit_bytes: int, field: str) -> Iterator[Violation]:
    size_bytes = len(text.encode("utf-8"))
    if size_bytes > limit_bytes:
        yield Violation(field, f"is {size_bytes:,} bytes, at most {limit_bytes:,} are allowed")


def _schema(text: str, field: str) -> Iterator[Violation]:
    yield from _size(text, MAX_SCHEMA_BYTES, field)
    if not text:
        return
    try:
        schema = json.loads(text)
        # The reader takes NaN and half a surrogate pair, which nobody downstream has to.
        json.dumps(schema, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        yield Violation(field, f"is no JSON: {error}")
        return
    if not isinstance(schema, dict):
        yield Violation(field, "must be a JSON object")


def name(value: str, field: str) -> Iterator[Violation]:
    """A required name that is not an id of ours."""
    if not value.strip():
        yield Violation(field, "must not be empty")
    elif len(value) > MAX_NAME_CHARS:
        yield Violation(field, f"is {len(value)} characters, at most {MAX_NAME_CHARS} are allowed")


def header_text(value: str, field: str) -> Iterator[Violation]:
    """What travels as a header of a call: empty, or a short line."""
    if len(value) > MAX_HEADER_CHARS:
        yield Violation(
            field, f"is {len(value):,} characters, at most {MAX_HEADER_CHARS:,} are allowed"
        )
    elif not value.isprintable():
        yield Violation(field, "must not contain control characters")
    elif value != value.strip():
        yield Violation(field, "must not begin or end with a blank")


def public_header(value: str, field: str) -> Iterator[Violation]:
    """What travels as a header and is for everybody to read; a secret is not repeated."""
    if looks_like_secret(value):
        yield Violation(field, PASTED)
    else:
        yield from header_text(value, field)


def public_address(value: str, field: str) -> Iterator[Violation]:
    """Nothing in a URL, a gRPC target or a host is a secret."""
    if secret_in_address(value):
        yield Violation(field, PASTED)


def at_most(count: int, limit: int, what: str, field: str) -> Iterator[Violation]:
    if count > limit:
        yield Violation(field, f"has {count} {what}, at most {limit} are allowed")


def between(
    value: float | None, least: float, most: float, field: str, unit: str = ""
) -> Iterator[Violation]:
    """``value`` lies in [least, most]; None is not checked."""
    if value is not None and not least <= value <= most:
        lower, upper = f"{_exact(least)}{unit}", f"{_exact(most)}{unit}"
        yield Violation(field, f"is {_exact(value)}{unit}, must be {lower} to {upper}")


def _exact(value: float) -> str:
    """With so many digits that what is barely out of range does not look like its limit."""
    return f"{value:,.15g}"


def lasts(
    value: timedelta | None, least: timedelta, most: timedelta, field: str
) -> Iterator[Violation]:
    """``value`` lies in [least, most]; None is not checked."""
    seconds = None if value is None else value.total_seconds()
    return between(seconds, least.total_seconds(), most.total_seconds(), field, " s")


def positive(value: timedelta | None, most: timedelta, field: str) -> Iterator[Violation]:
    """``value`` lies in (0, most]; None is not checked."""
    if value is not None and not timedelta(0) < value <= most:
        seconds, limit = _exact(value.total_seconds()), _exact(most.total_seconds())
        yield Violation(field, f"is {seconds} s, must be more than 0 s, at most {limit} s")


def distinct(values: Iterable[Hashable], field: str, member: str = "") -> Iterator[Violation]:
    """No value twice; the violation is at the later one."""
    seen: set[Hashable] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield Violation(f"{field}[{index}]{member}", "occurs more than once")
        seen.add(value)


def url(value: str, field: str) -> Iterator[Violation]:
    """An http or https URL of a host, without query, fragment, user, blanks and secrets."""
    if secret_in_address(value):
        yield Violation(field, PASTED)
        return
    try:
        parts = urlsplit(value)
        legal = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a malformed port or bracketed host
        legal = False
    if not legal:
        yield Violation(field, "must be an http or https URL")
    elif " " in value or not value.isprintable():
        # Which the parser drops in silence; whoever calls the address might not.
        yield Violation(field, "must not contain blanks and control characters")
    elif "?" in value or "#" in value or "@" in parts.netloc:
        yield Violation(field, "must have no query, fragment and user")
    elif len(value) > MAX_PATH_CHARS:
        yield Violation(field, f"must have at most {MAX_PATH_CHARS} characters")


def credential(ref: CredentialRef | None, field: str) -> Iterator[Violation]:
    """A reference, never the secret itself; a violation does not repeat the value."""
    if ref is None:
        return
    if isinstance(ref, EnvCredential):
        if looks_like_secret(ref.env):
            yield Violation(f"{field}.env", PASTED)
        elif not _ENV_NAME.fullmatch(ref.env):
            yield Violation(
                f"{field}.env",
                "must be the name of an environment variable: letters, digits and underscores, "
                "no digit first",
            )
        return
    if secret_in_address(ref.file):
        yield Violation(f"{field}.file", PASTED)
    elif not _is_absolute_path(ref.file):
        yield Violation(f"{field}.file", "must be an absolute path without '..'")


def _is_absolute_path(path: str) -> bool:
    return (
        path.startswith("/")
        and len(path) <= MAX_PATH_CHARS
        and path.isprintable()
        and ".." not in path.split("/")
    )
