"""How many calls of a method each caller may have open."""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

from services.chassis.caller import Principal
from services.chassis.errors import DomainError, ErrorKind, Retry

# Places come back when readers leave: there is no better guess than a pause that spreads them.
RETRY_AFTER_S = 5.0


class TooManyCallsError(DomainError):
    """The caller has as many calls of the method open as its row allows."""

    kind = ErrorKind.EXHAUSTED
    reason = "TOO_MANY_CALLS"
    retry = Retry.RETRYABLE


# Method, tenant, name of the caller, whom it acts for.
Place: TypeAlias = tuple[str, str, str, str | None]


class OpenCalls:
    """Counts live calls by caller and method.

    Whom a service acts for counts on its own: one busy principal does not use up the service's
    places for the others.
    """

    def __init__(self) -> None:
        self._open: Counter[Place] = Counter()

    def take(self, principal: Principal, method: str, limit: int) -> Place:
        """Take one of the ``limit`` places of the caller; ``leave`` gives it back.

        Raises:
            TooManyCallsError: All places are taken.
        """
        place = (method, principal.tenant, principal.name, principal.on_behalf_of)
        if self._open[place] >= limit:
            raise TooManyCallsError(
                f"this caller has {limit} open calls of {method}, which is the limit: "
                "close some, or share one",
                retry_after_s=RETRY_AFTER_S,
                method=method,
                limit=str(limit),
            )
        self._open[place] += 1
        return place

    def leave(self, place: Place) -> None:
        self._open[place] -= 1
        if not self._open[place]:
            del self._open[place]  # callers come and go for years
