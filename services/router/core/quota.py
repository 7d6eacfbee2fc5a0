"""Until when a member asked to be left alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.router.core.model import SwitchPolicy

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
# A hint beyond a day is more likely a mistake than a plan; the member is asked again after it.
LONGEST_HINT_S = 86_400.0


@dataclass(frozen=True, slots=True)
class QuotaDeadline:
    """The end of a member's wish for rest.

    Attributes:
        hint_s: The hint behind it; None when the provider gave none.
        streak: Hint-less refusals in a row, each longer than the one before.
    """

    until: datetime
    hint_s: float | None
    streak: int = 0


def after_refusal(
    before: QuotaDeadline | None, hint_s: float | None, now: datetime
) -> QuotaDeadline:
    """The deadline once a member has refused for its quota or load: never earlier than before."""
    if hint_s is not None:
        asked = QuotaDeadline(now + timedelta(seconds=min(hint_s, LONGEST_HINT_S)), hint_s)
        return asked if before is None or before.until < asked.until else before
    if before is not None and now < before.until:
        # Calls that were under way together are one refusal, not many in a row.
        return before
    streak = 1 if before is None else before.streak + 1
    pause_s = min(FIRST_PAUSE_S * 2.0 ** min(streak - 1, 16), LONGEST_PAUSE_S)
    return QuotaDeadline(now + timedelta(seconds=pause_s), None, streak)


def after_answer(before: QuotaDeadline | None, now: datetime) -> QuotaDeadline | None:
    """The deadline once the member has answered well: one that still runs stays."""
    return before if before is not None and now < before.until else None


def is_worth_a_move(hint_s: float | None, switch: SwitchPolicy) -> bool:
    """Whether a refusal with this hint moves a session; an unknown wait counts as a long one."""
    if not switch.on_quota:
        return False
    return switch.quota_threshold_s is None or hint_s is None or hint_s >= switch.quota_threshold_s


def sets_aside(deadline: QuotaDeadline | None, switch: SwitchPolicy, now: datetime) -> bool:
    """Whether the deadline hides the member from sessions of a pool with this policy."""
    if deadline is None or deadline.until <= now:
        return False
    return is_worth_a_move(deadline.hint_s, switch)
