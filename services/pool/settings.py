"""Settings of the pool process, read once in ``main`` from RUNYARD_POOL_* variables."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.chassis.config.settings import ServiceSettings


class PoolSettings(ServiceSettings):
    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix="RUNYARD_POOL_", frozen=True
    )

    listen: str = Field("127.0.0.1:7404", description="host:port to serve on; port 0 picks one.")
    database_url: str = Field(
        "sqlite:///pool.db",
        description="Where state is kept: sqlite:///FILE or postgresql://USER@HOST/NAME.",
    )
    runcontrol_target: str = Field(
        "127.0.0.1:7403", min_length=1, description="gRPC target of run control."
    )
