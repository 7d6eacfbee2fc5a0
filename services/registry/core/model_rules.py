"""What makes a model or a pool legal on its own, before any other resource is looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

from services.chassis.errors import Violation
from services.chassis.ids import id_violations
from services.registry.core import checks
from services.registry.core.model import (
    DAY,
    HOUR,
    MemberRole,
    Model,
    ModelPool,
    ModelPrices,
    PoolMember,
)

MAX_MEMBERS = 64
MAX_WEIGHT = 1_000_000
MAX_TOKENS = 1_000_000_000
_PRICE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def model_violations(model: Model, field: str) -> Iterator[Violation]:
    yield from id_violations(model.provider_id, f"{field}.provider_id")
    yield from checks.name(model.upstream_model, f"{field}.upstream_model")
    yield from _token_limits(model, field)
    yield from checks.distinct(model.modalities, f"{field}.modalities")
    yield from checks.lasts(model.cache_ttl, timedelta(0), DAY, f"{field}.cache_ttl")
    if model.prices:
        yield from _prices(model.prices, f"{field}.prices")
    if model.knowledge_cutoff and not _is_date(model.knowledge_cutoff):
        yield Violation(f"{field}.knowledge_cutoff", "must be a date, YYYY-MM or YYYY-MM-DD")


def _token_limits(model: Model, field: str) -> Iterator[Violation]:
    window, output = model.context_window, model.max_output_tokens
    yield from checks.between(window, 1, MAX_TOKENS, f"{field}.context_window")
    yield from checks.between(output, 1, MAX_TOKENS, f"{field}.max_output_tokens")
    if window is not None and output is not None and output > window:
        yield Violation(
            f"{field}.max_output_tokens", f"is {output}, more than context_window, {window}"
        )


def _prices(prices: ModelPrices, field: str) -> Iterator[Violation]:
    if not _CURRENCY.fullmatch(prices.currency):
        yield Violation(f"{field}.currency", "must be an ISO 4217 code")
    for name in ("input", "output", "cache_read", "cache_write"):
        price: str = getattr(prices, f"{name}_per_million")
        if price and not _PRICE.fullmatch(price):
            yield Violation(
                f"{field}.{name}_per_million",
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
    yield from checks.lasts(
        switch.quota_retry_after_threshold,
        timedelta(0),
        DAY,
        f"{field}.switch.quota_retry_after_threshold",
    )
    yield from checks.between(
        breaker.failure_threshold, 1, 1000, f"{field}.breaker.failure_threshold"
    )
    yield from checks.lasts(
        breaker.cooldown, timedelta(seconds=0.1), HOUR, f"{field}.breaker.cooldown"
    )
    yield from checks.between(breaker.half_open_max, 1, 100, f"{field}.breaker.half_open_max")
    yield from checks.lasts(
        pool.stickiness.pin_ttl, timedelta(seconds=1), 30 * DAY, f"{field}.stickiness.pin_ttl"
    )
    yield from checks.between(pool.retry.in_place, 0, 10, f"{field}.retry.in_place")
    for name in ("first_chunk", "idle", "total"):
        yield from checks.positive(getattr(clocks, name), HOUR, f"{field}.clocks.{name}")


def _members(members: tuple[PoolMember, ...], field: str) -> Iterator[Violation]:
    if not members:
        yield Violation(field, "must not be empty")
        return
    yield from checks.at_most(len(members), MAX_MEMBERS, "members", field)
    if all(member.role is MemberRole.FAILOVER_ONLY for member in members):
        yield Violation(field, "must have at least one member that is not failover_only")
    yield from checks.distinct((member.model_id for member in members), field, ".model_id")
    for index, member in enumerate(members):
        yield from id_violations(member.model_id, f"{field}[{index}].model_id")
        yield from checks.between(member.weight, 1, MAX_WEIGHT, f"{field}[{index}].weight")
