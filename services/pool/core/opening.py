"""Opening: the same configuration again is no change, another one is a conflict."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

from services.pool.core.errors import ConfigConflictError
from services.pool.core.model import Pool, PoolConfig


@dataclass(frozen=True, slots=True)
class Opened:
    """The pool, and whether this call opened it."""

    pool: Pool
    opened: bool


def open_pool(existing: Pool | None, pool_id: str, config: PoolConfig, now: datetime) -> Opened:
    """Decide what opening ``pool_id`` with ``config`` comes to.

    Raises:
        ConfigConflictError: It is open with another configuration; names what differs.
    """
    if existing is None:
        return Opened(Pool(pool_id, config, create_time=now, update_time=now), opened=True)
    if existing.config != config:
        differing = ", ".join(
            f.name
            for f in fields(PoolConfig)
            if getattr(existing.config, f.name) != getattr(config, f.name)
        )
        raise ConfigConflictError(
            f"pool {pool_id!r} is open with another configuration: {differing}",
            pool_id=pool_id,
            fields=differing,
        )
    return Opened(existing, opened=False)
