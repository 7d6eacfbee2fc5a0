"""Who may: containment of policy references, and which principal speaks for which run."""

from __future__ import annotations

from collections.abc import Iterable

from services.chassis.caller import Principal, Role
from services.pool.core.errors import RunNotOwnedError
from services.pool.core.model import Member, Policies, PolicyRef

_MAY_ACT_FOR_ANYONE = frozenset({Role.OPERATOR, Role.ADMIN})


def holds(held: Policies, wanted: Policies) -> bool:
    """Whether ``held`` contains all of ``wanted``; another version is another policy."""
    return set(wanted).issubset(held)


def canonical(refs: Iterable[PolicyRef]) -> Policies:
    return tuple(sorted(set(refs)))


def acting_name(principal: Principal) -> str:
    """Who answers for the call: a sibling service acts for somebody else."""
    return principal.subject


def authorize(principal: Principal, member: Member) -> None:
    """Let ``principal`` act as the run of ``member``, or refuse.

    Raises:
        RunNotOwnedError: Another principal joined the run, and this one is no operator.
    """
    if acting_name(principal) == member.principal or principal.roles & _MAY_ACT_FOR_ANYONE:
        return
    raise RunNotOwnedError(
        f"run {member.run_id!r} is bound to another principal", run_id=member.run_id
    )
