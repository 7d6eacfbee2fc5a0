"""The source revision that the installed distribution recorded when it was built."""

from __future__ import annotations

from importlib import metadata

DISTRIBUTION = "runyard-services"
# In the dist-info folder of a wheel, where Hatchling puts what ``scripts/build_hook.py`` gives it.
RECORDED = "extra_metadata/COMMIT"


def recorded_revision() -> str:
    """Empty when none was recorded, as for an editable install: its checkout changes later."""
    try:
        text = metadata.distribution(DISTRIBUTION).read_text(RECORDED)
    except metadata.PackageNotFoundError:
        return ""
    return (text or "").strip()
