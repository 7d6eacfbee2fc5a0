"""Sessions: calls with the same session key stay on one member."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from services.chassis.ids import MAX_ID_BYTES
from services.router.core.model import StickyScope


@dataclass(frozen=True, slots=True)
class Session:
    """The ids that a caller sends; blank values count as absent."""

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
        """The input of the home hash; ids have no control characters, so no two keys collide."""
        return f"{self.tenant}\0{self.name}"


# Kinds of sessions that a pin can hold; a call without ids has none.
KINDS = ("thread", "run", "key", "agent")
# "thread:" and an id.
MAX_NAME_BYTES = 7 + MAX_ID_BYTES

Named: TypeAlias = tuple[str, str]


def session_key(tenant: str, session: Session, scope: StickyScope, call_id: str) -> SessionKey:
    """The session of a call: thread or run, else session key, else agent, else the call alone.

    Args:
        scope: Whether a pool's sessions are threads or runs.
        call_id: Unique; names the session of a call without ids.
    """
    scoped: Named = ("thread", session.thread_id)
    if scope is StickyScope.RUN:
        scoped = ("run", session.run_id)
    named: tuple[Named, ...] = (scoped, ("key", session.session_key), ("agent", session.agent_id))
    for kind, value in named:
        if value.strip():
            return SessionKey(tenant, f"{kind}:{value}")
    return SessionKey(tenant, f"call:{call_id}", anonymous=True)
