"""What is deleted later, in slices, in a transaction."""

from __future__ import annotations

from datetime import datetime

from services.chassis.store.port import Tx
from services.runcontrol.core.events import Covered
from services.runcontrol.store import upkeep_statements as sql
from services.runcontrol.store.rows import every


class SqlUpkeep:
    """Implements ``UpkeepTx`` on one transaction."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    def covered(self, until: datetime, limit: int) -> list[Covered]:
        return list(every(self._tx, Covered, sql.COVERED, until=until, limit=limit))

    def drop_deltas(self, of: Covered, limit: int) -> int | None:
        key = {"tenant": of.tenant, "run_id": of.run_id}
        row = {**key, "last_run_seq": of.last_run_seq}
        if self._tx.one(sql.TRY_COVERED, **row) is None:
            return None
        dropped = self._tx.changed(
            sql.DROP_DELTAS, **key, first=of.first_run_seq, last=of.last_run_seq, limit=limit
        )
        if dropped < limit:
            self._tx.run(sql.DROP_COVERED, **row)
        return dropped
