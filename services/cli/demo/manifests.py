"""The manifests that come with the command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.cli.manifests.files import read_files
from services.cli.manifests.resources import Manifests, load

QUICKSTART = Path(__file__).parent / "quickstart"


@dataclass(frozen=True, slots=True)
class RealModel:
    """An OpenAI-compatible endpoint that answers in the narrator's place."""

    base_url: str
    model: str
    api_key_env: str


def quickstart(real: RealModel | None = None) -> Manifests:
    """The manifests that come with the command; ``real`` serves the model that answers."""
    manifests = load(read_files([str(QUICKSTART)]))
    for resource in manifests.resources if real else ():
        if real and resource.provider.id == "south":
            resource.provider.ClearField("builtin")
            resource.provider.openai.SetInParent()
            resource.provider.base_url = real.base_url
            if real.api_key_env:
                resource.provider.credential_ref.env = real.api_key_env
        if real and resource.model.id == "south-small":
            resource.model.upstream_model = real.model
    return manifests
