"""Write the tables of docs/ops/settings.md from the settings classes.

python -m scripts.settings_docs           write
python -m scripts.settings_docs --check   compare; exit 1 on a difference
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from services.chassis.settings import ServiceSettings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "ops" / "settings.md"
SERVICES = ("registry", "router", "runcontrol", "pool")
WORDS: Mapping[object, str] = {
    bool: "`true`, `false`",
    float: "number",
    int: "integer",
    str: "text",
    SecretStr: "secret",
    type(None): "none",
}
TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


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


def table(settings: type[ServiceSettings]) -> str:
    rows = [
        f"| `{settings.variable(name)}` | {kind(field)} | {value(field)} | {field.description} |\n"
        for name, field in settings.model_fields.items()
    ]
    return "| variable | type | default | what it does |\n|---|---|---|---|\n" + "".join(rows)


def filled(page: str) -> str:
    """The page with every table as the classes say."""
    return TABLE.sub(lambda found: found[1] + table(settings_of(found[2])) + found[3], page)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare only")
    options = parser.parse_args(argv)
    page = PAGE.read_text()
    wanted = filled(page)
    if page == wanted:
        return 0
    if options.check:
        print("docs/ops/settings.md is out of date: run `make generate`", file=sys.stderr)
        return 1
    PAGE.write_text(wanted)
    print("settings: docs/ops/settings.md written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
