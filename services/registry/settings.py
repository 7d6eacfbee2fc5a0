"""Configuration of the registry process."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.chassis.settings import ServiceSettings


class RegistrySettings(ServiceSettings):
    """Read once, in ``main``, from ``RUNYARD_REGISTRY_*``."""

    model_config = SettingsConfigDict(env_prefix="RUNYARD_REGISTRY_", frozen=True)

    listen: str = Field(
        default="127.0.0.1:7401", description="host:port to serve on; port 0 picks a free one."
    )
    database_url: str = Field(
        default="sqlite:///registry.db",
        description="Where the service keeps its state, sqlite:///FILE.",
    )
