"""Outbound channels: keepalive, bounded read-ahead, deadline and trace passed on. None retries."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import grpc

from services.chassis.access.peers import Peers
from services.chassis.calls.outbound import OutboundChannel
from services.chassis.config.listening import stays_here

# Half of a pair: a server that allows pings less often closes the connection on too many of them.
KEEPALIVE_INTERVAL_MS = 30_000
KEEPALIVE_TIMEOUT_MS = 10_000
# An attempt to connect that nobody answers ends then.
CONNECT_LIMIT_S = 5.0

_BASE_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", KEEPALIVE_INTERVAL_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    # The name is misleading: it is the limit of one attempt, by default 20 s.
    ("grpc.min_reconnect_backoff_ms", int(CONNECT_LIMIT_S * 1000)),
    # By default a peer that was away for long is tried again after up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    # The pool of the process would hand it the back-off of an earlier channel to the same address.
    ("grpc.use_local_subchannel_pool", 1),
)
# Nothing that waits for a server of the suite learns of its return before the channel does.
_SOON = ("grpc.max_reconnect_backoff_ms", 500)
_LATER = ("grpc.max_reconnect_backoff_ms", 5_000)
# A stalled reader then holds a hundred small messages instead of many thousand.
_TOKEN_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 16_384),
)
# Neither the channel nor what the server's DNS says of it makes one call two.
_NO_REPEATS: tuple[tuple[str, int], ...] = (
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
)
# The proxy that the environment names is for other machines: it does not reach this one's loopback,
# and must not see a token that is sent unencrypted because it stays here.
_NO_PROXY = ("grpc.enable_http_proxy", 0)


def open_channel(
    target: str, *, peers: Peers | None = None, tokens: bool = False
) -> grpc.aio.Channel:
    """A channel to ``target``; the caller closes it.

    Args:
        peers: Credentials of this process, for servers of the suite alone: calls then say too for
            whom they are made.
        tokens: The channel carries model output: bound how far a server runs ahead of its reader.

    Raises:
        StartupRefusedError: A token would travel unencrypted.
    """
    options: list[tuple[str, Any]] = [*_BASE_OPTIONS, _SOON]
    if tokens:
        options += _TOKEN_OPTIONS
    if stays_here(target):
        options.append(_NO_PROXY)
    bare = peers.channel(target, options) if peers else grpc.aio.insecure_channel(target, options)
    return OutboundChannel(bare, target, peers)


def system_authorities() -> grpc.ChannelCredentials:
    """The authorities of the system; those that gRPC brings along where it has no such file."""
    file = ssl.get_default_verify_paths().cafile
    return grpc.ssl_channel_credentials(Path(file).read_bytes() if file else None)


def open_outside_channel(
    target: str, credentials: grpc.ChannelCredentials | None, authority: str
) -> grpc.aio.Channel:
    """A channel that carries model output of a server outside of the suite, which is told neither
    who we are nor for whom we call; the caller closes it.

    Args:
        credentials: None sends in the clear, and past every proxy, which would see the calls.
        authority: Also the name that the certificate must carry; empty for the host of ``target``.
    """
    options: list[tuple[str, Any]] = [*_BASE_OPTIONS, _LATER, *_TOKEN_OPTIONS, *_NO_REPEATS]
    if authority:
        options.append(("grpc.default_authority", authority))
    address = target.removeprefix("dns:///")
    if credentials is None or stays_here(address):
        options.append(_NO_PROXY)
    if credentials is None:
        bare = grpc.aio.insecure_channel(target, options)
    else:
        bare = grpc.aio.secure_channel(target, credentials, options)
    return OutboundChannel(bare, address)
