"""The listen address of a server: parse it and check that it can be bound."""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass

from services.chassis.startup import StartupRefusedError

_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # read, not bound

# A host name may resolve to addresses that the machine lacks, such as localhost with IPv6 disabled:
# gRPC listens on those that exist.
_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


@dataclass(frozen=True, slots=True)
class Address:
    """A host and port to listen on.

    Attributes:
        port: 0 = the system chooses a free port.
    """

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def target(self, port: int) -> str:
        """Return the address at which a client on this machine reaches ``port``."""
        return _joined(_ANY_HOST.get(self.host, self.host), port)

    def __str__(self) -> str:
        return _joined(self.host, self.port)


def parse_address(listen: str) -> Address:
    """Parse ``host:port``; an IPv6 host must be in brackets.

    Raises:
        StartupRefusedError: ``listen`` is malformed.
    """
    host, colon, port = listen.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host != bare
    legal = colon and bare and port.isascii() and port.isdigit() and int(port) < 65_536
    if not legal or bracketed != (":" in bare):
        raise StartupRefusedError(
            f"listen address {listen!r} is not host:port, as in 127.0.0.1:7401 or [::1]:7401"
        )
    return Address(bare, int(port))


def stays_here(target: str) -> bool:
    """Whether ``target``, a gRPC address, is on the loopback interface."""
    host = target.rpartition(":")[0].removeprefix("[").removesuffix("]")
    return Address(host, 0).loopback


def refuse_taken(address: Address, variable: str) -> None:
    """Check that ``address`` can be bound.

    gRPC reports it too, but in several lines of its own log before it raises.

    Raises:
        StartupRefusedError: Names the address, the cause and the setting to change.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise StartupRefusedError(
            f"cannot resolve the listen address {address}: set {variable} to an address of this "
            "machine"
        ) from error
    missing: OSError | None = None
    usable = False
    for family, kind, protocol, _, where in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
                # bind succeeds on a port whose listener allows sharing; listen does not.
                probe.listen(1)
            usable = True
        except OSError as error:
            if error.errno not in _NO_SUCH_ADDRESS:
                raise StartupRefusedError(_reason(address, variable, error)) from error
            missing = error
    if missing and not usable:
        raise StartupRefusedError(_reason(address, variable, missing)) from missing


def _reason(address: Address, variable: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {address.port} is in use by another process: stop it, or set {variable} to a "
            "free port"
        )
    if error.errno == errno.EACCES:
        return f"port {address.port} needs privileges: set {variable} to a port above 1023"
    return f"cannot listen on {address} ({error.strerror}): set {variable} to another address"


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
