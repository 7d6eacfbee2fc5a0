"""Server TLS: the server's certificate and, optionally, required client certificates."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import grpc

from services.chassis.access.watched import Watched, read_text
from services.chassis.clock import Clock
from services.chassis.startup import StartupRefusedError


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate chain, its key, and the authority that must sign the peer's certificate.

    Attributes:
        ca_pem: Empty if no authority is configured.
    """

    cert_pem: bytes
    key_pem: bytes
    ca_pem: bytes


@dataclass(frozen=True, slots=True)
class PemFiles:
    """Paths of the PEM files; an empty path means none.

    Attributes:
        names: The name of each attribute's setting, for error messages.
    """

    cert: str
    key: str
    ca: str
    names: dict[str, str]

    @property
    def given(self) -> list[str]:
        return [file for file in (self.cert, self.key, self.ca) if file]

    def refuse_halves(self) -> None:
        """Raises: StartupRefusedError: Only one of certificate and key is set."""
        for has, lacks in (("cert", "key"), ("key", "cert")):
            if getattr(self, has) and not getattr(self, lacks):
                raise StartupRefusedError(
                    f"{self.names[has]} is set and {self.names[lacks]} is not: set both or none"
                )

    def read(self) -> KeyPair:
        """Read and check the files.

        Raises:
            StartupRefusedError: A file is unreadable or malformed, or key and certificate differ.
        """
        self.refuse_halves()
        parts = [
            read_text(self.names[part], file).encode() if (file := getattr(self, part)) else b""
            for part in ("cert", "key", "ca")
        ]
        self._check()
        return KeyPair(*parts)

    def _check(self) -> None:
        """Check with OpenSSL: gRPC accepts any content and then fails every handshake."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if self.cert:
            try:
                # Without ``password``, an encrypted key would prompt for one at the terminal.
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
    """Create credentials that are reloaded when their files change, for each new connection.

    If ``files.ca`` is set, callers must present a certificate that it signed.

    Raises:
        StartupRefusedError: A file is unusable.
    """
    reloading = _Reloading(Watched(files.given, files.read, clock))
    return grpc.dynamic_ssl_server_credentials(
        reloading.first,
        reloading.changed,  # type: ignore[arg-type]  # None, for no change, is missing in the stubs
        require_client_authentication=bool(files.ca),
    )


class _Reloading:
    """Answers gRPC, which asks at every new connection, from its own threads, for changes."""

    def __init__(self, watched: Watched[KeyPair]) -> None:
        self._watched = watched
        self._returned = watched.current()
        self.first = _configuration(self._returned)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        pair = self._watched.current()
        if pair is self._returned:
            return None
        self._returned = pair
        return _configuration(pair)


def _configuration(pair: KeyPair) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(pair.key_pem, pair.cert_pem)], pair.ca_pem or None
    )
