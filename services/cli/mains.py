"""What the services of this installation are made of, loaded when a command asks for it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

import typer

from services.cli.plan import SERVICES

if TYPE_CHECKING:
    from services.chassis.settings import ServiceSettings
    from services.chassis.store.schema import Schema

ServiceName = StrEnum("ServiceName", {name: name for name in SERVICES})  # type: ignore[misc]  # made from the one list

ServiceArgument = Annotated[ServiceName, typer.Argument(help="Which of the four services.")]


def main_of(service: str) -> Callable[[], int]:
    """Serves until a signal and answers the exit code."""
    return cast("Callable[[], int]", importlib.import_module(f"services.{service}.main").main)


def schema_of(service: str) -> Schema:
    return cast("Schema", importlib.import_module(f"services.{service}.main").schema())


def settings_of(service: str) -> type[ServiceSettings]:
    # Pydantic takes a quarter of a second, and most commands do not need it.
    from services.chassis.settings import ServiceSettings  # noqa: PLC0415

    module = importlib.import_module(f"services.{service}.settings")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, ServiceSettings)
        and value is not ServiceSettings
    )
    return found
