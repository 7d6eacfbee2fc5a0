"""Settings of the router process."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.chassis.config.settings import ServiceSettings


class RouterSettings(ServiceSettings):
    """Read once in ``main`` from ``RUNYARD_ROUTER_*``."""

    model_config = SettingsConfigDict(env_prefix="RUNYARD_ROUTER_", frozen=True)

    listen: str = Field(
        "127.0.0.1:7402", description="host:port to serve on; port 0 picks a free one."
    )
    database_url: str = Field(
        "sqlite:///router.db",
        description="Where state is kept: sqlite:///FILE or postgresql://USER@HOST/NAME.",
    )
    registry_target: str = Field(
        "127.0.0.1:7401", min_length=1, description="gRPC target of the registry."
    )
