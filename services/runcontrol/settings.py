"""Settings of the run control process."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.chassis.config.settings import ServiceSettings


class RunControlSettings(ServiceSettings):
    """Read once, in ``main``, from ``RUNYARD_RUNCONTROL_*``."""

    model_config = SettingsConfigDict(env_prefix="RUNYARD_RUNCONTROL_", frozen=True)

    listen: str = Field(
        default="127.0.0.1:7403", description="host:port to serve on; port 0 picks a free one."
    )
    database_url: str = Field(
        default="sqlite:///runcontrol.db",
        description="Where state is kept: sqlite:///FILE or postgresql://USER@HOST/NAME.",
    )
    registry_target: str = Field(
        default="127.0.0.1:7401", min_length=1, description="gRPC target of the registry."
    )
    router_target: str = Field(
        default="127.0.0.1:7402", min_length=1, description="gRPC target of the router."
    )
    pool_target: str = Field(
        default="127.0.0.1:7404", min_length=1, description="gRPC target of the pool service."
    )
    max_concurrent_runs: int = Field(
        default=64,
        ge=0,
        le=10_000,
        description="Runs executed at a time, parked ones not counted, nor those that wait for a "
        "model's first token; 0 executes none.",
    )
    max_waiting_per_target: int = Field(
        default=64,
        ge=1,
        le=10_000,
        description="Runs that wait for the first token of one model or pool at a time; more back "
        "off after 5 s.",
    )
    max_runs_per_tenant: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Runs of one tenant executed at a time, by all servers together; 0 for any "
        "number.",
    )
    max_calls_per_answer: int = Field(
        default=128,
        ge=1,
        le=1_000,
        description="Calls of tools that one answer of a model may ask for; the others fail, and "
        "the model is told.",
    )
    worker_accept_s: float = Field(
        default=2.0,
        gt=0,
        le=60.0,
        description="Seconds that a worker may take to accept a call before another one gets it.",
    )
    worker_lease_s: float = Field(
        default=15.0,
        ge=1.0,
        le=600.0,
        description="Seconds that a silent worker keeps its calls; it is to give three signs of "
        "life meanwhile.",
    )
    keep_deltas_s: float = Field(
        default=60.0,
        ge=0.0,
        le=31_536_000.0,
        description="Seconds for which the deltas of a model's answer can be read after the "
        "message that repeats them; then they are deleted.",
    )
    retention_days: int = Field(
        default=0,
        ge=0,
        le=36_500,
        description="Days after its last use at which a thread that has nothing to do is deleted; "
        "0 keeps threads for ever.",
    )
    retention_days_by_tenant: dict[str, Annotated[int, Field(ge=0, le=36_500)]] = Field(
        default={},
        description='The same for single tenants, such as `{"acme": 30}`.',
    )
