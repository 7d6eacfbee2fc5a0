"""The metadata key ``on-behalf-of``: for which principal and run a service makes a call.

Its value is a query string in ASCII: ``tenant=acme&principal=alice&run=0198…``. Only callers with
the role ``service`` may send it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode

from services.chassis.access.policy import PermissionDeniedError
from services.chassis.caller import Principal, Role
from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.ids import id_violations

HEADER = "on-behalf-of"

_KEYS = ("tenant", "principal", "run")


@dataclass(frozen=True, slots=True)
class OnBehalfOf:
    """The tenant, principal and run for which a call is made.

    Attributes:
        principal: Name of the principal; empty if only the tenant is known.
        run: Id of the run that causes the call; empty if there is none.
    """

    tenant: str
    principal: str = ""
    run: str = ""

    def __str__(self) -> str:
        facts = zip(_KEYS, (self.tenant, self.principal, self.run), strict=True)
        return urlencode([(key, value) for key, value in facts if value])


_acting_for: ContextVar[OnBehalfOf | None] = ContextVar("acting_for", default=None)


@contextmanager
def acting_for(whom: OnBehalfOf) -> Iterator[None]:
    """Make the block's outbound calls on behalf of ``whom``; for background loops."""
    token = _acting_for.set(whom)
    try:
        yield
    finally:
        _acting_for.reset(token)


def find_acting_for() -> OnBehalfOf | None:
    return _acting_for.get()


def read_on_behalf(
    principal: Principal, metadata: Mapping[str, str | bytes]
) -> tuple[Principal, str]:
    """Return ``principal`` with the tenant and principal it acts for, and the run or "".

    Its name and roles do not change, so its permissions do not depend on whom it acts for.

    Raises:
        PermissionDeniedError: ``principal`` lacks the role ``service``.
        InvalidRequestError: The metadata value is malformed.
    """
    value = metadata.get(HEADER)
    if value is None:
        return principal, ""
    if Role.SERVICE not in principal.roles:
        raise PermissionDeniedError(
            f"acting on behalf of others needs the role {Role.SERVICE}", roles=Role.SERVICE
        )
    whom = parse_on_behalf(value)
    acting = replace(principal, tenant=whom.tenant, on_behalf_of=whom.principal or None)
    return acting, whom.run


def parse_on_behalf(value: str | bytes) -> OnBehalfOf:
    """Parse the metadata value.

    Raises:
        InvalidRequestError: It is malformed.
    """
    try:
        pairs = parse_qsl(
            _ascii(value),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=len(_KEYS),
        )
    except ValueError:  # also not ASCII, or not UTF-8 after percent-decoding
        pairs = []
    facts = dict(pairs)
    if len(facts) != len(pairs) or "tenant" not in facts or facts.keys() - set(_KEYS):
        example = OnBehalfOf("acme", "alice", "run-1")
        raise InvalidRequestError.of([Violation(HEADER, f"must be like {example}")])
    found = [each for key in facts for each in id_violations(facts[key], f"{HEADER}.{key}")]
    if found:
        raise InvalidRequestError.of(found)
    return OnBehalfOf(facts["tenant"], facts.get("principal", ""), facts.get("run", ""))


def _ascii(value: str | bytes) -> str:
    raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    return raw.decode("ascii")
