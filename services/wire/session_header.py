"""The header by which a mesh keeps the calls of one session on one router."""

from __future__ import annotations

from hashlib import sha256

NAME = "runyard-session"
_DIGITS = 32


def session_header(
    *, thread_id: str = "", run_id: str = "", session_key: str = "", agent_id: str = ""
) -> tuple[tuple[str, str], ...]:
    """The metadata to send with a call of this session; empty when all ids are blank.

    The value is the start of the SHA-256 of the session as ``Pin.session`` writes it, 32
    hexadecimal digits: ids may hold what a header may not. A caller does not know whether a pool's
    sessions are threads or runs; a thread keeps its runs together.
    """
    named = (
        ("thread", thread_id),
        ("run", run_id),
        ("key", session_key),
        ("agent", agent_id),
    )
    for kind, value in named:
        if value.strip():
            return ((NAME, sha256(f"{kind}:{value}".encode()).hexdigest()[:_DIGITS]),)
    return ()
