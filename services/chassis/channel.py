"""Outbound channels: keepalive, retries where they are safe, deadline and trace passed on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from services.chassis.access.peers import Peers
from services.chassis.listening import stays_here
from services.chassis.outbound import OutboundChannel
from services.chassis.policy import MethodPolicy
from services.chassis.streaming import streaming

__all__ = ["open_channel", "retry_safe_methods", "streaming"]

# Half of a pair: a server that allows pings less often closes the connection on too many of them.
KEEPALIVE_INTERVAL_MS = 30_000
KEEPALIVE_TIMEOUT_MS = 10_000

_BASE_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", KEEPALIVE_INTERVAL_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    # By default a peer that was away for long is tried again after up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)
# A stalled reader then holds a hundred small messages instead of many thousand.
_TOKEN_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 16_384),
)
# The proxy that the environment names is for other machines: it does not reach this one's loopback,
# and must not see a token that is sent unencrypted because it stays here.
_NO_PROXY = ("grpc.enable_http_proxy", 0)


def open_channel(
    target: str, *, peers: Peers | None = None, retry_safe: Sequence[str] = (), tokens: bool = False
) -> grpc.aio.Channel:
    """A channel to ``target``; the caller closes it.

    Args:
        peers: Credentials of this process, for servers of the suite alone: calls then say too for
            whom they are made.
        retry_safe: Full method names that the channel may repeat on UNAVAILABLE. Never those whose
            server withholds headers until it has decided, ``Infer`` above all.
        tokens: The channel carries model output: bound how far a server runs ahead of its reader.

    Raises:
        StartupRefusedError: A token would travel unencrypted.
    """
    options: list[tuple[str, Any]] = [*_BASE_OPTIONS]
    if tokens:
        options += _TOKEN_OPTIONS
    if stays_here(target):
        options.append(_NO_PROXY)
    options.append(("grpc.service_config", service_config(retry_safe)))
    bare = peers.channel(target, options) if peers else grpc.aio.insecure_channel(target, options)
    return OutboundChannel(bare, target, peers)


def retry_safe_methods(policy: Mapping[str, MethodPolicy]) -> tuple[str, ...]:
    """The methods whose policy row lets a channel repeat them."""
    return tuple(sorted(method for method, row in policy.items() if row.retry_safe))


def service_config(retry_safe: Sequence[str]) -> str:
    """The JSON that gRPC takes as ``grpc.service_config``."""
    if not retry_safe:
        return "{}"
    names = [_method_name(method) for method in retry_safe]
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return json.dumps(
        {
            "methodConfig": [{"name": names, "retryPolicy": policy}],
            "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
        }
    )


def _method_name(method: str) -> dict[str, str]:
    service, _, name = method.removeprefix("/").rpartition("/")
    if not service or not name:
        raise ValueError(f"not a full method name: {method!r}")
    return {"service": service, "method": name}
