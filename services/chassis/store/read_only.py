"""The methods that a read-only transaction refuses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.chassis.store.port import Row
from services.chassis.store.statement import Statement


class ReadOnly:
    """A mixin before an engine's transaction class: methods that write raise TypeError.

    Row locks raise it too: PostgreSQL refuses them in a read-only transaction, SQLite ignores them.
    """

    __slots__ = ()

    def one(self, statement: Statement, /, **params: object) -> Row | None:
        _refuse_lock(statement)
        return super().one(statement, **params)  # type: ignore[misc]  # the engine's

    def all(self, statement: Statement, /, **params: object) -> list[Row]:
        _refuse_lock(statement)
        return super().all(statement, **params)  # type: ignore[misc,no-any-return]  # the engine's

    def run(self, statement: Statement, /, **params: object) -> None:
        raise TypeError(f"a read changes nothing: {statement}, {list(params)}")

    def changed(self, statement: Statement, /, **params: object) -> int:
        raise TypeError(f"a read changes nothing: {statement}, {list(params)}")

    def run_many(self, statement: Statement, rows: Iterable[Mapping[str, object]]) -> None:
        raise TypeError(f"a read changes nothing: {statement}, {rows}")

    def notify(self, channel: str) -> None:
        raise TypeError(f"a read changes nothing, so it notifies nobody: {channel}")

    def lock(self, name: str) -> None:
        raise TypeError(f"a read changes nothing, so it locks nothing: {name}")


def _refuse_lock(statement: Statement) -> None:
    if statement.locks:
        raise TypeError(f"a read locks nothing, so leave out FOR UPDATE: {statement}")
