"""Parameters of commands whose values need no conversion."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, get_args, get_origin


def convert_only_if_needed(parameters: Iterable[Any]) -> None:
    """Let values that have their type already, and names of an enum's values, by Typer.

    Typer converts with Pydantic, which takes longer to import than a command takes to run. Whatever
    else was typed it converts and judges as before.
    """
    for parameter in parameters:
        if parameter._runtime_param is None:  # noqa: SLF001  # there is no other way
            parameter._runtime_param = _IfNeeded(parameter)  # noqa: SLF001


class _IfNeeded:
    """Stands where Typer keeps its conversion of one parameter."""

    def __init__(self, parameter: Any) -> None:
        self._parameter = parameter

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        annotation = self._parameter.type_descriptor.annotation
        of = get_args(annotation)[0] if get_origin(annotation) is list else None
        if value is None:
            return () if of else None
        if of is str and isinstance(value, list | tuple):
            return list(value)
        if isinstance(annotation, type):
            if isinstance(value, annotation):
                return value
            if issubclass(annotation, Enum) and value in {one.value for one in annotation}:
                return annotation(value)
        self._parameter._runtime_param = None  # noqa: SLF001
        return self._parameter.get_runtime_param().coerce(value, param=param, ctx=ctx)
