"""What a transaction refuses when it only reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.chassis.store.statement import Statement


class ReadOnly:
    """Goes before an engine's transaction; the engine refuses statements that change something."""

    __slots__ = ()

    def run(self, statement: Statement, /, **params: object) -> int:
        raise TypeError(f"a read changes nothing: {statement}, {list(params)}")

    def run_many(self, statement: Statement, rows: Iterable[Mapping[str, object]]) -> None:
        raise TypeError(f"a read changes nothing: {statement}, {rows}")

    def ring(self, channel: str) -> None:
        raise TypeError(f"a read changes nothing, so it rings nobody: {channel}")

    def lock(self, name: str) -> None:
        raise TypeError(f"a read changes nothing, so it locks nothing: {name}")
