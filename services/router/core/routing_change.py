"""What happens in the routing state, for those who watch it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from services.router.core.decision import SkipReason
from services.router.core.failures import FailureClass
from services.router.core.pins import Pinned, Unpinned


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """The circuit of a member, or whether it is cordoned."""

    target_id: str
    member_id: str


@dataclass(frozen=True, slots=True)
class ModelChanged:
    """The quota deadline or a quarantine of a model, which every member with it has.

    Attributes:
        quota_key: As ``Member.quota_key``.
    """

    quota_key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WindowsChanged:
    """What answers tell of a model's limits, as nearly each of them does.

    Attributes:
        quota_key: As ``Member.quota_key``.
    """

    quota_key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Switched:
    """A session left a member.

    Attributes:
        session: As ``SessionKey.name``; empty for a call without one.
        reason: The failure in a call, or why the member was set aside before it.
    """

    tenant: str
    session: str
    target_id: str
    from_member_id: str
    to_member_id: str
    reason: FailureClass | SkipReason


@dataclass(frozen=True, slots=True)
class MemberReset:
    """An operator cleared the health of a member.

    Attributes:
        by: The principal.
    """

    by: str
    target_id: str
    member_id: str


RoutingChange: TypeAlias = (
    MemberChanged | ModelChanged | WindowsChanged | Pinned | Unpinned | Switched | MemberReset
)
