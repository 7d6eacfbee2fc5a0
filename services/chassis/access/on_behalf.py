"""Acting for somebody else: what a service says of whom its call is for.

Metadata ``on-behalf-of``, a query string in ASCII: ``tenant=acme&principal=alice&run=0198…``. Only
callers with role ``service`` may send it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode

from services.chassis.caller import Principal, Role
from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.ids import id_violations
from services.chassis.policy import PermissionDeniedError

HEADER = "on-behalf-of"

_KEYS = ("tenant", "principal", "run")


@dataclass(frozen=True, slots=True)
class OnBehalfOf:
    """Whom a call is made for.

    Attributes:
        principal: Name of who asked; empty when only the tenant is known.
        run: The run that acts; empty when none does.
    """

    tenant: str
    principal: str = ""
    run: str = ""

    @classmethod
    def caller(cls, principal: Principal) -> OnBehalfOf:
        """Whom a call is for that is made while one of ``principal`` is handled."""
        return cls(principal.tenant, principal.subject, principal.run_id or "")

    def __str__(self) -> str:
        facts = zip(_KEYS, (self.tenant, self.principal, self.run), strict=True)
        return urlencode([(key, value) for key, value in facts if value])


_acting_for: ContextVar[OnBehalfOf | None] = ContextVar("acting_for", default=None)


@contextmanager
def acting_for(whom: OnBehalfOf) -> Iterator[None]:
    """Make the outbound calls of the block on behalf of ``whom``; for loops that no call drives."""
    token = _acting_for.set(whom)
    try:
        yield
    finally:
        _acting_for.reset(token)


def find_acting_for() -> OnBehalfOf | None:
    return _acting_for.get()


def acting(principal: Principal, metadata: Mapping[str, str | bytes]) -> Principal:
    """``principal`` as the one for whom it says to act; itself when it says nothing.

    Its name and roles stay its own: what it may call does not depend on whom it acts for.

    Raises:
        PermissionDeniedError: It may not act for others.
        InvalidRequestError: What it says is malformed.
    """
    said = metadata.get(HEADER)
    if said is None:
        return principal
    if Role.SERVICE not in principal.roles:
        raise PermissionDeniedError(
            f"acting on behalf of others needs the role {Role.SERVICE}", roles=Role.SERVICE
        )
    whom = parse_on_behalf(said)
    return replace(
        principal, tenant=whom.tenant, on_behalf_of=whom.principal or None, run_id=whom.run or None
    )


def parse_on_behalf(said: str | bytes) -> OnBehalfOf:
    """Read the metadata.

    Raises:
        InvalidRequestError: It is malformed.
    """
    try:
        pairs = parse_qsl(
            _ascii(said),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=len(_KEYS),
        )
    except ValueError:  # also what is not ASCII, or not UTF-8 once it is decoded
        pairs = []
    facts = dict(pairs)
    if len(facts) != len(pairs) or "tenant" not in facts or facts.keys() - set(_KEYS):
        example = OnBehalfOf("acme", "alice", "run-1")
        raise InvalidRequestError.of([Violation(HEADER, f"must be like {example}")])
    found = [each for key in facts for each in id_violations(facts[key], f"{HEADER}.{key}")]
    if found:
        raise InvalidRequestError.of(found)
    return OnBehalfOf(facts["tenant"], facts.get("principal", ""), facts.get("run", ""))


def _ascii(said: str | bytes) -> str:
    raw = said if isinstance(said, bytes) else said.encode("utf-8", "surrogatepass")
    return raw.decode("ascii")
