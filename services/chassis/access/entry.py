"""What a server demands of its callers, from its settings."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from services.chassis.access.peers import PeerFiles, Peers
from services.chassis.access.tls import PemFiles, server_credentials
from services.chassis.access.token_file import TokenFile
from services.chassis.clock import Clock
from services.chassis.listening import Address, parse_address
from services.chassis.policy import Authenticator, LocalAuthenticator
from services.chassis.settings import ServiceSettings
from services.chassis.startup import StartupRefusedError


@dataclass(frozen=True, slots=True)
class Entry:
    """How callers come in.

    Attributes:
        credentials: None without TLS.
    """

    authenticator: Authenticator
    credentials: grpc.ServerCredentials | None

    def bind(self, server: grpc.aio.Server, address: Address) -> int:
        """Answer the port. Raises RuntimeError when the address cannot be bound."""
        if self.credentials is None:
            return server.add_insecure_port(str(address))
        return server.add_secure_port(str(address), self.credentials)


def open_entry(settings: ServiceSettings, address: Address, clock: Clock) -> Entry:
    """Read what the settings name.

    Raises:
        StartupRefusedError: A file cannot be used, or other machines could come in unseen.
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
        TokenFile(tokens, settings.variable("token_file"), clock)
        if tokens
        else LocalAuthenticator(),
        server_credentials(files, clock) if files.cert else None,
    )


def refuse_unusable(settings: ServiceSettings, clock: Clock) -> None:
    """Refuse what a server would refuse of these settings before it opens anything.

    Raises:
        StartupRefusedError: The address is malformed, other machines could come in unseen, or a
            file cannot be used.
    """
    open_entry(settings, parse_address(settings.listen), clock)
    peers_of(settings, clock)


def refuse_exposed(settings: ServiceSettings, address: Address) -> None:
    """Refuse to let other machines in without TLS and authentication, unless told to.

    A certificate of the caller is no substitute for a token: it says who somebody is, and nothing
    of tenant and roles.

    Raises:
        StartupRefusedError: Names the address and every way out.
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
    """How the service shows itself to its siblings.

    Raises:
        StartupRefusedError: A file cannot be used.
    """
    fields = ("ca", "cert", "key", "token")
    names = {field: settings.variable(f"peer_{field}_file") for field in fields}
    names["insecure"] = settings.variable("insecure")
    files = {field: getattr(settings, f"peer_{field}_file") for field in fields}
    return Peers(PeerFiles(names, **files), clock, insecure=settings.insecure)
