"""How many calls of a method a caller has open, and when that is enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from services.chassis.caller import Principal
from services.chassis.errors import DomainError, ErrorKind, Retry
from services.chassis.policy import MethodPolicy

# Places come back when readers leave: there is no better guess than a pause that spreads them.
RETRY_AFTER_S = 5.0


class TooManyCallsError(DomainError):
    """The caller has as many calls of the method open as its row allows."""

    kind = ErrorKind.EXHAUSTED
    reason = "TOO_MANY_CALLS"
    retry = Retry.RETRYABLE


class OpenCalls:
    """Counts live calls by caller and method.

    Whom a service acts for counts on its own: one busy principal does not use up the service's
    places for the others.
    """

    def __init__(self) -> None:
        self._open: Counter[tuple[str, str, str, str | None]] = Counter()

    @contextmanager
    def place(self, principal: Principal, method: str, policy: MethodPolicy) -> Iterator[None]:
        """Take a place for the length of the block, however it ends.

        Raises:
            TooManyCallsError: All places are taken.
        """
        limit = policy.concurrent_per_principal
        if limit is None:
            yield
            return
        key = (method, principal.tenant, principal.name, principal.on_behalf_of)
        if self._open[key] >= limit:
            raise TooManyCallsError(
                f"this caller has {limit} open calls of {method}, which is the limit: "
                "close some, or share one",
                retry_after_s=RETRY_AFTER_S,
                method=method,
                limit=str(limit),
            )
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]  # callers come and go for years
