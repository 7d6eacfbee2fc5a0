"""A shell on a SQLite file: reads it, and closes it, which removes the log of a file nobody uses.

python -m tests.contract.chassis_store.closing_process FILE
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing


def main(file: str) -> None:
    with closing(sqlite3.connect(file)) as shell:
        shell.execute("SELECT count(*) FROM account").fetchone()
    sys.stdout.write("closed\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
