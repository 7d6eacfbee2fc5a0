"""What a call belongs to: calls with the same session key stay on one member."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from services.router.core.model import StickyScope


@dataclass(frozen=True, slots=True)
class Session:
    """What the caller said of itself; blank values count as absent."""

    thread_id: str = ""
    run_id: str = ""
    agent_id: str = ""
    session_key: str = ""


@dataclass(frozen=True, slots=True)
class SessionKey:
    """The session of a call within one tenant.

    Attributes:
        name: ``thread:ID``, ``run:ID``, ``key:ID``, ``agent:ID``, or ``call:ID`` for a call that
            belongs to nothing.
    """

    tenant: str
    name: str
    anonymous: bool = False

    @property
    def routing_key(self) -> str:
        """What homes are hashed with; ids hold no control characters, so no two keys collide."""
        return f"{self.tenant}\0{self.name}"


Named: TypeAlias = tuple[str, str]


def session_key(tenant: str, session: Session, scope: StickyScope, call_id: str) -> SessionKey:
    """The session that a call belongs to.

    Args:
        scope: Whether a pool's sessions are threads or runs.
        call_id: Unique, for a call that names nothing.
    """
    scoped: Named = ("thread", session.thread_id)
    if scope is StickyScope.RUN:
        scoped = ("run", session.run_id)
    named: tuple[Named, ...] = (scoped, ("key", session.session_key), ("agent", session.agent_id))
    for kind, value in named:
        if value.strip():
            return SessionKey(tenant, f"{kind}:{value}")
    return SessionKey(tenant, f"call:{call_id}", anonymous=True)
