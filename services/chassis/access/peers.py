"""The credentials with which this process calls other servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from services.chassis.access.tls import PemFiles
from services.chassis.access.watched import Watched, read_text
from services.chassis.clock import Clock
from services.chassis.config.listening import stays_here
from services.chassis.startup import StartupRefusedError


@dataclass(frozen=True, slots=True)
class PeerFiles:
    """Paths of credential files for calls; an empty path means none.

    Attributes:
        ca: Authority that signs the servers' certificates; if set, calls use TLS.
        cert: Certificate, with ``key``, for servers that ask for one.
        token: File that holds only a bearer token.
        names: The name of each attribute's setting, for error messages.
    """

    names: dict[str, str]
    ca: str = ""
    cert: str = ""
    key: str = ""
    token: str = ""


class Peers:
    """Credentials for every channel of this process to servers of the suite.

    Certificates are read once, since gRPC cannot change those of a channel. The token file is read
    again when it changes.

    Args:
        token: A token that replaces the token file.
        insecure: Allow sending the token unencrypted to another machine.

    Raises:
        StartupRefusedError: A file is unusable.
    """

    def __init__(
        self, files: PeerFiles, clock: Clock, *, token: str = "", insecure: bool = False
    ) -> None:
        self._names = files.names
        self._insecure = insecure
        self._credentials = _credentials(files)
        self._token = _token_source(files, clock, token)

    def channel(self, target: str, options: Sequence[tuple[str, Any]]) -> grpc.aio.Channel:
        """Open a channel to ``target`` without interceptors.

        Raises:
            StartupRefusedError: The token would travel unencrypted.
        """
        if self._credentials is not None:
            return grpc.aio.secure_channel(target, self._credentials, options=options)
        if self._token is not None and not (self._insecure or stays_here(target)):
            raise StartupRefusedError(
                f"the token would travel unencrypted to {target}: set {self._names['ca']}, or "
                f"accept the risk with {self._names['insecure']}=true"
            )
        return grpc.aio.insecure_channel(target, options=options)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata that every call must send."""
        if self._token is None:
            return ()
        return (("authorization", f"Bearer {self._token()}"),)


def _credentials(files: PeerFiles) -> grpc.ChannelCredentials | None:
    pem = PemFiles(files.cert, files.key, files.ca, files.names)
    pem.refuse_halves()
    if not files.ca:
        if files.cert:
            raise StartupRefusedError(
                f"{files.names['cert']} is set and {files.names['ca']} is not: set it to the "
                "authority that signs the servers' certificates"
            )
        return None
    pair = pem.read()
    return grpc.ssl_channel_credentials(pair.ca_pem, pair.key_pem or None, pair.cert_pem or None)


def _token_source(files: PeerFiles, clock: Clock, token: str) -> Callable[[], str] | None:
    if token:
        checked = _checked(token, files.names["token_value"])
        return lambda: checked
    if not files.token:
        return None
    name, file = files.names["token"], files.token
    return Watched([file], lambda: _checked(read_text(name, file), name), clock).current


def _checked(text: str, name: str) -> str:
    """Return the token without surrounding white space; the error does not quote it."""
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise StartupRefusedError(f"{name}: a token is one word of printable ASCII")
    return token
