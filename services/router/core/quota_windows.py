"""What providers say of their limits in their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

# Of one account and model; providers tell of one to six.
MAX_WINDOWS = 16


@dataclass(frozen=True, slots=True)
class QuotaWindow:
    """One limit, as of one answer.

    Attributes:
        kind: What is limited, as the provider names it, such as ``requests``.
        limit: None when unknown, as ``remaining``.
        reset_at: When ``limit`` remains again; None when unknown.
        source: The family of headers, or the message, that told of it.
    """

    kind: str
    limit: int | None
    remaining: int | None
    reset_at: datetime | None
    source: str


def merged(
    before: Sequence[QuotaWindow], told: Sequence[QuotaWindow], now: datetime
) -> tuple[QuotaWindow, ...]:
    """The windows after an answer that told of some; the newest ones, if they are too many."""
    renewed = {(each.kind, each.source) for each in told}
    kept = [each for each in before if (each.kind, each.source) not in renewed]
    return live([*kept, *told], now)[-MAX_WINDOWS:]


def live(windows: Sequence[QuotaWindow], now: datetime) -> tuple[QuotaWindow, ...]:
    """Those that have not been reset, as far as is known."""
    return tuple(each for each in windows if each.reset_at is None or now < each.reset_at)


def exhausted_until(windows: Sequence[QuotaWindow]) -> datetime | None:
    """When the last of the windows is reset in which nothing remains; None for none."""
    resets = (each.reset_at for each in windows if each.remaining == 0)
    return max(filter(None, resets), default=None)


def refused_until(windows: Sequence[QuotaWindow]) -> datetime | None:
    """When to repeat a request that was refused for quota: as ``exhausted_until``, else when the
    first window is reset of which it is not known what remains, since it may be any.
    """
    unknown = (each.reset_at for each in windows if each.remaining is None)
    return exhausted_until(windows) or min(filter(None, unknown), default=None)
