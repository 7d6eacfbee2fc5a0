"""How this process shows itself to the servers it calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from services.chassis.access.tls import PemFiles
from services.chassis.access.watched import Watched, read_text
from services.chassis.clock import Clock
from services.chassis.listening import stays_here
from services.chassis.startup import StartupRefusedError


@dataclass(frozen=True, slots=True)
class PeerFiles:
    """Where credentials for calls are; empty for those that are not there.

    Attributes:
        ca: Authority of the servers' certificates; calls are encrypted when it is there.
        cert: Certificate that this process shows, with ``key``, to servers that ask for one.
        token: File that holds a bearer token and nothing else.
        names: By attribute, the settings that they came from.
    """

    names: dict[str, str]
    ca: str = ""
    cert: str = ""
    key: str = ""
    token: str = ""


class Peers:
    """Credentials for every channel of this process to servers of the suite.

    Certificates are read once: gRPC fixes those of a channel. A token file may change.

    Args:
        token: Instead of a file, from an environment variable.
        insecure: A token may travel unencrypted to another machine.

    Raises:
        StartupRefusedError: A file cannot be used.
    """

    def __init__(
        self, files: PeerFiles, clock: Clock, *, token: str = "", insecure: bool = False
    ) -> None:
        self._names = files.names
        self._insecure = insecure
        self._credentials = _credentials(files)
        self._token = _token_source(files, clock, token)

    def channel(self, target: str, options: Sequence[tuple[str, Any]]) -> grpc.aio.Channel:
        """A bare channel to ``target``.

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
        """What every call carries."""
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
        said = _checked(token, files.names["token_value"])
        return lambda: said
    if not files.token:
        return None
    name, file = files.names["token"], files.token
    return Watched([file], lambda: _checked(read_text(name, file), name), clock).current


def _checked(text: str, name: str) -> str:
    """The token without the white space around it; never quoted."""
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise StartupRefusedError(f"{name}: a token is one word of printable ASCII")
    return token
