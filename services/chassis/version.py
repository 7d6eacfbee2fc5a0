"""The version of the distribution that is installed."""

from __future__ import annotations

from importlib import metadata


def distribution_version() -> str:
    try:
        return metadata.version("runyard-services")
    except metadata.PackageNotFoundError:
        return "unknown"
