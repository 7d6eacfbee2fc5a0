"""Why a server was not reached, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.chassis.calls.channel import CONNECT_LIMIT_S
from services.cli.base.exits import EXIT_UNAVAILABLE, CliError
from services.cli.talk.credentials import CA_VARIABLE, CERT_VARIABLE, KEY_VARIABLE

WHERE_HINT = "correct RUNYARD_ENDPOINTS or --endpoint"
_START_HINT = (
    "start the servers with: runyard up; or say where they are: RUNYARD_ENDPOINTS or --endpoint"
)
_CA_HINT = (
    f"{CA_VARIABLE} has to name the authority that signed the server's certificate; unset it for a "
    "server without TLS"
)


@dataclass(frozen=True, slots=True)
class _Cause:
    """What a part of the transport's message means.

    Attributes:
        name: For programs.
        closed: The server closed the connection: the hint depends on the credentials.
    """

    part: str
    name: str
    words: str
    hint: str = _START_HINT
    closed: bool = False


_TIMEOUT = _Cause(
    "fd shutdown",
    "timeout",
    "no answer to the attempt to connect",
    f"{WHERE_HINT}; or a firewall drops the connection",
)
# The first that matches counts.
_CAUSES: Sequence[_Cause] = (
    _Cause("dns resolution failed", "name", "its name cannot be resolved", WHERE_HINT),
    _Cause("refused", "refused", "nothing listens there"),
    _Cause("http1.x", "protocol", "an HTTP server answers, not a gRPC server", WHERE_HINT),
    _Cause(
        "before receiving settings",
        "protocol",
        "it takes the connection and does not answer as a gRPC server",
        WHERE_HINT,
    ),
    _TIMEOUT,
    _Cause("wrong_version_number", "tls", "it does not speak TLS", f"unset {CA_VARIABLE}"),
    _Cause("peer name", "tls", "its certificate is for another name", WHERE_HINT),
    _Cause("handshake", "tls", "the TLS handshake failed", _CA_HINT),
    _Cause("unreachable", "network", "there is no route to it", WHERE_HINT),
    _Cause("socket closed", "closed", "it closed the connection", closed=True),
    _Cause("connection reset", "closed", "it closed the connection", closed=True),
)


def unreached(
    service: str,
    target: str,
    message: str,
    took_s: float = 0.0,
    environment: Mapping[str, str] = os.environ,
) -> CliError:
    """The error for a server that was not reached.

    Args:
        message: What the transport says.
        took_s: How long it tried.
    """
    lowered = message.lower()
    cause = next((one for one in _CAUSES if one.part in lowered), None)
    # At the limit several parts of the transport give up at once, each with words of its own.
    if took_s >= 0.9 * CONNECT_LIMIT_S and (cause is None or cause.name in {"closed", "tls"}):
        cause = _TIMEOUT
    words = f": {cause.words}" if cause else ""
    hint = cause.hint if cause else _START_HINT
    return CliError(
        f"cannot reach {service} at {target}{words}",
        reason="UNREACHABLE",
        hint=_closed_hint(environment) if cause and cause.closed else hint,
        exit_code=EXIT_UNAVAILABLE,
        facts={"cause": cause.name if cause else "unknown", "said": message},
    )


def _closed_hint(environment: Mapping[str, str]) -> str:
    """TLS servers hang up on callers without TLS, and on those without a certificate they accept.

    Neither is told by the transport.
    """
    if not environment.get(CA_VARIABLE):
        return (
            f"if the server asks for TLS, set {CA_VARIABLE} to the authority that signed its "
            "certificate"
        )
    if not environment.get(CERT_VARIABLE):
        return (
            f"if the server asks callers for a certificate, set {CERT_VARIABLE} and {KEY_VARIABLE}"
        )
    return f"{CERT_VARIABLE} has to be signed by the authority that the server accepts"


def wrong_server(service: str, target: str, answers: str) -> CliError:
    """The error for a server of another service, ``answers``; empty when it does not say which."""
    return CliError(
        f"{answers or 'another server'} answers at {target}, not {service}",
        reason="WRONG_SERVER",
        hint=WHERE_HINT,
        exit_code=EXIT_UNAVAILABLE,
        facts={"answers": answers},
    )
