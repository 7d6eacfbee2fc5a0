"""What a model call costs, by the prices that its model has in the registry."""

from __future__ import annotations

from dataclasses import replace

from services.content.model import Usage
from services.router.core.model import Prices

# A price has six decimals and is for a million tokens: so many decimals has the cost of one.
_DECIMALS = 12


def priced(usage: Usage, prices: Prices) -> Usage:
    """The usage with its cost; as it is when a price of tokens that were used is unknown.

    Tokens that were read from a prompt cache or written to it have prices of their own; without
    them they cost as much as other input.
    """
    cached_tokens = usage.cache_read_input_tokens + usage.cache_write_input_tokens
    parts = (
        (max(usage.input_tokens - cached_tokens, 0), prices.input_micros),
        (usage.cache_read_input_tokens, _or_input(prices.cache_read_micros, prices)),
        (usage.cache_write_input_tokens, _or_input(prices.cache_write_micros, prices)),
        (usage.output_tokens, prices.output_micros),
    )
    total = 0
    for tokens, micros in parts:
        if tokens and micros is None:
            return usage
        total += tokens * (micros or 0)
    return replace(usage, cost=_decimal(total), currency=prices.currency)


def _or_input(micros: int | None, prices: Prices) -> int | None:
    return prices.input_micros if micros is None else micros


def _decimal(amount: int) -> str:
    whole, fraction = divmod(amount, 10**_DECIMALS)
    return f"{whole}.{fraction:0{_DECIMALS}}".rstrip("0").rstrip(".")
