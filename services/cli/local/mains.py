"""Main, schema and settings of each service, imported when a command needs them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from services.cli.base.services import SERVICES

if TYPE_CHECKING:
    from services.chassis.config.settings import ServiceSettings
    from services.chassis.store.schema import Schema

ServiceName = StrEnum("ServiceName", {name: name for name in SERVICES})  # type: ignore[misc]  # made from the one list

ServiceArgument = Annotated[ServiceName, typer.Argument(help="Which of the four services.")]


def main_of(service: str) -> Callable[[], int]:
    """Serves until a signal and answers the exit code."""
    return cast("Callable[[], int]", _definition(service).main)


def schema_of(service: str) -> Schema:
    return cast("Schema", _definition(service).schema)


def _definition(service: str) -> Any:
    return importlib.import_module(f"services.{service}.main").SERVICE


def settings_of(service: str) -> type[ServiceSettings]:
    # Pydantic takes a quarter of a second, and most commands do not need it.
    from services.chassis.config.settings import ServiceSettings  # noqa: PLC0415

    module = importlib.import_module(f"services.{service}.settings")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, ServiceSettings)
        and value is not ServiceSettings
    )
    return found
