"""Write the tables of docs/ops/limits.md from what the services judge requests by.

python -m scripts.limits_docs           write
python -m scripts.limits_docs --check   compare; exit 1 on a difference
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from itertools import groupby

from scripts import page_tables
from services.chassis.access.policy import SMALL_REQUEST_BYTES, MethodPolicy
from services.chassis.protobuf.sizes import Limit, Sizes

PAGE = page_tables.ROOT / "docs" / "ops" / "limits.md"
SERVICES = ("registry", "router", "runcontrol", "pool")
# Of the table of methods; every other table is named after its service.
BYTES = "bytes"


def sizes_of(service: str) -> Sizes:
    sizes: Sizes = importlib.import_module(f"services.{service}.api.sizes").SIZES
    return sizes


def policy_of(service: str) -> Mapping[str, MethodPolicy]:
    policy: Mapping[str, MethodPolicy] = importlib.import_module(
        f"services.{service}.api.policy"
    ).POLICY
    return policy


def table(name: str) -> str:
    return bytes_table() if name == BYTES else fields_table(name)


def bytes_table() -> str:
    """A row per method that takes more than most."""
    rows = [
        f"| `{method.rpartition('/')[2]}` | {row.max_request_bytes:,} |\n"
        for service in SERVICES
        for method, row in sorted(policy_of(service).items())
        if row.max_request_bytes != SMALL_REQUEST_BYTES
    ]
    return "| request of | bytes at most |\n|---|---|\n" + "".join(rows)


def fields_table(service: str) -> str:
    """A row per message; each of its fields with its limit."""
    limits = sorted(sizes_of(service).limits.items())
    rows = [
        f"| `{message}` | {', '.join(_field(name, limit) for name, limit in fields)} |\n"
        for message, fields in groupby(limits, key=lambda one: one[0].partition(".")[0])
    ]
    return "| message | at most |\n|---|---|\n" + "".join(rows)


def _field(name: str, limit: Limit) -> str:
    return f"`{name.partition('.')[2]}` {limit.most:,} {limit.unit.value}"


def main(argv: Sequence[str] | None = None) -> int:
    return page_tables.main(PAGE, table, __doc__, argv)


if __name__ == "__main__":
    raise SystemExit(main())
