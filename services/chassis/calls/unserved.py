"""The refusal of an RPC that the contract has and this version does not serve."""

from __future__ import annotations

from services.chassis.errors import UnimplementedError


def not_served(method: str) -> UnimplementedError:
    """The error to raise in place of serving ``method``."""
    return UnimplementedError(f"{method} is not served by this version", method=method)
