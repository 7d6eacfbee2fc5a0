"""The address a server listens on: read, judged and taken."""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass

from services.chassis.startup import StartupRefusedError

_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # read, not bound

# A name may stand for more addresses than there are, as localhost where IPv6 is switched off: gRPC
# listens on those that there are.
_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen.

    Attributes:
        port: 0 lets the system choose.
    """

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def target(self, port: int) -> str:
        """How a client on this machine reaches it."""
        return _joined(_ANY_HOST.get(self.host, self.host), port)

    def __str__(self) -> str:
        return _joined(self.host, self.port)


def parse_address(listen: str) -> Address:
    """Read ``host:port``; IPv6 hosts in brackets.

    Raises:
        StartupRefusedError: It is not one.
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
    """Whether what is sent to ``target``, as gRPC writes it, never leaves this machine."""
    host = target.rpartition(":")[0].removeprefix("[").removesuffix("]")
    return Address(host, 0).loopback


def refuse_taken(address: Address, variable: str) -> None:
    """Refuse an address that cannot be bound, in words of ours.

    gRPC would report it too, in several lines of its own log before an exception.

    Raises:
        StartupRefusedError: Names the address, what is wrong with it and which setting to change.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise StartupRefusedError(
            f"cannot resolve the listen address {address}: set {variable} to an address of this "
            "machine"
        ) from error
    lacking: OSError | None = None
    usable = False
    for family, kind, protocol, _, where in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
                # Binding succeeds beside a listener that allows sharing; listening does not.
                probe.listen(1)
            usable = True
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise StartupRefusedError(_reason(address, variable, error)) from error
            lacking = error
    if lacking and not usable:
        raise StartupRefusedError(_reason(address, variable, lacking)) from lacking


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
