"""Authentication by bearer tokens that are listed in a file."""

from __future__ import annotations

from collections.abc import Mapping

from services.chassis.access.policy import UnauthenticatedError
from services.chassis.access.tokens import TokenLineError, Tokens, parse_tokens
from services.chassis.access.watched import Watched, read_text
from services.chassis.caller import Principal
from services.chassis.clock import Clock
from services.chassis.startup import StartupRefusedError

HEADER = "authorization"
SCHEME = "bearer"


class TokenFile:
    """An ``Authenticator`` over a file of hashed tokens, which is reloaded when it changes.

    Args:
        setting: Name for error messages, ``RUNYARD_POOL_TOKEN_FILE``.

    Raises:
        StartupRefusedError: The file cannot be read, or a line is malformed.
    """

    def __init__(self, file: str, setting: str, clock: Clock) -> None:
        self._clock = clock
        self._tokens = Watched([file], lambda: load_tokens(file, setting), clock)

    def authenticate(self, metadata: Mapping[str, str | bytes]) -> Principal:
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
    """Read a token file.

    Raises:
        StartupRefusedError: Names the file, the line and the fix.
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
