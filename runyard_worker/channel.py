"""Where run control is, and the credentials for it: by the variables of the command ``runyard``."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

import grpc

DEFAULT_TARGET = "127.0.0.1:7403"
# A connection that is gone without a word is noticed within this time.
_OPTIONS = (("grpc.keepalive_time_ms", 20_000), ("grpc.keepalive_timeout_ms", 10_000))


def target_of(environment: Mapping[str, str]) -> str:
    """What ``RUNYARD_ENDPOINTS`` says of run control; its port on this machine by default."""
    for entry in environment.get("RUNYARD_ENDPOINTS", "").split(","):
        service, _, target = entry.strip().partition("=")
        if service == "runcontrol":
            return target
    return DEFAULT_TARGET


def open_channel(target: str, environment: Mapping[str, str]) -> grpc.aio.Channel:
    """With TLS when ``RUNYARD_CA_FILE`` is set, and mutual TLS with the other two files."""
    names = ("RUNYARD_CA_FILE", "RUNYARD_KEY_FILE", "RUNYARD_CERT_FILE")
    ca, key, certificate = (_bytes_of(environment.get(name, "")) for name in names)
    if ca is None:
        return grpc.aio.insecure_channel(target, _OPTIONS)
    return grpc.aio.secure_channel(
        target, grpc.ssl_channel_credentials(ca, key, certificate), _OPTIONS
    )


def metadata(target: str, environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The bearer token of ``RUNYARD_TOKEN`` or of the file ``RUNYARD_TOKEN_FILE``, read each time.

    Raises:
        ValueError: The token would travel unencrypted to another machine.
    """
    file = environment.get("RUNYARD_TOKEN_FILE", "")
    token = (
        Path(file).read_text(encoding="utf-8").strip()
        if file
        else environment.get("RUNYARD_TOKEN", "")
    )
    if not token:
        return ()
    insecure = environment.get("RUNYARD_INSECURE", "").lower() in {"1", "true", "yes", "on"}
    if not (environment.get("RUNYARD_CA_FILE") or insecure or _stays_here(target)):
        raise ValueError(
            f"the token would travel unencrypted to {target}: set RUNYARD_CA_FILE, or accept the "
            "risk with RUNYARD_INSECURE=true"
        )
    return (("authorization", f"Bearer {token}"),)


def _stays_here(target: str) -> bool:
    if target.startswith("unix:"):
        return True
    host = target.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bytes_of(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None
