"""TLS of servers: a certificate of their own, and one of their callers if they ask for it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import grpc

from services.chassis.access.watched import Watched, read_text
from services.chassis.clock import Clock
from services.chassis.startup import StartupRefusedError


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate chain and its key, and the authority that the other end must be signed by.

    Attributes:
        ca_pem: Empty when nobody is named.
    """

    cert_pem: bytes
    key_pem: bytes
    ca_pem: bytes


@dataclass(frozen=True, slots=True)
class PemFiles:
    """Where the parts are; empty for those that are not there.

    Attributes:
        names: By attribute, the settings that they came from.
    """

    cert: str
    key: str
    ca: str
    names: dict[str, str]

    @property
    def given(self) -> list[str]:
        return [file for file in (self.cert, self.key, self.ca) if file]

    def refuse_halves(self) -> None:
        """Raises:
        StartupRefusedError: A certificate without its key, or the other way round.
        """
        for has, lacks in (("cert", "key"), ("key", "cert")):
            if getattr(self, has) and not getattr(self, lacks):
                raise StartupRefusedError(
                    f"{self.names[has]} is set and {self.names[lacks]} is not: set both or none"
                )

    def read(self) -> KeyPair:
        """Read and check them.

        Raises:
            StartupRefusedError: One cannot be read or is no such thing, or the key is another's.
        """
        self.refuse_halves()
        parts = [
            read_text(self.names[part], file).encode() if (file := getattr(self, part)) else b""
            for part in ("cert", "key", "ca")
        ]
        self._check()
        return KeyPair(*parts)

    def _check(self) -> None:
        """Let OpenSSL judge: gRPC accepts anything, and then fails every handshake."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if self.cert:
            try:
                # A key with a password would otherwise ask for it at the terminal.
                context.load_cert_chain(self.cert, self.key, password="")
            except (ssl.SSLError, OSError) as error:
                raise StartupRefusedError(
                    f"{self.names['cert']} {self.cert} and {self.names['key']} {self.key}: not a "
                    "certificate chain in PEM and the key of its first certificate without a "
                    "password"
                ) from error
        if self.ca:
            try:
                context.load_verify_locations(self.ca)
            except (ssl.SSLError, OSError) as error:
                raise StartupRefusedError(
                    f"{self.names['ca']} {self.ca}: not a certificate in PEM"
                ) from error


def server_credentials(files: PemFiles, clock: Clock) -> grpc.ServerCredentials:
    """Credentials that follow their files: each new connection gets what they say by then.

    With an authority every caller has to show a certificate that it signed.

    Raises:
        StartupRefusedError: The files cannot be used.
    """
    following = _Following(Watched(files.given, files.read, clock))
    return grpc.dynamic_ssl_server_credentials(
        following.first,
        following.changed,  # type: ignore[arg-type]  # None, for no change, is missing in the stubs
        require_client_authentication=bool(files.ca),
    )


class _Following:
    """Tells gRPC of a change once; it asks at every connection, in threads of its own."""

    def __init__(self, watched: Watched[KeyPair]) -> None:
        self._watched = watched
        self._told = watched.current()
        self.first = _configuration(self._told)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        pair = self._watched.current()
        if pair is self._told:
            return None
        self._told = pair
        return _configuration(pair)


def _configuration(pair: KeyPair) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(pair.key_pem, pair.cert_pem)], pair.ca_pem or None
    )
