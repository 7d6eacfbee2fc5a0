"""Write the tables of docs/ops/settings.md from the settings classes.

python -m scripts.settings_docs           write
python -m scripts.settings_docs --check   compare; exit 1 on a difference
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from scripts import page_tables
from services.chassis.config.settings import ServiceSettings

PAGE = page_tables.ROOT / "docs" / "ops" / "settings.md"
WORDS: Mapping[object, str] = {
    bool: "`true`, `false`",
    float: "number",
    int: "integer",
    str: "text",
    SecretStr: "secret",
    type(None): "none",
}


def settings_of(service: str) -> type[ServiceSettings]:
    """The one settings class of a service's ``settings`` module."""
    module = importlib.import_module(f"services.{service}.settings")
    found = [
        item
        for item in vars(module).values()
        if isinstance(item, type)
        and issubclass(item, ServiceSettings)
        and item.__module__ == module.__name__
    ]
    (settings,) = found
    return settings


def kind(field: FieldInfo) -> str:
    if get_origin(field.annotation) is dict:
        return "JSON object"
    return " or ".join(word(part) for part in get_args(field.annotation) or [field.annotation])


def word(annotation: object) -> str:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    return WORDS[annotation]


def value(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    default = default.value if isinstance(default, Enum) else default
    if default in ("", None):
        return "empty"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def table(service: str) -> str:
    settings = settings_of(service)
    rows = [
        f"| `{settings.variable(name)}` | {kind(field)} | {value(field)} | {field.description} |\n"
        for name, field in settings.model_fields.items()
    ]
    return "| variable | type | default | what it does |\n|---|---|---|---|\n" + "".join(rows)


def main(argv: Sequence[str] | None = None) -> int:
    return page_tables.main(PAGE, table, __doc__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
