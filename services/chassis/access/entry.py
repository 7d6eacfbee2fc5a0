"""TLS and authentication of a server, from its settings."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from services.chassis.access.peers import PeerFiles, Peers
from services.chassis.access.policy import Authenticator
from services.chassis.access.tls import PemFiles, server_credentials
from services.chassis.access.token_file import TokenFile
from services.chassis.clock import Clock
from services.chassis.config.listening import Address, parse_address
from services.chassis.config.settings import ServiceSettings
from services.chassis.startup import StartupRefusedError


@dataclass(frozen=True, slots=True)
class Entry:
    """The authenticator and TLS credentials of a server.

    Attributes:
        authenticator: None if every caller is the local principal.
        credentials: None if the server has no TLS.
    """

    authenticator: Authenticator | None
    credentials: grpc.ServerCredentials | None

    def bind(self, server: grpc.aio.Server, address: Address) -> int:
        """Bind and return the port. Raises RuntimeError if the address cannot be bound."""
        if self.credentials is None:
            return server.add_insecure_port(str(address))
        return server.add_secure_port(str(address), self.credentials)


def open_entry(settings: ServiceSettings, address: Address, clock: Clock) -> Entry:
    """Read the certificate and token files that the settings name.

    Raises:
        StartupRefusedError: A file is unusable, or ``refuse_exposed`` refuses the address.
    """
    refuse_exposed(settings, address)
    names = {
        "cert": settings.variable("tls_cert_file"),
        "key": settings.variable("tls_key_file"),
        "ca": settings.variable("tls_client_ca_file"),
    }
    files = PemFiles(
        settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file, names
    )
    files.refuse_halves()
    if files.ca and not files.cert:
        raise StartupRefusedError(
            f"{names['ca']} is set and {names['cert']} is not: callers can only be asked for a "
            "certificate by a server that has one"
        )
    tokens = settings.token_file
    return Entry(
        TokenFile(tokens, settings.variable("token_file"), clock) if tokens else None,
        server_credentials(files, clock) if files.cert else None,
    )


def refuse_unusable(settings: ServiceSettings, clock: Clock) -> None:
    """Check the address and files of the settings without starting a server.

    Raises:
        StartupRefusedError: The address is malformed or ``refuse_exposed`` refuses it, or a file
            is unusable.
    """
    open_entry(settings, parse_address(settings.listen), clock)
    peers_of(settings, clock)


def refuse_exposed(settings: ServiceSettings, address: Address) -> None:
    """Refuse a non-loopback address without TLS and tokens, unless ``insecure`` is set.

    Client certificates do not replace tokens: they state no tenant and no roles.

    Raises:
        StartupRefusedError: Names the address and every fix.
    """
    needed = ("tls_cert_file", "tls_key_file", "token_file")
    missing = [settings.variable(field) for field in needed if not getattr(settings, field)]
    if address.loopback or settings.insecure or not missing:
        return
    tls, authentication = settings.tls_cert_file and settings.tls_key_file, settings.token_file
    if tls:
        lacks = "no authentication"
    else:
        lacks = "no TLS" if authentication else "neither TLS nor authentication"
    raise StartupRefusedError(
        f"other machines can reach {address}, and this server has {lacks}: set "
        f"{' and '.join(missing)}, or set {settings.variable('listen')} to a loopback address such "
        f"as 127.0.0.1:{address.port}, or accept the risk with {settings.variable('insecure')}=true"
    )


def peers_of(settings: ServiceSettings, clock: Clock) -> Peers:
    """Read the credentials with which the service calls its siblings.

    Raises:
        StartupRefusedError: A file is unusable.
    """
    files = {
        "ca": settings.peer_ca_file,
        "cert": settings.peer_cert_file,
        "key": settings.peer_key_file,
        "token": settings.peer_token_file,
    }
    names = {field: settings.variable(f"peer_{field}_file") for field in files}
    names["insecure"] = settings.variable("insecure")
    return Peers(PeerFiles(names, **files), clock, insecure=settings.insecure)
