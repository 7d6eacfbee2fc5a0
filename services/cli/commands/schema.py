"""``runyard schema``: the JSON Schema of manifests, for editors."""

from __future__ import annotations

import sys

from services.cli.manifests.schema import text


def schema() -> None:
    """Print the JSON Schema of manifests, with which an editor completes and checks them.

    Example: runyard schema > manifest.schema.json, and in the first line of a manifest:

    # yaml-language-server: $schema=manifest.schema.json
    """
    sys.stdout.write(text())
