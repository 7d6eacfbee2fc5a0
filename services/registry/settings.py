"""Configuration of the registry process."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.chassis.config.settings import ServiceSettings


class RegistrySettings(ServiceSettings):
    """Read once, in ``main``, from ``RUNYARD_REGISTRY_*``."""

    model_config = SettingsConfigDict(env_prefix="RUNYARD_REGISTRY_", frozen=True)

    listen: str = Field(
        default="127.0.0.1:7401", description="host:port to serve on; port 0 picks a free one."
    )
    database_url: str = Field(
        default="sqlite:///registry.db",
        description="Where state is kept: sqlite:///FILE or postgresql://USER@HOST/NAME.",
    )
    keep_versions: int = Field(
        default=1_000,
        ge=1,
        description="Versions that are kept, the current one included, however old they are.",
    )
    keep_days: float = Field(
        default=30.0,
        ge=0,
        le=36_500,
        description="Days for which every version is kept, however many there are.",
    )
