"""Opening: an equal configuration changes nothing, another one is a conflict."""

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
    """The pool after opening ``pool_id`` with ``config``.

    Raises:
        ConfigConflictError: It is open with another configuration; names the differing fields.
    """
    if existing is None:
        return Opened(Pool(pool_id, config, create_time=now, update_time=now), opened=True)
    if existing.config != config:
        names = (field.name for field in fields(PoolConfig))
        differing = (n for n in names if getattr(existing.config, n) != getattr(config, n))
        raise ConfigConflictError.of(pool_id, differing)
    return Opened(existing, opened=False)
