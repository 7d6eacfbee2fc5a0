"""Serve tools to Runyard's agents from Python.

    from runyard_worker import Worker

    worker = Worker("clerk")

    @worker.tool(effect="at_most_once")
    def refund(order: int, reason: str) -> str:
        "Pays the price of an order back."
        return f"order {order} was paid back"

    worker.main()

``python clerk.py`` connects to run control and serves; ``python clerk.py manifest`` prints the
tools for ``runyard apply``. See the README of the folder.
"""

from runyard_worker.errors import RetryableError, ToolError
from runyard_worker.tools import (
    Context,
    DidNotHappen,
    EffectClass,
    Happened,
    NotKnown,
)
from runyard_worker.worker import Worker

__all__ = [
    "Context",
    "DidNotHappen",
    "EffectClass",
    "Happened",
    "NotKnown",
    "RetryableError",
    "ToolError",
    "Worker",
]
