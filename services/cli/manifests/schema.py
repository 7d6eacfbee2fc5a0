"""``runyard schema``: the JSON Schema of manifests, for editors."""

from __future__ import annotations

from importlib import resources

FILE = "manifest.schema.json"


def text() -> str:
    return resources.files("services.cli.manifests").joinpath(FILE).read_text(encoding="utf-8")
