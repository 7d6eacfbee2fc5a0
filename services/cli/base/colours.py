"""Whether the command may write in colours and bold letters."""

from __future__ import annotations

import os
from typing import Final

NO_COLOUR_VARIABLE: Final = "NO_COLOR"


def styled() -> bool:
    """Whether colours, bold and the like may be written; not with NO_COLOR, whatever it says."""
    return not os.environ.get(NO_COLOUR_VARIABLE)
