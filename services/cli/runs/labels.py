"""Labels of runs, as they are typed."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from runyard.runcontrol.v1 import runcontrol_pb2 as pb


def labels_of(written: Iterable[str]) -> list[pb.Label]:
    """The labels of ``NAME=VALUE``.

    Raises:
        BadParameter: One has no name.
    """
    found = []
    for each in written:
        name, equals, value = each.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"--label {each}: write NAME=VALUE")
        found.append(pb.Label(name=name, value=value))
    return found
