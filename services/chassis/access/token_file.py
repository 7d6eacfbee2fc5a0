"""Bearer tokens from a file: callers are who the file says."""

from __future__ import annotations

from collections.abc import Mapping

from services.chassis.access.tokens import TokenLineError, Tokens, parse_tokens
from services.chassis.access.watched import Watched, read_text
from services.chassis.caller import Principal
from services.chassis.clock import Clock
from services.chassis.policy import UnauthenticatedError
from services.chassis.startup import StartupRefusedError

HEADER = "authorization"
SCHEME = "bearer"


class TokenFile:
    """An ``Authenticator`` over a file of hashed tokens, which may change while it is in use.

    Args:
        setting: Named in complaints about the file, ``RUNYARD_POOL_TOKEN_FILE``.

    Raises:
        StartupRefusedError: The file cannot be read, or a line of it is malformed.
    """

    def __init__(self, file: str, setting: str, clock: Clock) -> None:
        self._clock = clock
        self._tokens = Watched([file], lambda: load_tokens(file, setting), clock)

    async def authenticate(self, metadata: Mapping[str, str | bytes], peer: str) -> Principal:
        line = self._tokens.current().find(_bearer(metadata.get(HEADER, "")))
        if line is None:
            raise UnauthenticatedError("the bearer token is not known to this server")
        if line.expires_at is not None and line.expires_at <= self._clock.now():
            expired = line.expires_at.isoformat()
            raise UnauthenticatedError(
                f"the bearer token expired at {expired}: get a new one", expired_at=expired
            )
        return line.principal


def load_tokens(file: str, setting: str) -> Tokens:
    """Read a file of tokens.

    Raises:
        StartupRefusedError: Names the file, the line and what would be right.
    """
    try:
        return parse_tokens(read_text(setting, file))
    except TokenLineError as error:
        raise StartupRefusedError(f"{setting}: {file}, {error}") from None


def _bearer(header: str | bytes) -> str:
    scheme, _, token = header.partition(" ") if isinstance(header, str) else ("", "", "")
    if scheme.lower() != SCHEME or not token.strip():
        raise UnauthenticatedError("send a bearer token: metadata authorization, Bearer TOKEN")
    return token.strip()
