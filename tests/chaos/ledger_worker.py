"""A worker whose tool writes the key of each execution into a file before it does anything else."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from runyard_worker import Context, Worker
from services.chassis.clock import SystemClock

# Calls are under way when something dies.
_TAKES_S = 0.2

worker = Worker("payer", room=32)


@worker.tool(effect="at_most_once", timeout_s=300.0)
async def pay(amount: int, context: Context) -> str:
    """Pays once."""
    await asyncio.to_thread(_write, f"{context.idempotency_key}\n")
    await SystemClock().sleep(_TAKES_S)
    return f"paid {amount}"


def _write(line: str) -> None:
    with Path(os.environ["LEDGER"]).open("a") as ledger:
        ledger.write(line)


if __name__ == "__main__":
    worker.main([])
