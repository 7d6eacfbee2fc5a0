"""The retry budget: how many of all requests to providers may be repeats on the same member.

Without it a provider that fails under load gets twice the load.
"""

from __future__ import annotations

from dataclasses import dataclass

PER_CALL = 0.1
PER_SECOND = 3.0
BURST = 10.0


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """Tokens, one per retry.

    Attributes:
        tokens: At ``at_s``; 0 to ``BURST``.
        at_s: Instant of the monotonic clock, in seconds.
        calls: How many calls had begun by then.
    """

    tokens: float
    at_s: float
    calls: int = 0


def take_token(before: RetryBudget, calls: int, now_s: float) -> tuple[RetryBudget, bool]:
    """The budget at ``now_s``, less the token of one retry, and whether there was one.

    Args:
        calls: How many calls have begun up to now; never falls.
    """
    tokens = tokens_at(before, calls, now_s)
    granted = tokens >= 1.0
    return RetryBudget(tokens - 1.0 if granted else tokens, now_s, calls), granted


def tokens_at(before: RetryBudget, calls: int, now_s: float) -> float:
    """How many tokens there are at ``now_s``."""
    earned = PER_SECOND * (now_s - before.at_s) + PER_CALL * (calls - before.calls)
    return min(before.tokens + earned, BURST)
