"""The worker that `runyard worker-conformance` examines, with the Python library.

runyard worker-conformance -- python examples/note-worker/worker.py
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from runyard_worker import Context, DidNotHappen, Happened, Worker

LOOK_EVERY_S = 0.02

worker = Worker("note-worker", room=4)


def noted(line: str, ledger: str) -> Happened | DidNotHappen:
    written = Path(ledger).read_text().splitlines() if Path(ledger).exists() else []
    return Happened(line) if line in written else DidNotHappen()


@worker.tool(effect="reconcilable", probe=noted)
async def note(line: str, ledger: str, release: str, context: Context, ask: str = "") -> str:
    """Writes a line into a ledger, and ends when it is released, with the answer to a question."""
    await asyncio.to_thread(append, Path(ledger), line)
    context.progress(line)
    # Another process makes the file.
    while not await asyncio.to_thread(Path(release).exists):  # noqa: ASYNC110
        await asyncio.sleep(LOOK_EVERY_S)
    return f"{line}: {context.ask(ask)}" if ask else line


def append(ledger: Path, line: str) -> None:
    with ledger.open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    worker.main()
