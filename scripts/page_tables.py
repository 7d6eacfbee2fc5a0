"""Pages with tables that are made from the code: each is between ``<!-- table: NAME -->`` and
``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str, table_of: Callable[[str], str]) -> str:
    """The page with every table as ``table_of`` makes it from its name."""
    return TABLE.sub(lambda found: found[1] + table_of(found[2]) + found[3], page)


def main(
    path: Path, table_of: Callable[[str], str], description: str | None, argv: Sequence[str] | None
) -> int:
    """Write the tables of the page at ``path``, or compare them; answer the exit code."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare only")
    options = parser.parse_args(argv)
    name = path.relative_to(ROOT)
    page = path.read_text()
    wanted = filled(page, table_of)
    if page == wanted:
        return 0
    if options.check:
        print(f"{name} is out of date: run `make generate`", file=sys.stderr)
        return 1
    path.write_text(wanted)
    print(f"{path.stem}: {name} written")
    return 0
